//! Room on the disk of a simulated machine. As a rule there is no end of it; a full disk leaves some
//! bytes beyond what is used at that moment.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use verteilt_broker::journal::{
    Batch, Journal, JournalError, JournalLog, MemoryDisk, MemoryJournal, Place,
};
use verteilt_broker::space::Space;

/// The store's file takes so many bytes for each that it holds, and never shrinks.
const STORE_FACTOR: u64 = 2;
/// The segment that is written and those that are ready.
const SEGMENTS_AHEAD: u64 = 3;
/// What a batch takes beside its payload, at most.
const BATCH_BYTES: u64 = 1_024;

/// How the disk fills.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Squeeze {
    /// So many bytes beyond what the broker counts on are left when it looks next: it gets on with
    /// them. What it had taken in between two looks while the disk filled in one moment is no matter
    /// of a reserve this small.
    Kept(u64),
    /// No more than these are left, whatever the broker counts on.
    Taken(u64),
}

/// Cheap to clone; all clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    reserve_bytes: u64,
    /// What journal and store may take together.
    capacity_bytes: Option<u64>,
    /// It will end at the next look, with so many bytes kept.
    kept_bytes: Option<u64>,
    /// Others have taken what the broker counted on.
    is_robbed: bool,
    /// A write found no room, and that is no fault of the broker.
    ran_out: bool,
    segment_bytes: u64,
    journal: Option<(MemoryDisk, Arc<dyn JournalLog>)>,
    /// Whole segments: those in use, and those that are made ahead.
    allocated_bytes: u64,
    held_bytes: u64,
    file_bytes: u64,
}

impl Room {
    pub(crate) fn new(reserve_bytes: u64, segment_bytes: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            reserve_bytes,
            capacity_bytes: None,
            kept_bytes: None,
            is_robbed: false,
            ran_out: false,
            segment_bytes,
            journal: None,
            allocated_bytes: 0,
            held_bytes: 0,
            file_bytes: 0,
        })))
    }

    /// A start: this is what is there.
    pub(crate) fn found(&self, disk: MemoryDisk, log: Arc<dyn JournalLog>, held_bytes: u64) {
        let mut state = self.0.lock();
        state.journal = Some((disk, log));
        state.prepare();
        state.held_bytes = held_bytes;
        state.file_bytes = state.file_bytes.max(STORE_FACTOR * held_bytes);
    }

    pub(crate) fn squeeze(&self, how: Squeeze) {
        let mut state = self.0.lock();
        state.prepare();
        state.is_robbed = matches!(how, Squeeze::Taken(_));
        match how {
            Squeeze::Taken(bytes) => state.capacity_bytes = Some(state.used_bytes() + bytes),
            Squeeze::Kept(bytes) => state.kept_bytes = Some(bytes),
        }
    }

    pub(crate) fn release(&self) {
        let mut state = self.0.lock();
        (state.capacity_bytes, state.kept_bytes) = (None, None);
    }

    /// Whether a write has found no room since the last call, because others took it.
    pub(crate) fn ran_out(&self) -> bool {
        std::mem::take(&mut self.0.lock().ran_out)
    }

    /// The store holds so many bytes more and so many less; false if there is no room for them.
    pub(crate) fn hold(&self, more: u64, less: u64) -> bool {
        let mut state = self.0.lock();
        let held_bytes = (state.held_bytes + more).saturating_sub(less);
        let file_bytes = state.file_bytes.max(STORE_FACTOR * held_bytes);
        let grows_by = file_bytes - state.file_bytes;
        if !state.fits(grows_by) {
            return false;
        }
        (state.held_bytes, state.file_bytes) = (held_bytes, file_bytes);
        true
    }

    /// Room for so many more bytes of journal.
    fn append(&self, bytes: u64) -> bool {
        let mut state = self.0.lock();
        state.prepare();
        let needed = state.journal_bytes() + bytes;
        let fits = needed <= state.allocated_bytes;
        state.ran_out |= !fits && state.is_robbed;
        fits
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.0.lock().file_bytes
    }
}

impl State {
    fn journal_bytes(&self) -> u64 {
        let log = self.journal.as_ref().map(|(_, log)| log);
        log.map_or(0, |log| log.used_bytes())
    }

    /// Makes segments ahead, as far as there is room, and deletes those that are not needed.
    fn prepare(&mut self) {
        let used = self.journal_bytes();
        let wanted = (used / self.segment_bytes + SEGMENTS_AHEAD) * self.segment_bytes;
        self.allocated_bytes = self.allocated_bytes.min(wanted);
        while self.allocated_bytes < wanted && self.free_bytes() >= self.segment_bytes {
            self.allocated_bytes += self.segment_bytes;
        }
        if let Some((disk, _)) = &self.journal {
            disk.tell_ready_bytes(self.allocated_bytes.saturating_sub(used));
        }
    }

    fn used_bytes(&self) -> u64 {
        self.allocated_bytes + self.file_bytes
    }

    fn free_bytes(&self) -> u64 {
        let capacity = self.capacity_bytes.unwrap_or(u64::MAX / 2);
        capacity.saturating_sub(self.used_bytes())
    }

    fn fits(&mut self, bytes: u64) -> bool {
        let fits = bytes == 0 || bytes <= self.free_bytes();
        self.ran_out |= !fits && self.is_robbed;
        fits
    }
}

impl Space for Room {
    fn free_bytes(&self) -> io::Result<u64> {
        let mut state = self.0.lock();
        state.prepare();
        if let Some(bytes) = state.kept_bytes.take() {
            // Nothing that the journal holds now is in the store yet, at the worst.
            let left = state.reserve_bytes + 3 * state.journal_bytes() + bytes;
            state.capacity_bytes = Some(state.used_bytes() + left);
        }
        Ok(state.free_bytes())
    }

    fn place(&self) -> String {
        "the simulated machine".to_owned()
    }
}

/// The journal of a machine whose disk may be full.
#[derive(Debug)]
pub(crate) struct Filling {
    pub(crate) journal: MemoryJournal,
    pub(crate) disk: MemoryDisk,
    pub(crate) room: Room,
}

impl Journal for Filling {
    fn has_room(&self, payload_bytes: usize) -> bool {
        self.journal.has_room(payload_bytes)
    }

    fn append(&mut self, batch: &Batch) -> Result<Place, JournalError> {
        let bytes = batch.payload.len() as u64 + BATCH_BYTES;
        if !self.room.append(bytes) {
            self.disk.fail_append(1);
        }
        self.journal.append(batch)
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        self.journal.seal()
    }

    fn log(&self) -> Arc<dyn JournalLog> {
        self.journal.log()
    }
}
