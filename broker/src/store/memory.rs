//! The twin of the engine on the disk: in memory, with crashes and failures on purpose.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{KeyVisitor, PairVisitor, Store, StoreError, check_size};

/// A [`Store`] in memory that keeps apart what a flush has made safe and what it has not, so that
/// a crash can lose exactly what a disk may lose; and that fails on purpose.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    flushed: BTreeMap<Bytes, Bytes>,
    /// What readers see: `flushed` with all of `pending`.
    seen: BTreeMap<Bytes, Bytes>,
    /// Changes since the last flush, in their order. `None` deletes.
    pending: Vec<(Bytes, Option<Bytes>)>,
    operations: u64,
    fail_at: Option<u64>,
    failed: Option<Arc<str>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many puts, deletes and flushes there have been.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// How many puts and deletes no flush has made safe yet.
    pub fn pending(&self) -> usize {
        self.state.lock().pending.len()
    }

    /// Lets the put, delete or flush number `operation` (from 0, see [`MemoryStore::operations`])
    /// fail, and with it all that follow. A put or delete that fails may yet survive a crash; a
    /// flush that fails has made nothing safe.
    pub fn fail_at(&self, operation: u64) {
        self.state.lock().fail_at = Some(operation);
    }

    /// What a start finds after a crash: all that was flushed, and of the rest, numbered from 0 in
    /// the order it was done, whatever `keep` says. Nothing fails on purpose any more.
    pub fn crash(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let state = self.state.lock();
        let mut flushed = state.flushed.clone();
        for (index, (key, value)) in state.pending.iter().enumerate() {
            if keep(index) {
                apply(&mut flushed, key.clone(), value.clone());
            }
        }
        let seen = flushed.clone();
        Self {
            state: Mutex::new(State {
                flushed,
                seen,
                ..State::default()
            }),
        }
    }

    /// Every pair as readers see it, in ascending order of the key: for tests that damage one.
    pub fn pairs(&self) -> Vec<(Bytes, Bytes)> {
        self.state
            .lock()
            .seen
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    fn change(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        check_size(key, value.unwrap_or_default())?;
        let mut state = self.state.lock();
        state.check()?;
        let pair = (
            Bytes::copy_from_slice(key),
            value.map(Bytes::copy_from_slice),
        );
        state.pending.push(pair.clone());
        state.count()?;
        apply(&mut state.seen, pair.0, pair.1);
        Ok(())
    }
}

impl State {
    fn check(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(reason) => Err(StoreError::Failed {
                reason: Arc::clone(reason),
            }),
            None => Ok(()),
        }
    }

    fn count(&mut self) -> Result<(), StoreError> {
        if self.fail_at == Some(self.operations) {
            self.failed = Some("failed on purpose".into());
        }
        self.operations += 1;
        self.check()
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let state = self.state.lock();
        state.check()?;
        Ok(state.seen.get(key).cloned())
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.change(key, Some(value))
    }

    fn delete(&self, key: &[u8]) -> Result<(), StoreError> {
        self.change(key, None)
    }

    fn scan(&self, prefix: &[u8], visit: &mut PairVisitor<'_>) -> Result<(), StoreError> {
        let state = self.state.lock();
        state.check()?;
        visit_from(&state.seen, prefix, prefix, visit);
        Ok(())
    }

    fn keys(
        &self,
        prefix: &[u8],
        from: &[u8],
        visit: &mut KeyVisitor<'_>,
    ) -> Result<(), StoreError> {
        let state = self.state.lock();
        state.check()?;
        visit_from(&state.seen, prefix, prefix.max(from), &mut |key, _| {
            visit(key)
        });
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.check()?;
        state.count()?;
        state.pending.clear();
        state.flushed = state.seen.clone();
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        self.state
            .lock()
            .seen
            .iter()
            .map(|(key, value)| (key.len() + value.len()) as u64)
            .sum()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

fn apply(map: &mut BTreeMap<Bytes, Bytes>, key: Bytes, value: Option<Bytes>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn visit_from(
    map: &BTreeMap<Bytes, Bytes>,
    prefix: &[u8],
    from: &[u8],
    visit: &mut PairVisitor<'_>,
) {
    for (key, value) in map.range::<[u8], _>((Bound::Included(from), Bound::Unbounded)) {
        if !key.starts_with(prefix) || visit(key, value).is_break() {
            return;
        }
    }
}
