//! The broker without threads, sockets and clocks. [`Engine::step`] decides everything that waits;
//! the caller brings [`Engine::take_batch`] to the journal, says [`Engine::durable`] once it is on
//! disk, and tells what [`Engine::released`] hands out. Rounds overlap: while one batch is being
//! written the next one is decided.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use verteilt_core::{
    Addressed, Caller, Command, DiskOutput, Event, EventReader, Lsn, Millis, Output, Shard,
};

use super::batch::Gathering;
use super::bodies::{Bodies, Loaded, Source};
use super::records::Records;
use crate::journal::{Batch, Place};
use crate::store::{BlockMeta, RecordBlockMeta};

/// One shard.
#[derive(Debug)]
pub(crate) struct Engine {
    number: u16,
    shard: Shard,
    /// Where bodies lie.
    pub bodies: Bodies,
    /// Where records lie.
    pub records: Records,
    gathering: Gathering,
    output: Output,
    /// Effects that wait for their LSN, in its order.
    waiting: VecDeque<Addressed>,
    /// Effects that wait for nothing.
    free: Vec<Addressed>,
    durable: Lsn,
    /// The batch that the journal is writing.
    writing: Option<(Lsn, Bytes)>,
}

impl Engine {
    /// Around a shard as a checkpoint left it; replay what the journal holds behind it, then
    /// [`Self::start`].
    #[must_use]
    pub(crate) fn new(number: u16, shard: Shard, bodies: Bodies, records: Records) -> Self {
        let durable = shard.lsn();
        Self {
            number,
            shard,
            bodies,
            records,
            gathering: Gathering::default(),
            output: Output::default(),
            waiting: VecDeque::new(),
            free: Vec::new(),
            durable,
            writing: None,
        }
    }

    /// Applies a batch that was decided in an earlier run.
    ///
    /// # Errors
    /// If it holds records of an unknown format.
    pub(crate) fn replay(
        &mut self,
        batch: &Batch,
        place: Place,
    ) -> Result<(), verteilt_core::CodecError> {
        let after = self.shard.lsn();
        let events = EventReader::new(batch.payload.clone(), batch.first_lsn, batch.time_ms);
        for event in events {
            let (lsn, now_ms, event) = event?;
            if lsn > after {
                self.shard.replay(&event, now_ms);
            }
        }
        self.bodies.add_recovered(batch, place)?;
        self.records.add_recovered(batch, place)?;
        self.durable = self.shard.lsn();
        Ok(())
    }

    /// Begins to serve.
    pub(crate) fn start(&mut self, now_ms: Millis) {
        let before = self.shard.lsn();
        self.shard.start(now_ms, &mut self.output);
        self.record(before);
    }

    /// Decides commands and everything that time asks for.
    pub(crate) fn step(
        &mut self,
        now_ms: Millis,
        commands: impl IntoIterator<Item = (Caller, Command)>,
    ) {
        let before = self.shard.lsn();
        for (caller, command) in commands {
            self.shard.handle(caller, command, now_ms, &mut self.output);
        }
        self.shard.tick(now_ms, &mut self.output);
        self.record(before);
    }

    /// Takes in what was decided about requests of durability `disk`.
    pub(crate) fn take_requests(&mut self, now_ms: Millis, decided: DiskOutput) {
        let before = self.shard.lsn();
        self.shard.take_requests(decided, now_ms, &mut self.output);
        self.record(before);
    }

    /// When [`Self::step`] has something to do without commands.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Millis> {
        self.shard.next_deadline()
    }

    /// Bytes that wait for the journal.
    #[must_use]
    pub(crate) fn gathered_bytes(&self) -> usize {
        self.gathering.len()
    }

    /// The batch for the journal, unless it is busy with the one before or there is nothing.
    pub(crate) fn take_batch(&mut self) -> Option<Batch> {
        if self.gathering.is_empty() || self.writing.is_some() {
            return None;
        }
        let (batch, fresh) = self.gathering.take(self.number);
        self.bodies.add_batch(&batch, fresh.spans);
        self.records.add_batch(&batch, fresh.pieces);
        self.writing = Some((batch.last_lsn(), batch.payload.clone()));
        Some(batch)
    }

    /// The batch taken last is on disk.
    ///
    /// # Panics
    /// If none was taken.
    pub(crate) fn durable(&mut self, place: Place) {
        let (lsn, payload) = self
            .writing
            .take()
            .expect("a batch was taken before it got durable");
        self.bodies.set_place(lsn, place, &payload);
        self.records.set_place(lsn, place, &payload);
        self.durable = lsn;
    }

    /// Something was read from the journal or the store.
    pub(crate) fn add_loaded(&mut self, source: Source, loaded: Loaded) {
        match loaded {
            Loaded::Records(runs) => self.records.add_loaded(source, runs),
            other => self.bodies.add_loaded(source, other),
        }
    }

    /// A checkpoint is on disk: everything up to `lsn` is in its blocks now.
    pub(crate) fn install(
        &mut self,
        lsn: Lsn,
        blocks: Arc<[BlockMeta]>,
        records: Arc<[RecordBlockMeta]>,
    ) {
        self.bodies.install(lsn, blocks);
        self.records.install(lsn, records);
    }

    /// What may be told now, in order.
    pub(crate) fn released(&mut self) -> impl Iterator<Item = Addressed> {
        let durable = self.durable;
        let ready = self
            .waiting
            .partition_point(|effect| effect.after <= durable);
        self.free.drain(..).chain(self.waiting.drain(..ready))
    }

    /// Everything up to here is on disk.
    #[must_use]
    pub(crate) fn durable_lsn(&self) -> Lsn {
        self.durable
    }

    /// The shard's state.
    #[must_use]
    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Everything decided is on disk, and everything told.
    #[must_use]
    pub(crate) fn is_settled(&self) -> bool {
        self.gathering.is_empty() && self.writing.is_none() && self.waiting.is_empty()
    }

    fn record(&mut self, before: Lsn) {
        let mut output = std::mem::take(&mut self.output);
        let (mut lsn, now_ms) = (before, self.shard.now_ms());
        for event in output.events.drain(..) {
            if event.is_durable() {
                lsn += 1;
                self.gathering.add(&event, lsn, now_ms);
            } else {
                self.keep_volatile(&event);
            }
        }
        for effect in output.effects.drain(..) {
            if effect.after == 0 {
                self.free.push(effect);
            } else {
                self.waiting.push_back(effect);
            }
        }
        self.output = output;
    }

    fn keep_volatile(&mut self, event: &Event) {
        match event {
            Event::Pushed(pushed) => {
                let mut start = 0;
                for (index, end) in pushed.lengths.ends.iter().enumerate() {
                    let id = verteilt_core::JobId(pushed.first_id.0 + index as u64);
                    let headers = pushed.lengths.headers.get(index).copied().unwrap_or(0);
                    let bytes = &pushed.payload[start as usize..*end as usize];
                    self.bodies.keep_volatile(id, headers, bytes);
                    start = *end;
                }
            }
            Event::Acked { ids } | Event::Purged { ids } => {
                ids.iter().for_each(|id| self.bodies.drop_volatile(*id));
            }
            _ => {}
        }
    }
}
