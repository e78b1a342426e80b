//! The binary on a disk that is really full.

mod image;
mod requests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use verteilt_client::{Client, ErrorCode, PushOptions};

use self::image::Image;
use crate::process::{
    Broker, DEADLINE, Settings, finish, http, json, lines, run, spawn, stderr, until, verteilt,
};

const MIB: u64 = 1 << 20;
const IMAGE_BYTES: u64 = 512 * MIB;
const RESERVE_BYTES: u64 = 32 * MIB;
/// Small files, so that much of the image is for jobs.
const SETTINGS: Settings = &[
    ("VERTEILT_DISK_RESERVE", "32MiB"),
    ("VERTEILT_JOURNAL__SEGMENT_BYTES", "16MiB"),
    ("VERTEILT_JOURNAL__BYTES_MAX", "256MiB"),
    ("VERTEILT_CHECKPOINT__BYTES", "64MiB"),
    ("VERTEILT_CONNECTIONS__RESUME_GRACE", "50ms"),
];
/// What is left at the worst while pushes are refused: half of the reserve. The journal may make
/// another segment of it.
const FLOOR_BYTES: u64 = RESERVE_BYTES / 2;
const QUEUE: &str = "full";
/// So few that they go in one frame, which is taken or refused as a whole.
const BATCH_JOBS: u64 = 8;
/// A push that finds no room is given up after this: longer than a checkpoint takes, behind which
/// there may be room again.
const PUSH_MAX: Duration = Duration::from_secs(3);

/// Who pushes and works, and what is known of each job.
struct User {
    client: Client,
    runtime: tokio::runtime::Runtime,
    /// Numbers of bodies by job.
    waiting: BTreeMap<u64, u64>,
    next: u64,
}

impl User {
    fn connect(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(Client::connect(url)).unwrap();
        Self {
            client,
            runtime,
            waiting: BTreeMap::new(),
            next: 0,
        }
    }

    /// Pushes a batch; what was refused will be tried under the same numbers again.
    fn push(&mut self) -> Result<(), verteilt_client::ClientError> {
        let bodies = (self.next..self.next + BATCH_JOBS).map(body);
        let options = PushOptions {
            deadline: Some(PUSH_MAX),
            ..PushOptions::default()
        };
        let pushed = self
            .client
            .push_batch(QUEUE, bodies.map(Bytes::from).collect(), &options);
        let ids = self.runtime.block_on(pushed)?;
        self.waiting.extend(ids.into_iter().zip(self.next..));
        self.next += BATCH_JOBS;
        Ok(())
    }

    /// Pushes until there is no room, and gives the refusal.
    fn fill(&mut self, disk: &Image) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            assert!(Instant::now() < end, "it never gets full");
            if let Err(error) = self.push() {
                assert_eq!(error.code(), Some(ErrorCode::DiskFull), "{error}");
                assert!(error.is_retryable());
                let free = disk.free_bytes();
                assert!(free >= FLOOR_BYTES, "{free} bytes left");
                return error.to_string();
            }
        }
    }

    /// Runs everything that waits, each body as it was pushed.
    fn drain(&mut self, jobs_left: usize) {
        while self.waiting.len() > jobs_left {
            let reserve = self.client.reserve(QUEUE, 64, Duration::from_secs(30));
            let jobs = self.runtime.block_on(reserve).unwrap();
            assert!(!jobs.is_empty(), "{} are missing", self.waiting.len());
            for job in &jobs {
                let number = self
                    .waiting
                    .remove(&job.id())
                    .expect("it was pushed, and once");
                assert!(job.body() == &body(number), "the bytes of {number} changed");
            }
            let acks = join_all(jobs.into_iter().map(|job| job.ack()));
            for acked in self.runtime.block_on(acks) {
                acked.unwrap();
            }
        }
    }
}

/// From nothing to 24 KB that no file system makes smaller.
fn body(number: u64) -> Vec<u8> {
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let length = word % 24_000;
    let next = |_| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word as u8
    };
    (0..length).map(next).collect()
}

/// Waits until the broker says so; it says what was so half a second ago. It is ready either way:
/// workers have to get in.
#[track_caller]
fn until_full(broker: &Broker, full: bool) {
    until("the disk is full, or is not", || {
        is_full(broker) == Some(full)
    });
}

fn is_full(broker: &Broker) -> Option<bool> {
    let ready = broker.metrics.replace("/metrics", "/ready");
    let (status, answer) = http("GET", &ready, &[], b"");
    if status != 200 {
        return None;
    }
    let (_, told) = answer.split_once("\r\n\r\n").unwrap();
    let told: serde_json::Value = serde_json::from_str(told).unwrap();
    told["disk"]["full"].as_bool()
}

fn metric(broker: &Broker, name: &str) -> f64 {
    let (_, text) = http("GET", &broker.metrics, &[], b"");
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn a_full_disk_stops_pushes_until_jobs_are_done() {
    let Some(disk) = Image::mount(IMAGE_BYTES) else {
        return;
    };
    let mut broker = Broker::start_at(&disk.path().join("data"), SETTINGS);
    let mut user = User::connect(&broker.url);

    let refusal = user.fill(&disk);
    for word in ["DISK_FULL", "Acknowledge or purge", "33554432", "data"] {
        assert!(refusal.contains(word), "{word}: {refusal}");
    }
    assert!(user.waiting.len() as u64 > 100, "much was taken before");
    until_full(&broker, true);
    assert!(metric(&broker, "verteilt_disk_full_refusals_total") >= 1.0);

    // What frees the disk goes on, and then so does the rest, by itself.
    user.drain(0);
    until_full(&broker, false);
    user.push().unwrap();

    // As much fits again as did before: what is done takes nothing.
    user.fill(&disk);
    broker.kill();
    broker.restart();
    // It starts full, or with the room of what it had made ahead, and then that is filled.
    user.fill(&disk);
    until_full(&broker, true);
    let half = user.waiting.len() / 2;
    user.drain(half);

    // Somebody else takes the rest. Whatever becomes of the broker, nothing is lost.
    take(&disk.path().join("other"), disk.free_bytes());
    broker.kill();
    starts_or_says_what_to_do(broker.data());
    std::fs::remove_file(disk.path().join("other")).unwrap();
    broker.restart();
    user.drain(0);
    until_full(&broker, false);
    user.push().unwrap();

    broker.kill();
    let scratch = tempfile::tempdir().unwrap();
    let mut check = verteilt(["verify", "--json", "--scratch"]);
    check.arg(scratch.path()).arg(broker.data());
    let found = json(&run(&mut check));
    assert!(
        found["verdict"].as_str().unwrap().starts_with("sound"),
        "{found}"
    );
}

/// On a disk without any room.
fn starts_or_says_what_to_do(data: &Path) {
    let mut serve = verteilt(["serve", "--listen", "127.0.0.1:0", "--data"]);
    let mut broker = spawn(serve.arg(data).envs(SETTINGS.iter().copied()));
    let starts = lines(&mut broker).recv_timeout(DEADLINE).is_ok();
    if starts {
        broker.kill().unwrap();
    }
    let output = finish(broker);
    let words = stderr(&output);
    assert!(starts || output.status.code() == Some(1), "{words}");
    let advises = ["start it again", "start again", "start the broker again"];
    assert!(
        starts || advises.iter().any(|advice| words.contains(advice)),
        "{words}"
    );
}

/// A file of that many bytes, or as many as there is room for.
fn take(path: &Path, bytes: u64) {
    let file = File::create(path).unwrap();
    let flags = rustix::fs::FallocateFlags::empty();
    if rustix::fs::fallocate(&file, flags, 0, bytes).is_err() {
        rustix::fs::fallocate(&file, flags, 0, bytes - MIB).unwrap();
    }
}
