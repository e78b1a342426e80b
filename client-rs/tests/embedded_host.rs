//! A program that has the broker inside it is killed, and another opens its folder.
//!
//! The program is this test binary, started again for one test that otherwise does not run.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::task::JoinSet;
use verteilt_client::Client;
use verteilt_client::embedded::{Embedded, StartError};

const FOLDER: &str = "VERTEILT_TEST_FOLDER";
/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);
const KILLS: usize = 5;
/// Pushes that each run of the program is let make before it is killed, at least.
const PUSHES: usize = 300;

/// Opens a folder by a relative path, goes to another one, and from then on pushes and works, telling
/// what was acknowledged, until it is killed.
#[tokio::test]
#[ignore = "the program that the other tests start"]
async fn host() {
    let folder = std::env::var(FOLDER).unwrap();
    std::env::set_current_dir(folder).unwrap();
    let small = Embedded::builder("data").configure(|config| {
        config.segment_bytes = 4 * 1024 * 1024;
        config.checkpoint_bytes = 1024 * 1024;
    });
    let broker = small.open().unwrap();
    std::env::set_current_dir("/").unwrap();
    let client = broker.client().await.unwrap();
    let mut tasks = JoinSet::new();
    for lane in 0..8 {
        tasks.spawn(push(client.clone(), lane));
    }
    tasks.spawn(work(client));
    tell("open", 0);
    while tasks.join_next().await.is_some() {}
}

fn tell(what: &str, id: u64) {
    // One write each: a line is whole or not there.
    let line = format!("{what} {id}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

async fn push(client: Client, lane: u8) {
    loop {
        let pushed = client.push("q", vec![lane; 10_000]).await.unwrap();
        tell("pushed", pushed.id);
    }
}

/// Leaves one job in its hand for ever.
async fn work(client: Client) {
    let held = client.reserve("q", 1, PATIENCE).await.unwrap().remove(0);
    tell("holds", held.id());
    loop {
        for job in client.reserve("q", 2, PATIENCE).await.unwrap() {
            let id = job.id();
            job.ack().await.unwrap();
            tell("acked", id);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[derive(Default)]
struct Told {
    pushed: BTreeSet<u64>,
    acked: BTreeSet<u64>,
    holds: Option<u64>,
}

impl Told {
    /// The standard output of a test has lines of its runner, too; true for one of ours.
    fn hear(&mut self, line: &str) -> bool {
        let Some((what, id)) = line.split_once(' ') else {
            return false;
        };
        match (what, id.parse()) {
            ("pushed", Ok(id)) => self.pushed.insert(id),
            ("acked", Ok(id)) => self.acked.insert(id),
            ("holds", Ok(id)) => self.holds.replace(id).is_none(),
            ("open", Ok(0)) => true,
            _ => false,
        }
    }
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "host", "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Every job that there is, taken and given back.
async fn all_ready(client: &Client) -> BTreeSet<u64> {
    let mut ids = BTreeSet::new();
    loop {
        let jobs = client.reserve("q", 1_000, Duration::ZERO).await.unwrap();
        if jobs.is_empty() {
            return ids;
        }
        for job in jobs {
            assert!(ids.insert(job.id()), "job {} twice", job.id());
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_outlives_a_killed_host() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut told = Told::default();
    for kill in 0..KILLS {
        let mut host = start(folder.path());
        let mut lines = BufReader::new(host.stdout.take().unwrap()).lines();
        told.holds = None;
        let mut heard = 0;
        while heard < PUSHES + 37 * kill {
            let line = lines.next().expect("the host goes on").unwrap();
            heard += usize::from(told.hear(&line));
        }
        let refusal = Embedded::open(&data).unwrap_err();
        let StartError::Locked { owner, .. } = &refusal else {
            panic!("{refusal}");
        };
        let owner = owner.as_ref().unwrap();
        assert_eq!((owner.process, owner.is_this_process), (host.id(), false));
        host.kill().unwrap();
        // What it had told before it died counts too.
        for line in lines {
            told.hear(&line.unwrap());
        }
        host.wait().unwrap();
        assert!(
            !Path::new("/data").exists(),
            "the path was taken at the open"
        );

        let broker = Embedded::open(&data).unwrap();
        let client = broker.client().await.unwrap();
        let there = all_ready(&client).await;
        let open = told.pushed.difference(&told.acked);
        let lost: Vec<u64> = open.filter(|id| !there.contains(id)).copied().collect();
        // An ack may have been durable and not told; at most those that were under way.
        assert!(lost.len() <= 2, "lost: {lost:?}");
        told.acked.extend(lost);
        let again: Vec<_> = there.intersection(&told.acked).collect();
        assert!(again.is_empty(), "acknowledged and there again: {again:?}");
        let held = told.holds.expect("the host had one in its hand");
        assert!(there.contains(&held), "whoever held it is dead");
        client.close().await.unwrap();
        broker.close().await.unwrap();
    }
}
