//! The loop that joins the engine to its threads and to the connections.
//!
//! One turn: wait for anything; take everything that waits; decide it; hand the batch to the
//! journal if that is free; tell what has become durable. One wake-up a batch, not one a message.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::time::Instant;
use verteilt_core::{ConnectionId, Lsn, Requests};

use super::appending::{self, Appender};
use super::backup::BackupState;
use super::busy_poll::{Awake, BusyPoll};
use super::disk_work::{self, JournalTask, LoadError, Outcome};
use super::failure::Failure;
use super::inbox::{EngineHandle, Inbound};
use super::parcels::Parcels;
use super::peer::Peer;
use super::reading::Audience;
use super::requests;
use super::room::{Room, RoomParts};
use super::settings::Settings;
use super::step::Engine;
use super::workers::{Post, Worker, Workers};
use crate::clock::Clock;
use crate::convert;
use crate::follower::{self, Follower, FollowerReport, FollowerTask};
use crate::journal::{Batch, Journal, JournalLog};
use crate::meters::Meters;
use crate::net::Welcome;
use crate::service_meters;
use crate::store::BlockReader;

/// Requests that the loader has at a time, and what one of them asks for at most: what is needed
/// now does not wait behind much that is only needed next.
const LOADS_MAX: usize = 2;
const LOAD_SOURCES_MAX: usize = 8;
/// Messages taken from the inbox in one go.
const TAKEN_MAX: usize = 512;
/// More commands than this in a turn, or a larger batch, mean that there is enough to do,
const QUIET_COMMANDS_MAX: usize = 8;
/// and so many turns without that, that there is little: then one wake-up more or less counts.
const QUIET_TURNS: u32 = 16;
/// How often depths are counted for metrics, and the longest the loop sleeps.
const IDLE: Duration = Duration::from_secs(1);

/// What a loop is made of.
pub(crate) struct EngineParts {
    pub(crate) engine: Engine,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) follower: Follower,
    pub(crate) blocks: BlockReader,
    pub(crate) clock: Clock,
    pub(crate) workers: Workers,
    pub(crate) settings: Settings,
    pub(crate) welcome: Welcome,
    /// `None`: there is always room.
    pub(crate) room: Option<RoomParts>,
    pub(crate) handle: EngineHandle,
    pub(crate) inbox: mpsc::Receiver<Inbound>,
}

pub(super) struct Loop {
    pub(super) engine: Engine,
    pub(super) clock: Clock,
    pub(super) settings: Settings,
    pub(super) welcome: Welcome,
    pub(super) log: Arc<dyn JournalLog>,
    pub(super) journal: Appender,
    pub(super) loader: Worker<Vec<super::Source>>,
    pub(super) follower: Worker<FollowerTask>,
    pub(super) workers: Workers,
    pub(super) peers: FxHashMap<ConnectionId, Peer>,
    pub(super) parcels: Parcels,
    pub(super) audience: Audience,
    /// Beside the engine: most of them never wait for the journal.
    pub(super) requests: Requests,
    /// Connections that something was gathered for in this turn.
    pub(super) touched: Vec<ConnectionId>,
    /// Taken from the inbox, not decided yet.
    pub(super) backlog: VecDeque<Inbound>,
    /// Who said good-bye, and what has to be durable before their last answer.
    pub(super) leaving: Vec<(Lsn, ConnectionId)>,
    pub(super) appending: bool,
    /// Turns until little counts as having been done for a while.
    pub(super) busy_turns: u32,
    /// Commands and asks decided in this turn.
    pub(super) decided: usize,
    pub(super) busy_poll: BusyPoll,
    pub(super) loading: usize,
    /// The last batch is not sealed yet; since when it is quiet.
    pub(super) unsealed_since: Option<Instant>,
    pub(super) checkpoint: CheckpointState,
    pub(super) room: Option<Room>,
    pub(super) backup: BackupState,
    pub(super) stopping: Option<Instant>,
    pub(super) goodbye: Goodbye,
    pub(super) counted: Instant,
    pub(super) meters: Meters,
    pub(super) handle: EngineHandle,
    pub(super) stop_follower: Arc<AtomicBool>,
}

/// What clients were told of the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goodbye {
    NotYet,
    /// Once everything up to here has been told.
    After(Lsn),
    Said,
}

/// Where the follower is.
pub(super) struct CheckpointState {
    pub(super) running: bool,
    pub(super) last: Instant,
    /// Events up to here are in the store.
    pub(super) lsn: u64,
    pub(super) appended_bytes: u64,
    /// What lives in the store.
    pub(super) stored_bytes: u64,
    /// How far the checkpoint that is running was asked to go, and what had been appended then.
    pub(super) asked: (Lsn, u64),
    /// Who waits until the store holds everything up to which LSN.
    pub(super) waiting: Vec<(ConnectionId, u64, Lsn)>,
}

impl CheckpointState {
    /// What is left of the appended bytes. A checkpoint that came as far as it was asked to leaves
    /// what came since; the bytes that it read are less than what the journal counts, whose
    /// segments also hold what older checkpoints cover.
    fn written(&mut self, lsn: Lsn, covered_bytes: u64) {
        let (asked_lsn, asked_bytes) = self.asked;
        let done = if lsn >= asked_lsn {
            asked_bytes
        } else {
            covered_bytes
        };
        self.appended_bytes = self.appended_bytes.saturating_sub(done);
    }
}

/// Runs until told to stop, or until something fails that cannot be gone on from.
pub(crate) async fn run(parts: EngineParts) -> Result<(), Failure> {
    let (outcome_sender, outcomes) = mpsc::channel(8);
    let (report_sender, reports) = mpsc::channel(8);
    let mut inbox = parts.inbox;
    let stop_follower = parts.follower.stop_flag();
    let (journal, follower, blocks) = (parts.journal, parts.follower, parts.blocks);
    let stored_bytes = follower.stored_bytes();
    let room = parts
        .room
        .map(|room| Room::start(room, &parts.workers, outcome_sender.clone()));
    let room = room.transpose().map_err(|_| Failure::ThreadGone("room"))?;
    let answers = (outcome_sender, report_sender);
    let threads = spawn(&parts.workers, journal, follower, blocks, answers)
        .map_err(|_| Failure::ThreadGone("journal"))?;
    let (clock, settings, welcome) = (parts.clock, parts.settings, parts.welcome);
    let mut this = Loop::new(
        parts.engine,
        clock,
        settings,
        welcome,
        (threads, parts.workers),
        (parts.handle, stop_follower),
        (room, stored_bytes),
    );
    let result = this.turn_until_stopped(&mut inbox, outcomes, reports).await;
    this.close(result.as_ref().err());
    result
}

type Threads = (
    Arc<dyn JournalLog>,
    Appender,
    Worker<Vec<super::Source>>,
    Worker<FollowerTask>,
    Awake,
);

fn spawn(
    workers: &Workers,
    journal: Box<dyn Journal>,
    mut follower: Follower,
    blocks: BlockReader,
    (outcomes, reports): (mpsc::Sender<Outcome>, mpsc::Sender<FollowerReport>),
) -> std::io::Result<Threads> {
    let log = journal.log();
    let awake = Awake::default();
    let journal = Appender::new(journal, workers, awake.clone(), outcomes.clone())?;
    let loader = Worker::spawn(
        workers,
        Post::new("loader", 2, || {}),
        outcomes,
        disk_work::load(Arc::clone(&log), blocks),
    )?;
    let follower = Worker::spawn(
        workers,
        Post::new("follower", 4, follower::step_back),
        reports,
        move |task| follower.work(&task),
    )?;
    Ok((log, journal, loader, follower, awake))
}

impl Loop {
    fn new(
        engine: Engine,
        clock: Clock,
        settings: Settings,
        welcome: Welcome,
        ((log, journal, loader, follower, awake), workers): (Threads, Workers),
        (handle, stop_follower): (EngineHandle, Arc<AtomicBool>),
        (room, stored_bytes): (Option<Room>, u64),
    ) -> Self {
        let lsn = follower_lsn(&log, &engine);
        let mut requests = Requests::new(settings.requests, engine.shard().epoch());
        requests.restore(engine.shard().ledger().requests(), clock.now_us());
        let log_bytes = log.used_bytes();
        // Virtual time stands still while anybody is awake.
        let busy_poll = match workers {
            Workers::Threads => settings.busy_poll,
            Workers::Workshop(_) => Duration::ZERO,
        };
        Self {
            engine,
            clock,
            settings,
            welcome,
            log,
            journal,
            loader,
            follower,
            workers,
            peers: FxHashMap::default(),
            parcels: Parcels::default(),
            audience: Audience::default(),
            requests,
            touched: Vec::new(),
            backlog: VecDeque::new(),
            leaving: Vec::new(),
            appending: false,
            busy_turns: QUIET_TURNS,
            decided: 0,
            busy_poll: BusyPoll::new(busy_poll, awake),
            loading: 0,
            unsealed_since: Some(Instant::now()),
            checkpoint: CheckpointState {
                running: false,
                last: Instant::now(),
                lsn,
                appended_bytes: log_bytes,
                stored_bytes,
                asked: (0, 0),
                waiting: Vec::new(),
            },
            room,
            backup: BackupState::None,
            stopping: None,
            goodbye: Goodbye::NotYet,
            counted: Instant::now(),
            meters: Meters::new(),
            handle,
            stop_follower,
        }
    }

    async fn turn_until_stopped(
        &mut self,
        inbox: &mut mpsc::Receiver<Inbound>,
        mut outcomes: mpsc::Receiver<Outcome>,
        mut reports: mpsc::Receiver<FollowerReport>,
    ) -> Result<(), Failure> {
        let mut taken = Vec::new();
        let timer = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(timer);
        loop {
            let deadline = self.next_wake();
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            let open = self.backlog.is_empty();
            tokio::select! {
                biased;
                outcome = outcomes.recv() => {
                    self.outcome(outcome.ok_or(Failure::ThreadGone("journal"))?)?;
                }
                report = reports.recv() => {
                    self.report(report.ok_or(Failure::ThreadGone("follower"))?)?;
                }
                count = inbox.recv_many(&mut taken, TAKEN_MAX), if open => {
                    if count == 0 {
                        return Ok(());
                    }
                    self.backlog.extend(taken.drain(..));
                }
                () = &mut timer => {}
                // Connections have their turn between rounds.
                () = tokio::task::yield_now(), if self.wants_round() => {}
                () = tokio::task::yield_now(), if self.busy_poll.is_on() => {
                    self.busy_poll.nothing(std::time::Instant::now());
                    continue;
                }
            }
            self.busy_poll.news();
            while let Ok(outcome) = outcomes.try_recv() {
                self.outcome(outcome)?;
            }
            self.decided = 0;
            self.decide();
            self.busy_turns = self.busy_turns.saturating_sub(1);
            if self.decided > QUIET_COMMANDS_MAX || !inbox.is_empty() {
                self.busy_turns = QUIET_TURNS;
            }
            self.submit()?;
            self.tell()?;
            // What the next part of a large body needs shows only when it is told.
            self.load()?;
            self.count();
            if self.busy_turns == 0 {
                let more = if self.appending {
                    self.journal.usual()
                } else {
                    Duration::ZERO
                };
                self.busy_poll.begin(std::time::Instant::now(), more);
            }
            if self.handle.is_stopped() {
                self.stopping = Some(Instant::now());
            }
            if self.may_leave() {
                return Ok(());
            }
        }
    }

    /// Gives the journal, the loader and the follower their next task.
    fn submit(&mut self) -> Result<(), Failure> {
        if !self.appending {
            if let Some(batch) = self.engine.take_batch() {
                self.checkpoint.appended_bytes += batch.payload.len() as u64;
                self.unsealed_since = None;
                self.touch_disk();
                self.append(batch)?;
            } else if self
                .unsealed_since
                .is_some_and(|since| since.elapsed() >= self.settings.seal_after)
            {
                self.unsealed_since = None;
                self.give_journal(JournalTask::Seal)?;
            }
        }
        self.load()?;
        self.look_at_disk()?;
        if self.wants_checkpoint() {
            self.checkpoint.running = true;
            self.checkpoint.asked = (self.log.durable_lsn(0), self.checkpoint.appended_bytes);
            let worn_bytes_max = self.room.as_ref().map_or(u64::MAX, Room::worn_bytes_max);
            if !self
                .follower
                .give(FollowerTask::Checkpoint { worn_bytes_max })
            {
                return Err(Failure::ThreadGone("follower"));
            }
        }
        Ok(())
    }

    /// Has the bodies read that somebody waits for.
    fn load(&mut self) -> Result<(), Failure> {
        while self.loading < LOADS_MAX && !self.parcels.wanted.is_empty() {
            self.loading += 1;
            let count = self.parcels.wanted.len().min(LOAD_SOURCES_MAX);
            if !self
                .loader
                .give(self.parcels.wanted.drain(..count).collect())
            {
                return Err(Failure::ThreadGone("loader"));
            }
        }
        Ok(())
    }

    /// Has a batch written: at once, or by the journal's thread.
    fn append(&mut self, batch: Batch) -> Result<(), Failure> {
        if batch.payload.len() > appending::SMALL_BYTES {
            self.busy_turns = QUIET_TURNS;
        } else if self.busy_turns == 0
            && !self.busy_poll.pays()
            && let Some(outcome) = self.journal.append_here(&batch)
        {
            return self.outcome(outcome);
        }
        self.give_journal(JournalTask::Append(batch))
    }

    fn give_journal(&mut self, task: JournalTask) -> Result<(), Failure> {
        self.appending = true;
        if self.journal.give(task) {
            Ok(())
        } else {
            Err(Failure::ThreadGone("journal"))
        }
    }

    fn wants_checkpoint(&self) -> bool {
        let state = &self.checkpoint;
        if state.running {
            return false;
        }
        let durable = self.log.durable_lsn(0);
        let pressed = self.room.as_ref();
        let due = state.last.elapsed() >= self.settings.checkpoint_interval
            || pressed.is_some_and(|room| room.wants_checkpoint(state.last));
        !state.waiting.is_empty()
            || self.backup_waits()
            || state.appended_bytes >= self.settings.checkpoint_bytes
            || (due && durable > state.lsn)
    }

    fn outcome(&mut self, outcome: Outcome) -> Result<(), Failure> {
        match outcome {
            Outcome::Appended(place, took) => {
                self.journal.took(place.length as usize, took);
                self.appending = false;
                self.unsealed_since = Some(Instant::now());
                self.engine.durable(place);
                self.wake_readers();
            }
            Outcome::Sealed => self.appending = false,
            Outcome::JournalFailed(error) => return Err(error.into()),
            Outcome::Measured(measured) => self.disk_measured(measured),
            Outcome::Loaded(all) => {
                self.loading -= 1;
                for (source, loaded) in all {
                    match loaded {
                        Ok(loaded) => {
                            let complete = self.parcels.loaded(source, &loaded);
                            self.engine.add_loaded(source, loaded);
                            self.hand_out(complete)?;
                            self.go_on_reading(source);
                        }
                        Err(LoadError::Moved) => {
                            // A checkpoint moved it; its report is here or on its way.
                            let bodies = &self.engine.bodies;
                            let complete = self.parcels.look_again(source, bodies);
                            self.hand_out(complete)?;
                            self.go_on_reading(source);
                        }
                        Err(LoadError::Damaged(place)) => {
                            let (segment, offset) = (place.segment, place.offset);
                            return Err(Failure::BodyDamaged { segment, offset });
                        }
                        Err(LoadError::Journal(error)) => return Err(error.into()),
                        Err(LoadError::Store(error)) => return Err(error.into()),
                        Err(LoadError::Codec(error)) => return Err(error.into()),
                    }
                }
                self.touch_streams();
            }
        }
        Ok(())
    }

    fn report(&mut self, report: FollowerReport) -> Result<(), Failure> {
        match report {
            FollowerReport::Written {
                lsn,
                covered_bytes,
                stored_bytes,
                blocks,
                records,
            } => {
                self.checkpoint.stored_bytes = stored_bytes;
                let before = self.checkpoint.appended_bytes;
                self.checkpoint.written(lsn, covered_bytes);
                self.store_grew(before - self.checkpoint.appended_bytes);
                self.engine.install(lsn, blocks, records);
                self.wake_readers();
                self.checkpoint.lsn = lsn;
                self.touch_streams();
                if !self.follower.give(FollowerTask::Trim(lsn)) {
                    return Err(Failure::ThreadGone("follower"));
                }
            }
            FollowerReport::Trimmed { lsn } => {
                self.checkpoint.running = false;
                self.touch_disk();
                self.checkpoint.last = Instant::now();
                let waiting = std::mem::take(&mut self.checkpoint.waiting);
                for (connection, correlation, wanted) in waiting {
                    if wanted > lsn {
                        self.checkpoint
                            .waiting
                            .push((connection, correlation, wanted));
                    } else if let Some(peer) = self.peers.get(&connection) {
                        peer.outbox
                            .append(|out| convert::checkpoint_done(out, correlation, lsn));
                    }
                }
                self.go_on_with_backup(lsn)?;
                // Pushes may have been held until now.
                self.touched.extend(self.peers.keys().copied());
            }
            FollowerReport::Pinned(pinned) => self.send_backup(pinned),
            FollowerReport::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let mut wake = now + IDLE;
        if let Some(at_ms) = self.engine.next_deadline() {
            wake = wake.min(self.clock.instant_of(at_ms));
        }
        let disk = requests::disk(&self.engine, None);
        if let Some(at_us) = self.requests.next_deadline(disk) {
            wake = wake.min(self.clock.instant_of_us(at_us));
        }
        if let Some(since) = self.unsealed_since.filter(|_| !self.appending) {
            wake = wake.min(since + self.settings.seal_after);
        }
        let room = self.room.as_ref();
        let looks = room.and_then(Room::next_look);
        wake = looks.map_or(wake, |at| wake.min(at));
        if !self.checkpoint.running && self.log.durable_lsn(0) > self.checkpoint.lsn {
            let pressed = room.and_then(|room| room.next_checkpoint(self.checkpoint.last));
            wake = pressed.map_or(wake, |at| wake.min(at));
        }
        // Once that has passed, what it still waits for wakes the loop.
        if let Some(until) = self.stopping.filter(|until| *until > now) {
            wake = wake.min(until);
        }
        wake
    }

    fn count(&mut self) {
        if self.counted.elapsed() >= IDLE {
            self.counted = Instant::now();
            let (shard, lsn) = (self.engine.shard(), self.checkpoint.lsn);
            let engine = &self.engine;
            let cached_bytes = engine.bodies.cached_bytes() + engine.records.cached_bytes();
            self.meters
                .depths(shard, cached_bytes, lsn, self.log.used_bytes());
            service_meters::show(&self.requests);
        }
    }

    fn may_leave(&self) -> bool {
        let Some(until) = self.stopping else {
            return false;
        };
        let held = self.engine.shard().leased_len() + self.requests.unfinished_len();
        let finished = held == 0 || Instant::now() >= until;
        finished && self.engine.is_settled() && !self.appending
    }

    /// Says good-bye, ends the threads; the journal is closed by its own.
    fn close(&mut self, failure: Option<&Failure>) {
        self.say_goodbye(failure);
        self.backup = BackupState::None;
        self.peers.values().for_each(|peer| peer.outbox.close());
        self.peers.clear();
        self.stop_follower.store(true, Ordering::Relaxed);
        if let Some(room) = &mut self.room {
            room.end();
        }
        self.follower.end();
        self.loader.end();
        self.journal.end();
    }
}

/// Nothing was checkpointed since the start; what the journal holds may be checkpointed when due.
fn follower_lsn(log: &Arc<dyn JournalLog>, engine: &Engine) -> Lsn {
    log.first_lsn(0)
        .map_or(engine.shard().lsn(), |first| first.saturating_sub(1))
}
