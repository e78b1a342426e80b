//! Backups and restores from the command line, with a broker that is under load or killed.

use std::fs;
use std::path::Path;

use crate::process::{
    Broker, finish, json, run, spawn, stderr, stdout, succeeded, until, verteilt,
};

/// A broker with 20 MB of jobs.
fn full() -> Broker {
    let broker = Broker::start();
    let line = "x".repeat(20_000) + "\n";
    let lines = line.repeat(1_000);
    let mut push = broker.verteilt(["push", "big", "--lines"]);
    succeeded(&crate::process::run_with_input(&mut push, lines.as_bytes()));
    broker
}

fn partial(file: &Path) -> std::path::PathBuf {
    file.with_extension("partial")
}

#[test]
fn what_was_backed_up_under_load_is_restored_and_served() {
    let mut broker = full();
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("backup"), folder.path().join("data"));
    let work = ["work", "big", "--concurrency", "2", "--", "true"];
    let mut worker = spawn(&mut broker.verteilt(work));
    until("work is done", || broker.count("big", "done") > 5);
    let done_before = broker.count("big", "done");
    let taken = run(broker.verteilt(["backup", "--json"]).arg(&file));
    let taken = json(&taken);
    let jobs = taken["jobs"].as_u64().unwrap();
    assert!(jobs > 0 && jobs <= 1_000 - done_before, "{jobs}");
    assert_eq!(taken["bytes"], fs::metadata(&file).unwrap().len());
    assert!(!partial(&file).exists());
    worker.kill().unwrap();
    worker.wait().unwrap();
    broker.kill();

    let again = run(broker.verteilt(["backup"]).arg(&file));
    assert_eq!(again.status.code(), Some(2), "it is not written over");
    let verified = json(&run(verteilt(["verify", "--json"]).arg(&file)));
    assert_eq!(
        (&verified["kind"], &verified["jobs"]),
        (&"backup".into(), &taken["jobs"])
    );
    let restored = json(&run(verteilt(["restore", "--json"]).arg(&file).arg(&data)));
    assert_eq!(
        (&restored["lsn"], &restored["jobs"]),
        (&taken["lsn"], &taken["jobs"])
    );
    let again = run(verteilt(["restore"]).arg(&file).arg(&data));
    assert_eq!(again.status.code(), Some(2), "{}", stdout(&again));
    let restored = Broker::on(&data);
    until("leases of workers that are gone end", || {
        restored.count("big", "ready") == jobs
    });
}

#[test]
fn a_broker_that_is_killed_leaves_no_backup() {
    let mut broker = full();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup");
    // Nothing else reads `broker` meanwhile, so the kill may fall anywhere.
    let backup = spawn(broker.verteilt(["backup"]).arg(&file));
    until("the backup has begun", || {
        fs::metadata(partial(&file)).is_ok_and(|metadata| metadata.len() > 0) || file.exists()
    });
    broker.kill();
    let ended = finish(backup);
    assert!(!partial(&file).exists(), "{}", stderr(&ended));
    match ended.status.code() {
        // All of it had come before the kill.
        Some(0) => {
            json(&run(verteilt(["verify", "--json"]).arg(&file)));
            fs::remove_file(&file).unwrap();
        }
        code => {
            assert_eq!(code, Some(1), "{}", stderr(&ended));
            assert!(stderr(&ended).contains("broke off"), "{}", stderr(&ended));
            assert!(!file.exists());
        }
    }
    broker.restart();
    assert_eq!(broker.count("big", "ready"), 1_000);
    let taken = json(&run(broker.verteilt(["backup", "--json"]).arg(&file)));
    assert_eq!(taken["jobs"], 1_000);
}

#[test]
fn what_is_no_backup_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("backup"), folder.path().join("data"));
    fs::write(&file, "a letter, and rather a long one at that").unwrap();
    for verb in ["verify", "restore"] {
        let mut command = verteilt([verb]);
        command.arg(&file);
        if verb == "restore" {
            command.arg(&data);
        }
        let refused = run(&mut command);
        assert_eq!(refused.status.code(), Some(2), "{}", stdout(&refused));
        assert!(stderr(&refused).contains("neither a data folder nor a backup"));
    }
    assert!(!data.exists());
    let nobody = run(verteilt(["backup", "--url", "verteilt://127.0.0.1:1"]).arg(&data));
    assert_eq!(nobody.status.code(), Some(3), "{}", stderr(&nobody));
}
