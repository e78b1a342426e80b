//! A shard with its journal, and beside it others that live from the journal alone: one that
//! replays every event since the beginning, one that began at a checkpoint, and the jobs of a
//! follower, which knows the ledger only. All of them have to agree, byte for byte, after every step.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use verteilt_core::{
    BodyRun, Caller, Command, Event, EventReader, Job, JobId, JobSlots, Ledger, Limits, Lsn,
    Millis, Output, Place, Published, QueueId, RecordRun, RecordTables, Shard, SubscriptionKey,
    TopicEvent, Written, encode_clock, encode_event, record,
};

/// Small numbers, so that a short sequence of commands reaches every bound.
pub(crate) fn limits() -> Limits {
    Limits {
        queues_max: 5,
        subscriptions_max: 5,
        attempts_default: 3,
        lease_ms_default: 30_000,
        lease_ms_max: 3_600_000,
        delay_ms_max: 86_400_000,
        backoff_ms_first: 1_000,
        backoff_ms_max: 600_000,
        backoff_jitter_percent: 10,
        producer_window: 4,
        producer_idle_ms: 90_000,
        resume_grace_ms: 10_000,
        memory_bytes_max: 1_140,
        upload_bytes_max: 400,
        body_bytes_max: 300,
        topics_max: 3,
        partitions_max: 8,
        partitions_total_max: 12,
        groups_max: 2,
        stats_topics_max: 3,
        stats_queues_max: 3,
        delivery_jobs_max: 4,
        delivery_bytes_max: 600,
    }
}

/// Jobs without anything that finds them again: what a follower keeps.
#[derive(Debug, Default)]
pub(crate) struct Slots(pub(crate) BTreeMap<JobId, Job>);

impl JobSlots for Slots {
    fn insert(&mut self, id: JobId, job: Job) {
        assert!(self.0.insert(id, job).is_none(), "{id:?} came twice");
    }

    fn update(&mut self, id: JobId, change: impl FnOnce(&mut Job)) -> QueueId {
        let job = self.0.get_mut(&id).expect("the job is there");
        change(job);
        job.queue
    }

    fn remove_all(&mut self, ids: &[JobId], mut each: impl FnMut(JobId, &Job)) {
        for id in ids {
            each(*id, &self.0.remove(id).expect("the job is there"));
        }
    }
}

/// A checkpoint as it lies on disk.
#[derive(Clone, Debug)]
struct Checkpoint {
    lsn: Lsn,
    now_ms: Millis,
    ledger: Bytes,
    jobs: Bytes,
}

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) shard: Shard,
    pub(crate) now_ms: Millis,
    limits: Limits,
    journal: BytesMut,
    clock_ms: Millis,
    checkpoint: Option<Checkpoint>,
    replica: Shard,
    restored: Option<Shard>,
    follower: (Ledger, Slots),
}

impl World {
    /// A broker that starts for the first time.
    pub(crate) fn new(limits: Limits, now_ms: Millis) -> (Self, Output) {
        let ledger = Ledger::new(JobId(1), limits.producer_window);
        let mut world = Self {
            shard: Shard::new(limits),
            now_ms,
            limits,
            journal: BytesMut::new(),
            clock_ms: 0,
            checkpoint: None,
            replica: Shard::new(limits),
            restored: None,
            follower: (ledger, Slots::default()),
        };
        let output = world.start();
        (world, output)
    }

    pub(crate) fn handle(&mut self, caller: Caller, command: Command) -> Output {
        let (before, mut output) = (self.shard.lsn(), Output::default());
        self.shard.handle(caller, command, self.now_ms, &mut output);
        self.record(before, &output);
        output
    }

    pub(crate) fn tick(&mut self) -> Output {
        let (before, mut output) = (self.shard.lsn(), Output::default());
        self.shard.tick(self.now_ms, &mut output);
        self.record(before, &output);
        output
    }

    /// Writes the state down; the next restart begins here.
    pub(crate) fn checkpoint(&mut self) {
        let (mut ledger, mut jobs, mut before) = (BytesMut::new(), BytesMut::new(), JobId(0));
        record::put_ledger(&mut ledger, self.shard.ledger());
        for (id, job) in self.shard.jobs().filter(|(id, _)| !id.is_volatile()) {
            record::put_job(&mut jobs, before, id, job);
            before = id;
        }
        let jobs = jobs.freeze();
        let read = record::jobs(jobs.clone()).map(|job| job.expect("a job"));
        let written = self.shard.jobs().filter(|(id, _)| !id.is_volatile());
        assert!(read.eq(written.map(|(id, job)| (id, as_written(job)))));
        let checkpoint = Checkpoint {
            lsn: self.shard.lsn(),
            now_ms: self.shard.now_ms(),
            ledger: ledger.freeze(),
            jobs,
        };
        self.restored = Some(self.restore(&checkpoint));
        self.checkpoint = Some(checkpoint);
    }

    /// Everything in memory is lost; the shard is built again from what is on disk, both ways.
    pub(crate) fn crash(&mut self) -> Output {
        let lost = durable_state(&self.shard);
        let journal = self.journal.clone().freeze();
        let mut rebuilt = Shard::new(self.limits);
        replay(&mut rebuilt, journal.clone());
        assert_eq!(durable_state(&rebuilt), lost, "replayed from the journal");
        if let Some(checkpoint) = &self.checkpoint {
            let mut shorter = self.restore(checkpoint);
            replay(&mut shorter, journal);
            assert_eq!(durable_state(&shorter), lost, "replayed from a checkpoint");
            assert_eq!(shorter.lsn(), rebuilt.lsn());
            assert!(shorter.now_ms() >= rebuilt.now_ms());
            rebuilt = shorter;
        }
        self.shard = rebuilt;
        self.start()
    }

    fn start(&mut self) -> Output {
        let (before, mut output) = (self.shard.lsn(), Output::default());
        self.shard.start(self.now_ms, &mut output);
        self.record(before, &output);
        output
    }

    fn restore(&self, checkpoint: &Checkpoint) -> Shard {
        let window = self.limits.producer_window;
        let ledger = record::ledger(checkpoint.ledger.clone(), window).expect("a ledger");
        let jobs = record::jobs(checkpoint.jobs.clone()).map(|job| job.expect("a job"));
        Shard::restore(self.limits, checkpoint.lsn, checkpoint.now_ms, ledger, jobs)
    }

    /// Journals the durable events and lets everybody else read them.
    fn record(&mut self, before: Lsn, output: &Output) {
        let start = self.journal.len();
        let mut count = 0;
        for event in output.events.iter().filter(|event| event.is_durable()) {
            if count == 0 && self.clock_ms != self.shard.now_ms() {
                self.clock_ms = self.shard.now_ms();
                encode_clock(&mut self.journal, self.clock_ms);
            }
            count += 1;
            let at = self.journal.len();
            let run = match encode_event(&mut self.journal, event) {
                Written::Bodies(run) => Some(run.shifted(-(at as isize))),
                Written::Records(run) => {
                    let run = run.shifted(-(at as isize));
                    assert_records(event, &run, &self.journal[at..]);
                    None
                }
                Written::Nothing => None,
            };
            assert_bodies(event, run.as_ref(), &self.journal[at..]);
        }
        assert_eq!(
            self.shard.lsn(),
            before + count,
            "an LSN for each durable event"
        );
        if count > 0 {
            let batch = Bytes::copy_from_slice(&self.journal[start..]);
            assert_scanned(output, &batch);
            for read in EventReader::new(batch, before + 1, self.clock_ms) {
                let (_, now_ms, event) = read.expect("what was written is read");
                self.replica.replay(&event, now_ms);
                if let Some(restored) = &mut self.restored {
                    restored.replay(&event, now_ms);
                }
                let (ledger, slots) = &mut self.follower;
                ledger.apply(slots, &event, now_ms);
            }
        }
        self.assert_same();
    }

    fn assert_same(&self) {
        let live = durable_state(&self.shard);
        assert_eq!(
            durable_state(&self.replica),
            live,
            "a replica since the beginning"
        );
        if let Some(restored) = &self.restored {
            assert_eq!(
                durable_state(restored),
                live,
                "a replica since the checkpoint"
            );
        }
        let (ledger, slots) = &self.follower;
        let jobs = slots.0.iter().map(|(id, job)| (*id, job));
        assert_eq!(state(ledger, jobs), live, "a follower");
    }
}

/// Credit ends with the connection, so it is not written.
fn as_written(job: &Job) -> Job {
    let mut job = job.clone();
    if let Place::Leased(lease) = &mut job.place {
        std::sync::Arc::make_mut(lease).subscription = SubscriptionKey(0);
    }
    job
}

/// The durable state in bytes.
fn durable_state(shard: &Shard) -> Vec<u8> {
    state(shard.ledger(), shard.jobs())
}

fn state<'a>(ledger: &Ledger, jobs: impl Iterator<Item = (JobId, &'a Job)>) -> Vec<u8> {
    let mut out = BytesMut::new();
    record::put_ledger(&mut out, ledger);
    let mut before = JobId(0);
    for (id, job) in jobs.filter(|(id, _)| !id.is_volatile()) {
        record::put_job(&mut out, before, id, job);
        before = id;
    }
    out.to_vec()
}

fn replay(shard: &mut Shard, journal: Bytes) {
    let after = shard.lsn();
    for read in EventReader::new(journal, 1, 0) {
        let (lsn, now_ms, event) = read.expect("what was written is read");
        if lsn > after {
            shard.replay(&event, now_ms);
        }
    }
}

/// What a push or a part brought is found in the bytes that were written.
fn assert_bodies(event: &Event, run: Option<&BodyRun>, record: &[u8]) {
    let record = Bytes::copy_from_slice(record);
    for (id, headers, body) in bodies(event) {
        let run = run.expect("a run for what has a body");
        assert_eq!(run.find(&record, id), Some((headers, body)));
    }
}

/// What a publish brought is found in the bytes that were written, from any offset and with any
/// room.
fn assert_records(event: &Event, run: &RecordRun, record: &[u8]) {
    let Event::Topic(TopicEvent::Published(published)) = event else {
        panic!("{event:?} brought no records");
    };
    let record = Bytes::copy_from_slice(record);
    let whole = 0..record.len();
    assert_eq!(RecordRun::scan_records(&record), Ok(vec![(whole, *run)]));
    let count = published.lengths.count() as u64;
    assert_eq!(
        (run.partition, run.time_ms),
        (published.partition, published.time_ms)
    );
    assert_eq!(run.next_offset(), published.first_offset + count);
    for from in 0..count {
        for records_max in [0, 1, 2, u32::MAX] {
            for bytes_max in [0, 5, 11, u64::MAX] {
                let room = (records_max, bytes_max);
                let mut tables = RecordTables::default();
                let offset = published.first_offset + from;
                let bytes = run
                    .take(&record, offset, room, true, &mut tables)
                    .expect("one at least");
                assert_taken(published, from as usize, &tables, &bytes);
                let most = (records_max as usize).max(1);
                assert!(tables.count() <= most && tables.count() == tables.times[0].1 as usize);
                assert!(tables.count() == 1 || bytes.len() as u64 <= bytes_max);
                let is_full =
                    tables.count() == most || from as usize + tables.count() == count as usize;
                let end = published.lengths.ends[from as usize + tables.count() - 1];
                let next = published.lengths.ends.get(from as usize + tables.count());
                let would = next.map_or(0, |next| u64::from(next - end));
                assert!(
                    is_full || bytes.len() as u64 + would > bytes_max,
                    "there was room for more"
                );
            }
        }
    }
    let mut tables = RecordTables::default();
    for outside in [published.first_offset.wrapping_sub(1), run.next_offset()] {
        assert_eq!(run.take(&record, outside, (9, 9), true, &mut tables), None);
    }
}

fn assert_taken(published: &Published, from: usize, tables: &RecordTables, bytes: &Bytes) {
    let lengths = &published.lengths;
    let start = from.checked_sub(1).map_or(0, |before| lengths.ends[before]) as usize;
    let end = lengths.ends[from + tables.count() - 1] as usize;
    assert_eq!(bytes, &published.payload[start..end]);
    assert_eq!(tables.bytes, bytes.len());
    let parts = |list: &[u32], at: usize| list.get(at).copied().unwrap_or(0);
    for at in 0..tables.count() {
        assert_eq!(parts(&tables.keys, at), parts(&lengths.keys, from + at));
        assert_eq!(
            parts(&tables.headers, at),
            parts(&lengths.headers, from + at)
        );
        let before = (from + at)
            .checked_sub(1)
            .map_or(0, |before| lengths.ends[before]);
        let whole = lengths.ends[from + at] - before;
        let sum = tables.values[at] + parts(&tables.keys, at) + parts(&tables.headers, at);
        assert_eq!(sum, whole);
    }
}

/// The same from the bytes alone, and when they are looked at from somewhere else.
fn assert_scanned(output: &Output, batch: &Bytes) {
    let runs = BodyRun::scan(batch).expect("whole records");
    for (range, run) in BodyRun::scan_records(batch).expect("whole records") {
        let shifted = run.shifted(-(range.start as isize));
        assert_eq!(BodyRun::scan(&batch.slice(range)), Ok(vec![shifted]));
    }
    let mut padded = BytesMut::from(&b"padding"[..]);
    padded.extend_from_slice(batch);
    let padded = padded.freeze();
    let durable = output.events.iter().filter(|event| event.is_durable());
    for (id, headers, body) in durable.flat_map(bodies) {
        let found: Vec<_> = runs.iter().filter_map(|run| run.find(batch, id)).collect();
        assert_eq!(found, [(headers, body.clone())]);
        let shifted = runs.iter().map(|run| run.shifted(7));
        let found: Vec<_> = shifted.filter_map(|run| run.find(&padded, id)).collect();
        assert_eq!(found, [(headers, body)]);
    }
}

fn bodies(event: &Event) -> Vec<(JobId, u32, Bytes)> {
    match event {
        Event::Pushed(pushed) => (0..pushed.count())
            .map(|at| {
                let end = pushed.lengths.ends[at] as usize;
                let start = end - pushed.lengths.length(at) as usize;
                let headers = pushed.lengths.headers.get(at).copied().unwrap_or(0);
                let id = JobId(pushed.first_id.0 + at as u64);
                (id, headers, pushed.payload.slice(start..end))
            })
            .collect(),
        Event::PartStored { id, payload, .. } => vec![(*id, 0, payload.clone())],
        _ => Vec::new(),
    }
}
