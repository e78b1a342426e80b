//! The engine, the follower and the store in memory, driven by dice: however checkpoints, trims and
//! crashes fall, what comes back is what was there.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use verteilt_core::{
    Caller, Command, Effect, EventReader, JobId, JobOptions, Lengths, Lsn, ProducerId, Push,
    Settle, SettleKind, Shard, record,
};

use super::{ME, Memory, SESSION, queue};
use crate::engine::disk_work::read;
use crate::follower::FollowerReport;
use crate::journal::{Batch, Crash};
use crate::recovery::Opened;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Push {
        lengths: Vec<u16>,
        headers: bool,
    },
    Part {
        more: bool,
    },
    Reserve(u32),
    Settle(SettleKind),
    Purge(u32),
    Checkpoint,
    /// The store fails at its n-th operation from now, in the next checkpoint.
    StoreFails(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let lengths = proptest::collection::vec(0u16..3_000, 1..12);
    let kind = prop_oneof![
        3 => Just(SettleKind::Ack),
        1 => Just(SettleKind::Release),
        1 => Just(SettleKind::Nack { delay_ms: Some(0) }),
        1 => Just(SettleKind::Touch { lease_ms: 0 }),
    ];
    prop_oneof![
        6 => (lengths, any::<bool>()).prop_map(|(lengths, headers)| Step::Push { lengths, headers }),
        2 => any::<bool>().prop_map(|more| Step::Part { more }),
        5 => (1u32..20).prop_map(Step::Reserve),
        6 => kind.prop_map(Step::Settle),
        1 => (1u32..30).prop_map(Step::Purge),
        3 => Just(Step::Checkpoint),
        1 => (0u8..40).prop_map(Step::StoreFails),
        2 => Just(Step::Restart),
    ]
}

struct World {
    memory: Memory,
    opened: Opened,
    /// Everything that was ever journaled.
    batches: Vec<Batch>,
    now_ms: u64,
    correlation: u64,
    upload: (u64, u32),
    /// Header block length and bytes (parts first) of each job.
    bodies: BTreeMap<JobId, (u32, Vec<u8>)>,
    upload_bytes: Vec<u8>,
    held: Vec<(JobId, u64)>,
    seed: u8,
}

/// All durable state, as a checkpoint would write it.
fn state(shard: &Shard) -> Bytes {
    let mut out = BytesMut::new();
    record::put_ledger(&mut out, shard.ledger());
    for (id, job) in shard.jobs() {
        record::put_job(&mut out, JobId(0), id, job);
    }
    out.freeze()
}

impl World {
    fn new() -> Self {
        let memory = Memory::new();
        let opened = memory.open();
        let now_ms = opened.clock.now_ms();
        let mut world = Self {
            memory,
            opened,
            batches: Vec::new(),
            now_ms,
            correlation: 0,
            upload: (1, 0),
            bodies: BTreeMap::new(),
            upload_bytes: Vec::new(),
            held: Vec::new(),
            seed: 0,
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.journal();
        let effects = self.command(Command::Connect { held: None });
        let held = self.held.len() as u32;
        assert!(
            matches!(effects[..], [Effect::Connected { leases_held }] if leases_held == held),
            "{effects:?}, {held} held"
        );
        // What was being uploaded is given up.
        self.upload = (self.upload.0 + 1, 0);
        self.upload_bytes.clear();
    }

    /// Decides, journals, and returns what is told.
    fn command(&mut self, command: Command) -> Vec<Effect> {
        self.now_ms += 1;
        self.correlation += 1;
        let caller = Caller {
            connection: ME,
            session: SESSION,
            correlation: self.correlation,
        };
        self.opened.engine.step(self.now_ms, [(caller, command)]);
        self.journal();
        let told = self.opened.engine.released();
        told.map(|addressed| addressed.effect).collect()
    }

    fn journal(&mut self) {
        if let Some(batch) = self.opened.engine.take_batch() {
            self.batches.push(batch.clone());
            let place = self.opened.journal.append(&batch).unwrap();
            self.opened.engine.durable(place);
        }
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.seed = self.seed.wrapping_add(1);
        (0..length).map(|at| (at as u8) ^ self.seed).collect()
    }

    fn push(&mut self, lengths: &[u16], headers: bool, upload: bool) {
        let mut payload = Vec::new();
        let mut all = Lengths::default();
        for length in lengths {
            let bytes = self.bytes(usize::from(*length));
            payload.extend_from_slice(&bytes);
            all.ends.push(payload.len() as u32);
            if headers {
                all.headers.push(u32::from(*length / 3));
            }
        }
        let (number, parts) = if upload { self.upload } else { (0, 0) };
        let push = Push {
            queue: queue(),
            producer: Some((ProducerId(9), self.correlation + 1)),
            options: JobOptions {
                attempts_max: u16::MAX,
                ..JobOptions::default()
            },
            lengths: all.clone(),
            upload: number,
            upload_parts: parts,
            payload: payload.clone().into(),
        };
        let effects = self.command(Command::Push(push));
        let [Effect::Pushed { first_id, .. }] = effects[..] else {
            panic!("{effects:?}");
        };
        let mut start = 0;
        for (index, end) in all.ends.iter().enumerate() {
            let header = all.headers.get(index).copied().unwrap_or(0);
            let mut bytes = payload[start..*end as usize].to_vec();
            if upload {
                let parts = std::mem::take(&mut self.upload_bytes);
                let body = bytes.split_off(header as usize);
                bytes = [bytes, parts, body].concat();
            }
            self.bodies
                .insert(JobId(first_id.0 + index as u64), (header, bytes));
            start = *end as usize;
        }
        if upload {
            self.upload = (self.upload.0 + 1, 0);
        }
    }

    fn part(&mut self, more: bool) {
        let payload = self.bytes(2_000 + usize::from(self.seed) * 20);
        let (upload, index) = self.upload;
        self.upload_bytes.extend_from_slice(&payload);
        self.command(Command::PushPart {
            upload,
            index,
            payload: payload.into(),
        });
        self.upload.1 += 1;
        if !more {
            self.push(&[90], true, true);
        }
    }

    fn reserve(&mut self, jobs_max: u32) {
        let effects = self.command(Command::Reserve {
            queue: queue(),
            jobs_max,
            wait_ms: 0,
        });
        for effect in effects {
            let Effect::Deliver { token, jobs, .. } = effect else {
                panic!("{effect:?}");
            };
            for job in jobs {
                let (header, want) = self.bodies[&job.id].clone();
                assert_eq!(job.length as usize, want.len());
                let mut found = Vec::new();
                for part in &job.parts {
                    found.extend_from_slice(&self.load(*part).1);
                }
                let (header_found, bytes) = self.load(job.id);
                assert_eq!(header_found, header);
                let (headers, rest) = bytes.split_at(header as usize);
                assert_eq!([headers, &found, rest].concat(), want, "{:?}", job.id);
                self.held.push((job.id, token));
            }
        }
    }

    /// As the loop and its loader do.
    fn load(&mut self, id: JobId) -> (u32, Bytes) {
        for _ in 0..3 {
            let source = match self.opened.engine.bodies.find(id) {
                Ok(found) => return found,
                Err(source) => source.unwrap_or_else(|| panic!("{id:?} lies nowhere")),
            };
            let log = self.opened.journal.log();
            let loaded = read(log.as_ref(), &self.opened.blocks, source);
            let loaded = loaded.unwrap_or_else(|error| panic!("{id:?}: {error}"));
            let found = loaded.find(id);
            self.opened.engine.bodies.add_loaded(source, loaded);
            let cached = self.opened.engine.bodies.cached_bytes();
            assert!(cached < 512 * 1024, "{cached}");
            if let Some(found) = found {
                return found;
            }
        }
        panic!("{id:?} is not where it should be");
    }

    fn settle(&mut self, kind: SettleKind) {
        let count = self.held.len().div_ceil(2);
        let leases: Vec<(JobId, u64)> = match kind {
            SettleKind::Touch { .. } => self.held.clone(),
            _ => self.held.drain(..count).collect(),
        };
        if kind == SettleKind::Ack {
            for (id, _) in &leases {
                self.bodies.remove(id);
            }
        }
        let effects = self.command(Command::Settle(Settle { kind, leases }));
        let done = |effect: &Effect| matches!(effect, Effect::Settled { refused, .. } if refused.is_empty());
        assert!(effects.iter().all(done), "{effects:?}");
    }

    fn purge(&mut self, jobs_max: u32) {
        self.command(Command::Purge {
            queue: queue(),
            jobs_max,
        });
        let shard = self.opened.engine.shard();
        self.bodies.retain(|id, _| shard.job(*id).is_some());
    }

    fn checkpoint(&mut self) {
        // As far as one window reaches; several may be needed.
        if self.opened.follower.checkpoint().is_err() {
            return self.crash();
        }
        let FollowerReport::Written {
            lsn,
            blocks,
            records,
            ..
        } = self.opened.follower.written()
        else {
            panic!("that is what it says");
        };
        self.opened.engine.install(lsn, blocks, records);
        self.opened.journal.log().trim(0, lsn).unwrap();
    }

    fn checkpoint_lsn(&self) -> Lsn {
        match self.opened.follower.written() {
            FollowerReport::Written { lsn, .. } => lsn,
            other => panic!("{other:?}"),
        }
    }

    /// What was flushed is there; of what was not, whatever the dice say.
    fn crash(&mut self) {
        let mut dice = self.correlation;
        self.memory.lose(|| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            dice >> 63 == 1
        });
        self.memory.disk.crash(Crash::Drop);
        self.restart();
    }

    fn restart(&mut self) {
        let before = state(self.opened.engine.shard());
        let (first, second) = (self.replayed(), self.replayed());
        assert_eq!(first, second, "the same journal gives the same bytes");
        assert_eq!(
            first, before,
            "a replay from the first event is the live state"
        );
        self.opened = self.memory.open();
        self.now_ms = self.now_ms.max(self.opened.clock.now_ms());
        // The start journals its own events; without them it is the state from before.
        self.journal();
        assert_eq!(self.replayed(), state(self.opened.engine.shard()));
        self.connect();
    }

    fn replayed(&self) -> Bytes {
        let mut shard = Shard::new(self.memory.config.limits());
        for batch in &self.batches {
            let events = EventReader::new(batch.payload.clone(), batch.first_lsn, batch.time_ms);
            for event in events {
                let (_, now_ms, event) = event.unwrap();
                shard.replay(&event, now_ms);
            }
        }
        state(&shard)
    }

    fn check_bodies(&mut self) {
        let ids: Vec<JobId> = self.bodies.keys().copied().collect();
        assert_eq!(ids.len(), self.opened.engine.shard().jobs_len());
        for id in ids {
            self.load(id);
        }
    }

    fn go(&mut self, step: &Step) {
        match step {
            Step::Push { lengths, headers } => self.push(lengths, *headers, false),
            Step::Part { more } => self.part(*more),
            Step::Reserve(jobs_max) => self.reserve(*jobs_max),
            Step::Settle(kind) => self.settle(*kind),
            Step::Purge(jobs_max) => {
                if !self.batches.is_empty() && !self.bodies.is_empty() {
                    self.purge(*jobs_max);
                }
            }
            Step::Checkpoint => self.checkpoint(),
            Step::StoreFails(after) => {
                let operations = self.memory.store.operations();
                self.memory.store.fail_at(operations + u64::from(*after));
            }
            Step::Restart => self.crash(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_back_is_what_was_there(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.go(step);
        }
        world.check_bodies();
        world.crash();
        world.check_bodies();
        // And from the store alone.
        while world.checkpoint_lsn() < world.opened.engine.shard().lsn() {
            world.checkpoint();
        }
        world.check_bodies();
        world.crash();
        world.check_bodies();
    }
}
