//! Who writes the history, and knows what the broker goes through just now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use verteilt_history::{Event, Recorder};

/// What a client may record late in any case, measured or not.
const LAG_LEAST: Duration = Duration::from_millis(250);

/// The history, and what the clients have to know of the broker to write it.
#[derive(Debug, Default)]
pub(super) struct Witness {
    pub(super) recorder: Recorder,
    /// Connections end now because the broker does, which the history says by itself.
    killing: AtomicBool,
    /// Counts kills, and starts from which on the broker served.
    turns: AtomicU64,
    /// Microseconds: the longest that anything took between a client and a living broker.
    longest_way_us: AtomicU64,
}

/// When something was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    at: Instant,
    turn: u64,
}

impl Witness {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// SIGKILL is on its way.
    pub(super) fn kills(&self) {
        self.killing.store(true, Ordering::SeqCst);
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    /// The process is gone.
    pub(super) fn killed(&self) {
        self.recorder.record(Event::BrokerKilled);
        self.killing.store(false, Ordering::SeqCst);
    }

    pub(super) fn serves(&self) {
        self.turns.fetch_add(1, Ordering::SeqCst);
    }

    /// A connection ended. One that a kill ended is left out: a broker that is no more takes no
    /// notice of it, and the checker is not to excuse anything by it.
    pub(super) fn disconnected(&self, client: u32) {
        if !self.killing.load(Ordering::SeqCst) {
            self.recorder.record(Event::Disconnected { client });
        }
    }

    /// A client is connected (again), and these leases are among those that it named.
    pub(super) fn connected(&self, client: u32, held: Option<Vec<(u64, u64)>>) {
        self.recorder.record(Event::Connected { client, held });
    }

    pub(super) fn asks(&self) -> Asked {
        let turn = self.turns.load(Ordering::SeqCst);
        let at = Instant::now();
        Asked { at, turn }
    }

    /// What was asked for was answered. Only within one life of the broker this tells how long the
    /// way is.
    pub(super) fn answered(&self, asked: Asked) {
        if self.turns.load(Ordering::SeqCst) == asked.turn {
            let time_us = asked.at.elapsed().as_micros() as u64;
            self.longest_way_us.fetch_max(time_us, Ordering::Relaxed);
        }
    }

    /// How long after the broker did something a client recorded it, at the most, since the last
    /// time that this was asked.
    pub(super) fn take_lag(&self) -> Duration {
        let longest_us = self.longest_way_us.swap(0, Ordering::Relaxed);
        LAG_LEAST + Duration::from_micros(longest_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kill_ends_is_not_in_the_history() {
        let witness = Witness::new();
        witness.disconnected(1);
        witness.kills();
        witness.disconnected(2);
        witness.killed();
        witness.disconnected(3);
        let events = witness.recorder.finish().records.into_iter();
        let expected = [
            Event::Disconnected { client: 1 },
            Event::BrokerKilled,
            Event::Disconnected { client: 3 },
        ];
        assert_eq!(
            events.map(|record| record.event).collect::<Vec<_>>(),
            expected
        );
    }

    #[test]
    fn only_answers_within_one_life_tell_how_long_a_way_is() {
        let witness = Witness::new();
        let asked = |ago| Asked {
            at: Instant::now()
                .checked_sub(Duration::from_secs(ago))
                .unwrap(),
            ..witness.asks()
        };
        let before = asked(60);
        witness.kills();
        witness.answered(before);
        assert_eq!(witness.take_lag(), LAG_LEAST);
        witness.answered(asked(5));
        assert!(witness.take_lag() >= LAG_LEAST + Duration::from_secs(5));
        assert_eq!(witness.take_lag(), LAG_LEAST, "it begins anew");
    }
}
