//! Two threads that take turns: the simulation, and one chore that stops at every step.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use verteilt_broker::bare::Chore;

use crate::dice::Dice;
use crate::panics;

/// One in so many steps lets the others go on.
const STEPS: u64 = 4;

/// The simulation's side. Dropped, the chore gets an error at its next step, and ends.
#[derive(Debug)]
pub(crate) struct Baton {
    go: Option<SyncSender<()>>,
    paused: Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

/// The chore's side.
struct Held {
    go: Receiver<()>,
    paused: SyncSender<()>,
    dice: Dice,
    killed: bool,
}

/// The process is gone; nothing more happens to the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Killed;

thread_local! {
    static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
}

impl Baton {
    pub(crate) fn start(dice: Dice, chore: Chore) -> Self {
        let (go, wait) = sync_channel(1);
        let (tell, paused) = sync_channel(1);
        let notes = panics::notes();
        let thread = std::thread::spawn(move || {
            panics::share(notes);
            let held = Held {
                go: wait,
                paused: tell,
                dice,
                killed: false,
            };
            if held.go.recv().is_err() {
                return;
            }
            HELD.with(|slot| *slot.borrow_mut() = Some(held));
            chore();
        });
        Self {
            go: Some(go),
            paused,
            thread: Some(thread),
        }
    }

    /// Lets the chore go on to its next stop; false when it is done.
    pub(crate) fn go_on(&mut self) -> bool {
        let went = self.go.as_ref().is_some_and(|go| go.send(()).is_ok());
        if went && self.paused.recv().is_ok() {
            return true;
        }
        self.join();
        false
    }

    fn join(&mut self) {
        self.go = None;
        if let Some(thread) = self.thread.take() {
            // Its panic has been noted by the hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Baton {
    fn drop(&mut self) {
        self.join();
    }
}

/// A step of the chore on this thread, if one runs here.
pub(crate) fn pause() -> Result<(), Killed> {
    HELD.with(|slot| {
        let mut slot = slot.borrow_mut();
        let Some(held) = slot.as_mut() else {
            return Ok(());
        };
        if !held.killed && held.dice.below(STEPS) == 0 {
            held.killed = held.paused.send(()).is_err() || held.go.recv().is_err();
        }
        if held.killed { Err(Killed) } else { Ok(()) }
    })
}
