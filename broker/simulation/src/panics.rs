//! Panics anywhere in a run are findings: a hook notes them, for a runtime swallows those of tasks.

use std::cell::RefCell;
use std::sync::{Arc, Once};

use parking_lot::Mutex;

/// The panics of one run, from all of its threads.
pub(crate) type Notes = Arc<Mutex<Vec<String>>>;

thread_local! {
    static NOTES: RefCell<Option<Notes>> = const { RefCell::new(None) };
}

/// Notes of the run on this thread.
pub(crate) fn notes() -> Option<Notes> {
    NOTES.with(|slot| slot.borrow().clone())
}

/// This thread works for the run with these notes.
pub(crate) fn share(notes: Option<Notes>) {
    NOTES.with(|slot| *slot.borrow_mut() = notes);
}

/// Begins a run on this thread.
pub(crate) fn begin() -> Notes {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| match notes() {
            Some(notes) => notes.lock().push(info.to_string()),
            None => usual(info),
        }));
    });
    let notes = Notes::default();
    share(Some(Arc::clone(&notes)));
    notes
}
