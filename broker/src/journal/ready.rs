//! What the three halves of an open file journal share: the append half, the readers, and the
//! thread that prepares segments.

use std::{collections::VecDeque, path::PathBuf, sync::Arc};

use parking_lot::{Condvar, Mutex};

use super::{JournalError, index::Index, latch::Latch, segment::Segment, watermark::Position};

/// A segment in use, and what it holds.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) segment: Arc<Segment>,
    pub(super) index: Index,
}

/// The newest and trimmed numbers of one shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ShardEnds {
    pub(super) shard: u16,
    /// The newest durable number.
    pub(super) durable_lsn: u64,
    /// Everything up to here is no longer needed.
    pub(super) trimmed_lsn: u64,
}

/// Where the last sequential read of a shard ended: the next one starts there without a search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub(super) shard: u16,
    /// The last number that was read.
    pub(super) lsn: u64,
    pub(super) segment: u64,
    pub(super) offset: u32,
}

/// Everything that changes. Held for moments only, never over a system call.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Segments that hold batches, oldest first; the last is the one that is written.
    pub(super) live: VecDeque<Live>,
    /// Empty segments with the numbers that come next.
    pub(super) ready: VecDeque<Arc<Segment>>,
    /// Trimmed segments that the preparer has not taken away yet.
    pub(super) retired: VecDeque<Arc<Segment>>,
    /// Files that wait for their next use.
    pub(super) spares: Vec<PathBuf>,
    /// The disk has little room: no spare is kept beyond what is needed next.
    pub(super) lets_spares_go: bool,
    pub(super) shards: Vec<ShardEnds>,
    pub(super) cursors: Vec<Cursor>,
    /// The durable end.
    pub(super) position: Position,
    /// The use number of the next segment to make.
    pub(super) next_number: u64,
    pub(super) closing: bool,
}

impl State {
    /// The entry of a shard, made when it is new.
    pub(super) fn shard_mut(&mut self, shard: u16) -> &mut ShardEnds {
        let found = self.shards.iter().position(|ends| ends.shard == shard);
        let index = found.unwrap_or_else(|| {
            self.shards.push(ShardEnds {
                shard,
                ..ShardEnds::default()
            });
            self.shards.len() - 1
        });
        &mut self.shards[index]
    }

    pub(super) fn durable_lsn(&self, shard: u16) -> u64 {
        self.shards
            .iter()
            .find(|ends| ends.shard == shard)
            .map_or(0, |ends| ends.durable_lsn)
    }

    pub(super) fn first_lsn(&self, shard: u16) -> Option<u64> {
        self.live
            .iter()
            .find_map(|live| live.index.range(shard))
            .map(|range| range.first_lsn)
    }

    pub(super) fn live(&self, number: u64) -> Option<&Live> {
        let oldest = self.live.front()?.segment.number;
        let index = usize::try_from(number.checked_sub(oldest)?).ok()?;
        // Numbers of live segments follow each other without a gap.
        self.live.get(index)
    }
}

/// The shared object.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) folder: PathBuf,
    pub(super) state: Mutex<State>,
    /// Wakes the preparer: a segment was taken or trimmed, or the journal closes.
    pub(super) work: Condvar,
    /// Wakes an append that waits for a segment.
    pub(super) segment_ready: Condvar,
    latch: Latch,
}

impl Shared {
    pub(super) fn new(folder: PathBuf, state: State) -> Self {
        Self {
            folder,
            state: Mutex::new(state),
            work: Condvar::new(),
            segment_ready: Condvar::new(),
            latch: Latch::default(),
        }
    }

    /// Refuses everything after the first failure.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        self.latch.check()
    }

    /// Latches the first failure, wakes whoever waits, and returns the final error.
    pub(super) fn fail(&self, error: JournalError) -> JournalError {
        let latched = self.latch.set(error);
        // Under the lock, so that nobody checks, misses this, and then sleeps.
        let guard = self.state.lock();
        self.segment_ready.notify_all();
        self.work.notify_all();
        drop(guard);
        latched
    }
}
