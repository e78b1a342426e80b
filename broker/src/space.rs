//! Room on the disk: who measures it, and how much is too little.
//!
//! A broker that runs into a full disk cannot go on: a write that failed is never taken for one that
//! did not. So it stops taking things in while there is room left for what frees the disk: leases,
//! acknowledgements, and the checkpoints that turn them into free space.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::journal::JournalLog;
use crate::store::Store;

/// What a checkpoint may need in the store for each byte that it brings there, and what the store's
/// file takes for each byte that lives in it, at the most (measured: 1.8 to 2.9).
const STORE_FACTOR: u64 = 3;
/// Segments of the journal that there is always room for: the one that is written and the next.
const SEGMENTS_KEPT: u64 = 2;
/// Segments that the journal comes to take by itself while little else happens than what frees the
/// disk: two that wait for a checkpoint, and two that are made ahead.
const SEGMENTS_TAKEN: u64 = 4;

/// Room on the disk that a broker stands on.
pub trait Space: Send + Sync + fmt::Debug {
    /// Bytes that could be written now. May block for as long as the file system takes to answer.
    ///
    /// # Errors
    /// What the system said; the last figure is used on then.
    fn free_bytes(&self) -> io::Result<u64>;

    /// Where that is, for people.
    fn place(&self) -> String;
}

/// The file system of a folder.
#[derive(Debug)]
pub(crate) struct FolderSpace(pub(crate) PathBuf);

impl Space for FolderSpace {
    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::statvfs(&self.0)?;
        // What is kept for root is not for us, whoever we are: others need it to tidy up.
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn place(&self) -> String {
        self.0.display().to_string()
    }
}

/// Room on the disk as the broker sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskRoom {
    /// Bytes that the file system has left.
    pub free_bytes: u64,
    /// Bytes of the store's own file that hold nothing any more. It does not shrink, but is used
    /// again.
    pub reusable_bytes: u64,
    /// Bytes that have to stay free: the reserve, what the next checkpoint may need, and segments
    /// that the journal does not have yet.
    pub needed_bytes: u64,
    /// What would stay on the disk is refused until there is more room.
    pub is_full: bool,
}

impl DiskRoom {
    fn bytes(self) -> u64 {
        self.free_bytes.saturating_add(self.reusable_bytes)
    }
}

/// One look at the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) free_bytes: u64,
    /// What the store's file takes.
    pub(crate) store_bytes: u64,
    /// What the journal holds.
    pub(crate) used_bytes: u64,
    /// What the journal can still take without another segment.
    pub(crate) ready_bytes: u64,
}

/// All that is looked at.
#[derive(Clone)]
pub(crate) struct Ruler {
    pub(crate) space: Arc<dyn Space>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn JournalLog>,
}

impl Ruler {
    pub(crate) fn measure(&self) -> io::Result<Measured> {
        Ok(Measured {
            free_bytes: self.space.free_bytes()?,
            store_bytes: self.store.disk_bytes(),
            used_bytes: self.log.used_bytes(),
            ready_bytes: self.log.ready_bytes(),
        })
    }
}

/// What the broker holds that will need room, or has some to give back.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// Journal that no checkpoint covers yet.
    pub(crate) pending_bytes: u64,
    /// What lives in the store.
    pub(crate) stored_bytes: u64,
    /// A backup keeps what is dead in the store, too.
    pub(crate) is_pinned: bool,
}

/// Decides when the disk is full.
#[derive(Clone, Debug)]
pub(crate) struct Gauge {
    reserve_bytes: u64,
    segment_bytes: u64,
    measured: Measured,
    room: DiskRoom,
    presses: bool,
}

impl Gauge {
    pub(crate) fn new(reserve_bytes: u64, segment_bytes: u64, measured: Measured) -> Self {
        Self {
            reserve_bytes,
            segment_bytes,
            measured,
            room: DiskRoom::default(),
            presses: false,
        }
    }

    pub(crate) fn measured(&mut self, measured: Measured) {
        self.measured = measured;
    }

    /// Judges anew. Cheap: done in every round, for what waits for a checkpoint grows in every round.
    pub(crate) fn judge(&mut self, load: Load) -> DiskRoom {
        let Measured {
            free_bytes,
            store_bytes,
            used_bytes,
            ready_bytes,
        } = self.measured;
        let journal_bytes = used_bytes.saturating_add(ready_bytes);
        let segments_bytes = SEGMENTS_TAKEN * self.segment_bytes;
        let lives_in = load.stored_bytes.saturating_mul(STORE_FACTOR);
        let mut room = DiskRoom {
            free_bytes,
            reusable_bytes: if load.is_pinned {
                0
            } else {
                store_bytes.saturating_sub(lives_in)
            },
            needed_bytes: self
                .reserve_bytes
                .saturating_add(segments_bytes.saturating_sub(journal_bytes))
                .saturating_add(load.pending_bytes.saturating_mul(STORE_FACTOR)),
            is_full: self.room.is_full,
        };
        // The journal cannot use what is free in the store's file.
        let appendable = free_bytes.saturating_add(ready_bytes);
        let is_short = appendable < SEGMENTS_KEPT * self.segment_bytes;
        let lacks =
            |margin: u64| is_short || room.bytes() < room.needed_bytes.saturating_add(margin);
        // It is full from one mark on, and until another: so that it does not flutter.
        let is_full = lacks(if room.is_full { self.segment_bytes } else { 0 });
        // As much again as waits now: a checkpoint begins when there is room for it and for what comes
        // in meanwhile.
        let uncovered = load.pending_bytes.saturating_mul(STORE_FACTOR);
        self.presses = lacks(uncovered.saturating_add(2 * self.segment_bytes));
        room.is_full = is_full;
        self.room = room;
        room
    }

    /// Little room is left: checkpoints come as soon as they free something.
    pub(crate) fn presses(&self) -> bool {
        self.presses
    }

    /// What a checkpoint may copy inside the store: before it frees anything, it takes more, and that
    /// is what the reserve is for.
    pub(crate) fn worn_bytes_max(&self) -> u64 {
        if self.presses {
            self.reserve_bytes / (2 * STORE_FACTOR)
        } else {
            u64::MAX
        }
    }

    /// What is said to those who are refused.
    pub(crate) fn explain(&self, place: &str) -> String {
        let room = self.room;
        format!(
            "the disk of {place} is nearly full: {} bytes are free there and {} in the store, {} are \
             kept so that work can be finished (disk_reserve {}). Acknowledge or purge jobs, let \
             topics keep less, or make room beside the data folder; then it goes on by itself",
            room.free_bytes, room.reusable_bytes, room.needed_bytes, self.reserve_bytes
        )
    }
}

/// The last judgement, for those outside the loop. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShownRoom(Arc<Mutex<Option<DiskRoom>>>);

impl ShownRoom {
    pub(crate) fn show(&self, room: DiskRoom) {
        *self.0.lock() = Some(room);
    }

    /// `None` where the broker stands on no disk.
    pub(crate) fn get(&self) -> Option<DiskRoom> {
        *self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn gauge(free_bytes: u64) -> Gauge {
        Gauge::new(100 * MIB, 10 * MIB, seen(free_bytes))
    }

    fn seen(free_bytes: u64) -> Measured {
        Measured {
            free_bytes,
            store_bytes: 0,
            used_bytes: 0,
            ready_bytes: 40 * MIB,
        }
    }

    fn pending(pending_bytes: u64) -> Load {
        Load {
            pending_bytes,
            ..Load::default()
        }
    }

    #[test]
    fn what_a_checkpoint_will_need_is_kept_beside_the_reserve() {
        let mut gauge = gauge(130 * MIB);
        assert!(!gauge.judge(pending(10 * MIB)).is_full);
        let room = gauge.judge(pending(10 * MIB + 1));
        assert!(room.is_full);
        assert_eq!(room.needed_bytes, 130 * MIB + 3);
    }

    #[test]
    fn segments_that_the_journal_has_not_made_yet_are_kept_room_for() {
        let mut gauge = gauge(129 * MIB);
        gauge.measured(Measured {
            ready_bytes: 10 * MIB,
            ..seen(129 * MIB)
        });
        assert_eq!(gauge.judge(Load::default()).needed_bytes, 130 * MIB);
        assert!(gauge.judge(Load::default()).is_full);
    }

    #[test]
    fn it_is_full_until_there_is_a_segment_more_than_needed() {
        let mut gauge = gauge(100 * MIB - 1);
        for (free, is_full) in [
            (100 * MIB - 1, true),
            (100 * MIB, true),
            (110 * MIB - 1, true),
            (110 * MIB, false),
            (100 * MIB, false),
            (99 * MIB, true),
        ] {
            gauge.measured(seen(free));
            assert_eq!(gauge.judge(Load::default()).is_full, is_full, "{free}");
        }
    }

    #[test]
    fn checkpoints_are_pressed_for_before_anything_is_refused() {
        let mut gauge = gauge(119 * MIB);
        assert!(!gauge.judge(Load::default()).is_full);
        assert!(gauge.presses());
        gauge.measured(seen(120 * MIB));
        gauge.judge(Load::default());
        assert!(!gauge.presses());
    }

    #[test]
    fn what_the_store_has_no_use_for_is_room_but_not_for_the_journal() {
        let mut gauge = gauge(0);
        let drained = Measured {
            store_bytes: 200 * MIB,
            ..seen(30 * MIB)
        };
        gauge.measured(drained);
        let stored = |stored_bytes, is_pinned| Load {
            stored_bytes,
            is_pinned,
            ..Load::default()
        };
        assert!(!gauge.judge(stored(0, false)).is_full);
        assert!(gauge.judge(stored(0, true)).is_full, "a backup reads it");
        assert!(gauge.judge(stored(60 * MIB, false)).is_full);
        gauge.measured(Measured {
            used_bytes: 35 * MIB,
            ready_bytes: 5 * MIB,
            free_bytes: 14 * MIB,
            ..drained
        });
        assert!(gauge.judge(stored(0, false)).is_full, "no next segment");
    }
}
