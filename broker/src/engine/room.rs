//! The loop and the disk's room: it is measured beside the loop, judged in every round.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use verteilt_core::{Caller, Command, ConnectionId, SessionId};

use super::backup::BackupState;
use super::disk_work::Outcome;
use super::failure::Failure;
use super::run::Loop;
use super::workers::{Post, Worker, Workers};
use crate::meters::RoomMeters;
use crate::space::{Gauge, Load, Ruler, ShownRoom};

/// Between two looks at the disk while it is written to, and while it is full.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// The same while nothing happens: others use the disk, too.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Between two checkpoints while little room is left.
const PRESSED_INTERVAL: Duration = Duration::from_secs(1);

/// What is needed to know how full the disk is.
pub(crate) struct RoomParts {
    pub(crate) ruler: Ruler,
    /// With a first look already taken.
    pub(crate) gauge: Gauge,
    pub(crate) shown: ShownRoom,
}

/// What the loop knows of it.
pub(super) struct Room {
    gauge: Gauge,
    looker: Worker<()>,
    is_looking: bool,
    looked: Instant,
    /// Something was written since.
    is_touched: bool,
    /// Journal that checkpoints have covered since the last look, and what they had until the one
    /// that is under way: they took room that nobody has measured yet.
    covered_bytes: (u64, u64),
    /// What the shard was told last.
    is_full: bool,
    spares_kept: bool,
    place: String,
    shown: ShownRoom,
    meters: RoomMeters,
}

impl Room {
    pub(super) fn start(
        parts: RoomParts,
        workers: &Workers,
        answers: mpsc::Sender<Outcome>,
    ) -> std::io::Result<Self> {
        let RoomParts {
            ruler,
            gauge,
            shown,
        } = parts;
        let place = ruler.space.place();
        let post = Post::new("room", 1, || {});
        let looker = Worker::spawn(workers, post, answers, move |()| {
            Some(Outcome::Measured(ruler.measure()))
        })?;
        Ok(Self {
            gauge,
            looker,
            is_looking: false,
            looked: Instant::now(),
            is_touched: false,
            covered_bytes: (0, 0),
            is_full: false,
            spares_kept: true,
            place,
            shown,
            meters: RoomMeters::new(),
        })
    }

    /// When the disk is looked at next; `None` while somebody looks.
    pub(super) fn next_look(&self) -> Option<Instant> {
        let interval = if self.covered_bytes.0 > 0 {
            Duration::ZERO
        } else if self.is_touched || self.is_full {
            LOOK_INTERVAL
        } else {
            IDLE_LOOK_INTERVAL
        };
        (!self.is_looking).then(|| self.looked + interval)
    }

    /// What a refused request is told.
    pub(super) fn explain(&self) -> String {
        self.meters.refused();
        self.gauge.explain(&self.place)
    }

    /// What a checkpoint may copy inside the store.
    pub(super) fn worn_bytes_max(&self) -> u64 {
        self.gauge.worn_bytes_max()
    }

    pub(super) fn wants_checkpoint(&self, last: Instant) -> bool {
        self.gauge.presses() && last.elapsed() >= PRESSED_INTERVAL
    }

    /// When [`Self::wants_checkpoint`] may become true.
    pub(super) fn next_checkpoint(&self, last: Instant) -> Option<Instant> {
        self.gauge.presses().then(|| last + PRESSED_INTERVAL)
    }

    pub(super) fn end(&mut self) {
        self.looker.end();
    }
}

impl Loop {
    /// The disk was written to, or something on it was freed.
    pub(super) fn touch_disk(&mut self) {
        if let Some(room) = &mut self.room {
            room.is_touched = true;
        }
    }

    /// A checkpoint has brought so much journal into the store.
    pub(super) fn store_grew(&mut self, covered_bytes: u64) {
        if let Some(room) = &mut self.room {
            room.covered_bytes.0 += covered_bytes;
        }
    }

    /// Has the disk looked at when it is time.
    pub(super) fn look_at_disk(&mut self) -> Result<(), Failure> {
        let Some(room) = &mut self.room else {
            return Ok(());
        };
        if room.next_look().is_some_and(|at| at <= Instant::now()) {
            (room.is_looking, room.is_touched) = (true, false);
            let (fresh, old) = room.covered_bytes;
            room.covered_bytes = (0, old + fresh);
            if !room.looker.give(()) {
                return Err(Failure::ThreadGone("room"));
            }
        }
        Ok(())
    }

    /// The disk was looked at.
    pub(super) fn disk_measured(&mut self, measured: std::io::Result<crate::space::Measured>) {
        let Some(room) = &mut self.room else {
            return;
        };
        (room.is_looking, room.looked) = (false, Instant::now());
        match measured {
            Ok(measured) => {
                room.covered_bytes.1 = 0;
                room.gauge.measured(measured);
            }
            Err(error) => tracing::warn!(
                place = room.place, %error, "cannot ask how much room the disk has"
            ),
        }
    }

    /// Tells the shard when the disk has become full, or is no longer.
    pub(super) fn judge_room(&mut self, now_ms: u64) {
        let Some(room) = &mut self.room else {
            return;
        };
        let gathered = self.engine.gathered_bytes() as u64;
        let (fresh, old) = room.covered_bytes;
        let found = room.gauge.judge(Load {
            pending_bytes: self.checkpoint.appended_bytes + gathered + fresh + old,
            stored_bytes: self.checkpoint.stored_bytes,
            is_pinned: !matches!(self.backup, BackupState::None),
        });
        room.shown.show(found);
        room.meters.show(found);
        let keeps_spares = !room.gauge.presses();
        if room.spares_kept != keeps_spares {
            room.spares_kept = keeps_spares;
            self.log.keep_spares(keeps_spares);
        }
        if room.is_full == found.is_full {
            return;
        }
        room.is_full = found.is_full;
        if found.is_full {
            tracing::warn!("{}", room.gauge.explain(&room.place));
        } else {
            tracing::info!(
                free_bytes = found.free_bytes,
                reusable_bytes = found.reusable_bytes,
                needed_bytes = found.needed_bytes,
                "there is room on the disk again"
            );
        }
        let nobody = Caller {
            connection: ConnectionId(0),
            session: SessionId(0),
            correlation: 0,
        };
        self.engine
            .step(now_ms, [(nobody, Command::DiskFull(found.is_full))]);
    }
}
