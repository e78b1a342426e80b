//! Random traffic, checkpoints and restarts in between, against a model.

use std::collections::BTreeMap;

use bytes::Bytes;
use verteilt_protocol::limits::PART_BYTES;
use verteilt_protocol::{FrameType, wire};

use crate::house::House;
use crate::job::{Dice, Job, body};
use crate::peer::{Peer, push_of, settle_of};

/// What one job must be.
#[derive(Clone, Debug, PartialEq)]
struct Want {
    headers: Vec<u8>,
    body: Vec<u8>,
    attempts: u32,
}

struct World {
    house: House,
    peer: Peer,
    session: [u8; 16],
    dice: Dice,
    queued: BTreeMap<u64, Want>,
    held: Vec<Job>,
    done: u64,
    pushed: u64,
    uploads: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let house = House::with(|config| {
            config.cache_bytes = 64 * 1024;
            config.checkpoint_bytes = 512 * 1024;
            config.resume_grace_ms = 60_000;
        });
        let session = Peer::some_id();
        Self {
            peer: house.peer_of(&session),
            house,
            session,
            dice: Dice::new(seed),
            queued: BTreeMap::new(),
            held: Vec::new(),
            done: 0,
            pushed: 0,
            uploads: 0,
        }
    }

    fn step(&mut self) {
        match self.dice.below(100) {
            0..=39 => self.push(),
            40..=42 => self.push_large(),
            43..=64 => self.reserve(),
            65..=84 => self.settle(),
            85..=86 => self.purge(),
            87..=93 => drop(self.peer.checkpoint()),
            94..=95 => self.restart(),
            _ => self.check(),
        }
    }

    fn push(&mut self) {
        let count = 1 + self.dice.below(20) as usize;
        let with_headers = self.dice.below(3) == 0;
        let mut push = push_of("q", &[]);
        let mut payload = Vec::new();
        let mut wants = Vec::new();
        for _ in 0..count {
            let seed = self.dice.below(u64::MAX);
            let length = match self.dice.below(12) {
                0 => 0,
                1 => self.dice.below(30_000),
                _ => self.dice.below(600),
            };
            let bytes = body(seed, length as usize);
            let headers = if with_headers {
                body(seed + 1, self.dice.below(40) as usize)
            } else {
                Vec::new()
            };
            push.body_lengths.push(bytes.len() as u32);
            if with_headers {
                push.header_lengths.push(headers.len() as u32);
            }
            payload.extend_from_slice(&headers);
            payload.extend_from_slice(&bytes);
            wants.push(Want {
                headers,
                body: bytes,
                attempts: 0,
            });
        }
        let result = self.peer.push_frame(&push, &payload);
        self.pushed += count as u64;
        self.queued.extend((result.first_id..).zip(wants));
    }

    fn push_large(&mut self) {
        self.uploads += 1;
        let length = PART_BYTES + self.dice.below(PART_BYTES as u64) as usize;
        let bytes = body(self.uploads, length);
        let (first, rest) = bytes.split_at(PART_BYTES);
        // Numbers may not come again in a session, also not after a restart.
        let upload = self.uploads;
        self.peer.wait_for_credit();
        let part = wire::PushPart { upload, index: 0 };
        let correlation = self.peer.send(FrameType::PushPart, &part, first);
        self.peer.ok(correlation);
        if self.dice.below(4) == 0 {
            // Never completed: it goes with the connection.
            return;
        }
        let push = wire::Push {
            upload,
            upload_parts: 1,
            header_lengths: vec![5],
            ..push_of("q", &[rest])
        };
        let result = self.peer.push_frame(&push, &[b"large", rest].concat());
        self.pushed += 1;
        let want = Want {
            headers: b"large".to_vec(),
            body: bytes,
            attempts: 0,
        };
        self.queued.insert(result.first_id, want);
    }

    fn reserve(&mut self) {
        let count = 1 + self.dice.below(8) as usize;
        let jobs = self.peer.reserve("q", count as u32, 0);
        for job in jobs {
            let want = self.queued.get_mut(&job.id).expect("it is in line");
            want.attempts += 1;
            assert_eq!(job.attempt, want.attempts);
            assert!(job.body == want.body, "body of {}", job.id);
            assert_eq!(job.headers, Bytes::from(want.headers.clone()));
            self.held.push(job);
        }
    }

    fn settle(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let at = self.dice.below(self.held.len() as u64) as usize;
        let job = self.held.swap_remove(at);
        let (id, settle) = (job.id, settle_of(&job));
        let correlation = match self.dice.below(4) {
            0 => self.peer.send(FrameType::Release, &settle, b""),
            1 => {
                let nack = wire::Nack {
                    ids: settle.ids,
                    tokens: settle.tokens,
                    delay_ms: Some(0),
                };
                self.peer.send(FrameType::Nack, &nack, b"")
            }
            _ => {
                self.queued.remove(&id);
                self.done += 1;
                self.peer.send(FrameType::Ack, &settle, b"")
            }
        };
        self.peer.ok(correlation);
        if self.queued.get(&id).is_some_and(|want| want.attempts >= 20) {
            self.purge();
        }
    }

    fn purge(&mut self) {
        let purge = wire::QueuePurge {
            queue: "q".to_owned(),
            jobs_max: 10_000,
        };
        if self.pushed == 0 {
            return;
        }
        let correlation = self.peer.send(FrameType::QueuePurge, &purge, b"");
        let purged: wire::QueuePurged = self.peer.message(correlation, FrameType::QueuePurged);
        let before = self.queued.len();
        let held = &self.held;
        self.queued
            .retain(|id, _| held.iter().any(|job| job.id == *id));
        assert_eq!(purged.jobs as usize, before - self.queued.len());
    }

    fn restart(&mut self) {
        self.house.restart();
        self.peer = self.house.peer_of(&self.session);
        assert_eq!(self.peer.welcome.leases_held as usize, self.held.len());
        self.check();
    }

    fn check(&mut self) {
        if self.pushed == 0 {
            return;
        }
        let stats = self.peer.stats("q");
        assert_eq!(stats.leased as usize, self.held.len());
        assert_eq!(
            (stats.ready + stats.leased + stats.failed) as usize,
            self.queued.len()
        );
        assert_eq!((stats.pushed, stats.done), (self.pushed, self.done));
    }

    fn drain(&mut self) {
        self.ack_all();
        while !self.queued.is_empty() {
            self.reserve();
            self.ack_all();
        }
        assert!(self.peer.reserve("q", 1, 0).is_empty());
    }

    fn ack_all(&mut self) {
        for job in std::mem::take(&mut self.held) {
            self.queued.remove(&job.id);
            self.done += 1;
            self.peer.ack(&job);
        }
    }
}

fn run(seed: u64, steps: usize) {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.restart();
    world.drain();
    world.peer.checkpoint();
    world.restart();
    assert!(world.peer.reserve("q", 1, 0).is_empty());
}

#[test]
fn traffic_checkpoints_and_restarts_agree_with_a_model() {
    run(1, 700);
}

#[test]
fn and_with_other_dice() {
    run(2, 700);
}

#[test]
fn and_with_others_again() {
    run(3, 700);
}

/// Everything is in the store and the journal holds nothing of it.
#[test]
fn a_start_from_the_store_alone() {
    let mut house = House::with(|config| config.cache_bytes = 64 * 1024);
    let mut peer = house.peer();
    let bodies: Vec<Vec<u8>> = (0..3_000).map(|seed| body(seed, 700)).collect();
    for some in bodies.chunks(100) {
        let some: Vec<&[u8]> = some.iter().map(Vec::as_slice).collect();
        peer.wait_for_credit();
        peer.push_many("q", &some);
    }
    peer.checkpoint();
    for _ in 0..2 {
        house.restart();
        house.peer().checkpoint();
    }
    let mut peer = house.peer();
    let jobs = peer.take_reserved("q", 3_000);
    for (job, body) in jobs.iter().zip(&bodies) {
        assert!(job.body == *body, "body of {}", job.id);
    }
    assert!(jobs.is_sorted_by_key(|job| job.id));
}
