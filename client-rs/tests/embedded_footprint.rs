//! What a broker changes in the process that it is in: this, and nothing else. One test in a process
//! of its own, which looks at itself before, while a broker is open, and after.
#![allow(clippy::unwrap_used)]
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use verteilt_client::embedded::Embedded;

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// The threads that are there while a broker is open. The kernel keeps 15 bytes of a name.
const THREADS: [&str; 6] = [
    "journal-prepare",
    "verteilt-broker",
    "verteilt-follow",
    "verteilt-journa",
    "verteilt-loader",
    "verteilt-room",
];
/// Of what holds the checkpoints: one that ends with it, and a pool that stays for good.
const STORE_FLUSHER: &str = "log flusher";
const STORE_POOL: &str = "sled-io-";
const STORE_POOL_THREADS: usize = 7;

/// All that a process has one of.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    /// Masks of blocked, ignored and caught signals; the umask.
    status: Vec<String>,
    limits: String,
    directory: std::path::PathBuf,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    /// Priorities of the threads that were there from the beginning.
    priorities: BTreeMap<u32, String>,
    has_subscriber: bool,
}

impl Process {
    fn look(threads: &[u32]) -> Self {
        let kept = ["SigBlk:", "SigIgn:", "SigCgt:", "Umask:", "Seccomp:"];
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let status = status
            .lines()
            .filter(|line| kept.iter().any(|key| line.starts_with(key)));
        Self {
            status: status.map(str::to_owned).collect(),
            limits: fs::read_to_string("/proc/self/limits").unwrap(),
            directory: std::env::current_dir().unwrap(),
            environment: std::env::vars_os().collect(),
            priorities: threads
                .iter()
                .map(|thread| (*thread, priority(*thread)))
                .collect(),
            has_subscriber: tracing::dispatcher::has_been_set(),
        }
    }
}

/// The threads of this process by their numbers.
fn threads() -> BTreeMap<u32, String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let named = tasks.filter_map(|task| {
        let task = task.ok()?;
        // One that ends meanwhile has no name any more.
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let number = task.file_name().to_str()?.parse().ok()?;
        Some((number, name.trim_end().to_owned()))
    });
    named.collect()
}

/// Priority and nice value, the fields 18 and 19 of a thread's status.
fn priority(thread: u32) -> String {
    let status = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).unwrap();
    let (_, behind_name) = status.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = behind_name.split(' ').collect();
    fields[15..17].join(" ")
}

/// What the open descriptors lead to.
fn descriptors() -> Vec<String> {
    let links = fs::read_dir("/proc/self/fd").unwrap();
    let links = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
    let mut links: Vec<String> = links.map(|to| to.to_string_lossy().into_owned()).collect();
    // The one that this folder is read through.
    links.retain(|link| !link.ends_with("/fd"));
    links.sort();
    links
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn what_a_broker_changes_in_its_process() {
    std::panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let threads_before = threads();
    let first: Vec<u32> = threads_before.keys().copied().collect();
    let (before, descriptors_before) = (Process::look(&first), descriptors());
    let new_threads = || {
        let mut new = threads();
        new.retain(|number, _| !threads_before.contains_key(number));
        new
    };

    for _ in 0..3 {
        let broker = Embedded::open(folder.path().join("data")).unwrap();
        runtime.block_on(async {
            let client = broker.client().await.unwrap();
            client.push("q", "x").await.unwrap();
            client.checkpoint().await.unwrap();
            client.close().await.unwrap();
        });
        assert_eq!(Process::look(&first), before, "while it is open");
        let new = new_threads();
        let mut ours: Vec<&str> = new.values().map(String::as_str).collect();
        let pool = ours
            .iter()
            .filter(|name| name.starts_with(STORE_POOL))
            .count();
        assert_eq!(pool, STORE_POOL_THREADS);
        ours.retain(|name| !name.starts_with(STORE_POOL) && *name != STORE_FLUSHER);
        ours.sort_unstable();
        assert_eq!(ours, THREADS);
        // Only the thread that writes checkpoints steps back.
        for (thread, name) in &new {
            let is_lower = priority(*thread) != priority(first[0]);
            assert_eq!(is_lower, name == "verteilt-follow", "{name}");
        }
        drop(broker);
        assert_eq!(Process::look(&first), before, "after it");
        let mut left: Vec<String> = new_threads().into_values().collect();
        left.retain(|name| !name.starts_with(STORE_POOL));
        assert_eq!(left, [""; 0], "threads that outlive it");
        // The pool lets go of the closed files when it next looks.
        eventually("all files are closed", || {
            descriptors() == descriptors_before
        });
    }
    assert!(new_threads().len() <= STORE_POOL_THREADS);
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    assert!(std::panic::catch_unwind(|| panic!("on purpose")).is_err());
    assert_eq!(
        PANICS.load(Ordering::Relaxed),
        1,
        "the hook is still the one of this test"
    );
}
