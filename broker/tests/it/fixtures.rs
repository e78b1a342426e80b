//! Data folders of earlier builds, packed: each must open, and hold exactly what its text says.
//!
//! Whoever changes a format on the disk makes the folder of the new one, and keeps the old ones:
//!
//! ```sh
//! cargo test --release -p verteilt-broker --test it -- --ignored pack_a_folder_of_this_build
//! ```
//!
//! That writes `data-VERSION.tar.gz` and `data-VERSION.txt` into `broker/tests/fixtures`, after the
//! version in the manifest. What stands in the text is worth a look before both are committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::furnish::{WORKER, furnish};
use crate::house::House;
use crate::inventory::inventory;
use crate::killed::copy_of_running;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn tar(arguments: &[&str], archive: &Path, folder: &Path) {
    let mut tar = Command::new("tar");
    tar.args(arguments).arg(archive).arg("-C").arg(folder);
    let done = tar.arg(".").output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "tar: {said}");
}

/// A house on a copy of a packed folder, not started.
pub(crate) fn unpacked(archive: &Path) -> House {
    let house = House::idle(|config| config.resume_grace_ms = 60_000);
    fs::create_dir(house.data()).unwrap();
    tar(&["-xzf"], archive, house.data());
    house
}

/// All packed folders, the newest last.
pub(crate) fn archives() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap();
    let mut archives: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    archives.retain(|path| path.to_str().unwrap().ends_with(".tar.gz"));
    archives.sort();
    archives
}

#[test]
fn a_folder_of_every_earlier_build_holds_what_was_put_into_it() {
    let archives = archives();
    assert!(!archives.is_empty());
    for archive in archives {
        let mut house = unpacked(&archive);
        house.go_on();
        let text = archive.to_str().unwrap().replace(".tar.gz", ".txt");
        let expected = as_of_now(&fs::read_to_string(&text).unwrap());
        assert_eq!(inventory(&house, &WORKER), expected, "{text}");
        // It is not only read: a checkpoint goes on from the old one.
        let id = house.peer().push("new", b"written by this build");
        house.peer().checkpoint();
        house.restart();
        let jobs = house.peer().reserve("new", 1, 5_000);
        assert_eq!(
            (jobs[0].id, &jobs[0].body[..]),
            (id, &b"written by this build"[..])
        );
    }
}

/// Jobs that waited for a time are ready once it has come.
fn as_of_now(text: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let line = |line: &str| {
        for state in ["scheduled", "failed"] {
            let Some((id, rest)) = line.split_once(&format!(" {state} until ")) else {
                continue;
            };
            let (until, rest) = rest.split_once(',').unwrap();
            if until.parse::<u128>().unwrap() <= now.as_millis() {
                return format!("{id} ready,{rest}\n");
            }
        }
        format!("{line}\n")
    };
    text.lines().map(line).collect()
}

#[test]
fn a_time_that_has_come_makes_a_job_ready() {
    let text = "  7: scheduled until 1000, priority 0\n  8: failed until 99999999999999, x\n";
    let expected = "  7: ready, priority 0\n  8: failed until 99999999999999, x\n";
    assert_eq!(as_of_now(text), expected);
}

#[test]
#[ignore = "writes a fixture; see the top of this file"]
fn pack_a_folder_of_this_build() {
    let name = concat!("data-", env!("CARGO_PKG_VERSION"));
    let archive = folder().join(format!("{name}.tar.gz"));
    assert!(!archive.exists(), "{} stays as it is", archive.display());
    let mut house = House::with(|config| config.resume_grace_ms = 60_000);
    let first = furnish(&house, 1);
    house.peer().checkpoint();
    house.restart();
    drop(first);
    let second = furnish(&house, 2);
    let killed = tempfile::tempdir().unwrap();
    copy_of_running(&house, killed.path());
    drop((house, second));
    tar(&["-czf"], &archive, killed.path());
    let mut house = unpacked(&archive);
    house.go_on();
    fs::write(
        folder().join(format!("{name}.txt")),
        inventory(&house, &WORKER),
    )
    .unwrap();
}
