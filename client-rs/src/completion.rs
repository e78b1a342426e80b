//! One answer that many calls wait for: no allocation and no channel a call, one wake-up pass a
//! batch.

use std::sync::OnceLock;
use std::task::Waker;

use parking_lot::Mutex;

/// The shared end of a batch. Calls wait in numbered slots.
pub(crate) struct Completion<T> {
    outcome: OnceLock<T>,
    wakers: Mutex<Vec<Option<Waker>>>,
}

impl<T> Completion<T> {
    /// `slots`: how many calls are likely to wait.
    pub(crate) fn with_capacity(slots: usize) -> Self {
        Self {
            outcome: OnceLock::new(),
            wakers: Mutex::new(Vec::with_capacity(slots)),
        }
    }

    /// The answer, once it is there. Takes no lock.
    pub(crate) fn get(&self) -> Option<&T> {
        self.outcome.get()
    }

    /// Leaves a waker in a slot; false: the answer has come in the meantime, look again.
    pub(crate) fn register(&self, slot: u32, waker: &Waker) -> bool {
        let mut wakers = self.wakers.lock();
        if self.outcome.get().is_some() {
            return false;
        }
        let slot = slot as usize;
        if slot == wakers.len() {
            wakers.push(Some(waker.clone()));
            return true;
        }
        if slot > wakers.len() {
            wakers.resize(slot + 1, None);
        }
        match &mut wakers[slot] {
            Some(known) => known.clone_from(waker),
            empty @ None => *empty = Some(waker.clone()),
        }
        true
    }

    /// Gives the answer and wakes all who wait. Only the first answer counts.
    pub(crate) fn complete(&self, outcome: T) {
        let wakers = {
            let mut wakers = self.wakers.lock();
            if self.outcome.set(outcome).is_err() {
                return;
            }
            std::mem::take(&mut *wakers)
        };
        // Neighbours often belong to the same task (a joined set): it is woken once.
        let mut last: Option<Waker> = None;
        for waker in wakers.into_iter().flatten() {
            match &last {
                Some(known) if known.will_wake(&waker) => {}
                _ => {
                    if let Some(ready) = last.replace(waker) {
                        ready.wake();
                    }
                }
            }
        }
        if let Some(ready) = last {
            ready.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_task_is_woken_and_neighbours_once() {
        let (one, two) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (first, second) = (Waker::from(Arc::clone(&one)), Waker::from(Arc::clone(&two)));
        let completion = Completion::with_capacity(4);
        for (slot, waker) in [
            (0, &first),
            (1, &first),
            (2, &first),
            (3, &second),
            (6, &second),
        ] {
            assert!(completion.register(slot, waker));
        }
        assert!(completion.get().is_none());
        completion.complete(7);
        completion.complete(8);
        assert_eq!(completion.get(), Some(&7));
        assert_eq!(one.0.load(Ordering::Relaxed), 1);
        assert_eq!(two.0.load(Ordering::Relaxed), 1);
        assert!(!completion.register(0, &first));
    }

    #[test]
    fn a_call_that_moved_to_another_task_is_woken_there() {
        let (one, two) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let completion = Completion::with_capacity(1);
        completion.register(0, &Waker::from(Arc::clone(&one)));
        completion.register(0, &Waker::from(Arc::clone(&two)));
        completion.complete(());
        assert_eq!(one.0.load(Ordering::Relaxed), 0);
        assert_eq!(two.0.load(Ordering::Relaxed), 1);
    }
}
