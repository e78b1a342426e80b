//! The broker's blocking work on virtual time: how long each piece takes is up to the dice, and a
//! checkpoint is interrupted between any two of its steps so that all else goes on meanwhile.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use verteilt_broker::bare::{Chore, ChoreDone, Workshop};

use crate::baton::Baton;
use crate::dice::Dice;

/// Cheap to clone; all clones are one workshop.
#[derive(Clone)]
pub(crate) struct SlowHands(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    write_ms_max: u64,
}

struct State {
    dice: Dice,
    /// A chore of the journal that has not touched the disk yet.
    writing: Option<Chore>,
}

impl std::fmt::Debug for SlowHands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SlowHands").finish_non_exhaustive()
    }
}

impl SlowHands {
    pub(crate) fn new(dice: Dice, write_ms_max: u64) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                dice,
                writing: None,
            }),
            write_ms_max,
        }))
    }

    /// What the journal was about to write when everything stopped.
    pub(crate) fn interrupted(&self) -> Option<Chore> {
        self.0.state.lock().writing.take()
    }

    /// Most work is quick; some is not.
    fn pause(&self) -> Duration {
        let mut state = self.0.state.lock();
        let most = self.0.write_ms_max;
        let ms = match state.dice.below(10) {
            0..6 => 0,
            6..9 => state.dice.between(0, 1 + most / 8),
            _ => state.dice.between(0, most),
        };
        Duration::from_millis(ms)
    }
}

async fn pass(time: Duration) {
    if time.is_zero() {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(time).await;
    }
}

impl Workshop for SlowHands {
    fn work(&self, who: &'static str, chore: Chore) -> ChoreDone {
        let hands = self.clone();
        let (before, after) = (hands.pause(), hands.pause());
        match who {
            "journal" => {
                hands.0.state.lock().writing = Some(chore);
                Box::pin(async move {
                    pass(before).await;
                    if let Some(chore) = hands.interrupted() {
                        chore();
                    }
                    pass(after).await;
                })
            }
            "follower" => {
                let dice = Dice::new(hands.0.state.lock().dice.next());
                Box::pin(step_by_step(hands, dice, chore))
            }
            _ => Box::pin(async move {
                pass(before).await;
                chore();
                pass(after).await;
            }),
        }
    }
}

/// Runs a chore on a thread of its own that goes on only while this future waits for it: one of the
/// two runs at any time, so the run stays the same however threads are scheduled.
async fn step_by_step(hands: SlowHands, dice: Dice, chore: Chore) {
    let mut baton = Baton::start(dice, chore);
    while baton.go_on() {
        pass(hands.pause()).await;
    }
}
