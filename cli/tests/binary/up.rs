//! `verteilt up`: real work, then a broker and a gateway that stay.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::Receiver;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{
    DEADLINE, finish, http, json, lines, run, signal, spawn, stderr, stdout, verteilt,
};

fn up(data: &Path, files: &Path) -> Command {
    let mut command = verteilt(["up", "--data"]);
    command.arg(data).arg("--files").arg(files);
    command
}

fn some_files(folder: &Path) {
    fs::create_dir(folder.join("inner")).unwrap();
    for n in 0..100 {
        fs::write(folder.join("inner").join(format!("{n} x")), vec![b'x'; n]).unwrap();
    }
    std::os::unix::fs::symlink("/nowhere", folder.join("link")).unwrap();
}

#[test]
fn files_are_summed_and_again_at_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    some_files(folder.path());
    let data = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let once = run(up(&data.path().join("data"), folder.path()).arg("--once"));
        assert!(once.status.success(), "{}", stderr(&once));
        let told = stdout(&once);
        assert!(told.contains("found 100 files"), "{told}");
        assert!(told.contains("summed 100 files, 4.83 KiB"), "{told}");
        assert!(told.contains("inner/99 x"), "{told}");
    }
}

/// Waits for a line that begins so, and gives its rest.
fn rest(lines: &Receiver<Vec<u8>>, prefix: &str) -> String {
    loop {
        let line = lines
            .recv_timeout(DEADLINE)
            .unwrap_or_else(|_| panic!("no line {prefix:?}"));
        if let Some(rest) = String::from_utf8_lossy(&line).strip_prefix(prefix) {
            return rest.trim().to_owned();
        }
    }
}

fn stop(up: Child) {
    signal(&up, Signal::INT);
    let up = finish(up);
    assert_eq!(up.status.code(), Some(0), "{}", stderr(&up));
}

#[test]
fn broker_and_gateway_stay_up() {
    let folder = tempfile::tempdir().unwrap();
    some_files(folder.path());
    let data = tempfile::tempdir().unwrap();
    let mut up = spawn(&mut up(&data.path().join("data"), folder.path()));
    let lines = lines(&mut up);
    let page = rest(&lines, "page");
    let url = rest(&lines, "broker");
    let gateway = rest(&lines, "gateway");
    let metrics = rest(&lines, "metrics");
    let shop = rest(&lines, "shop");
    assert!(
        shop.ends_with("start it where the sources are, or say --services DIR"),
        "{shop}"
    );
    rest(&lines, "Ctrl-C");

    let (status, shown) = http("GET", &page, &[], b"");
    assert!(
        status == 200 && shown.contains("<!doctype html>"),
        "{shown}"
    );
    let (status, cart) = http("PUT", &format!("{gateway}/cart/carts/a/fox/1"), &[], b"");
    assert_eq!(
        (status, cart.ends_with("{\"fox\":1}")),
        (200, true),
        "{cart}"
    );
    let (_, stock) = http("GET", &format!("{gateway}/stock/items"), &[], b"");
    assert!(stock.contains("\"id\":\"fox\",\"left\":23"), "{stock}");
    let (_, counted) = http("GET", &metrics, &[], b"");
    let line = "verteilt_gateway_requests_total{route=\"cart\",service=\"cart\",status=\"2xx\"} 1";
    assert!(counted.contains(line), "{counted}");

    assert_eq!(http("GET", &metrics, &[], b"").0, 200);
    assert_eq!(http("GET", &format!("{gateway}/ready"), &[], b"").0, 200);
    let jobs = format!("{gateway}/v1/queues/hello/jobs?priority=3");
    let (status, answer) = http("POST", &jobs, &["Verteilt-Durability: disk"], b"by http");
    assert_eq!(status, 202, "{answer}");
    assert!(answer.contains("\"durability\":\"disk\""), "{answer}");

    let peek = ["queue", "peek", "hello", "--json", "--url", &url];
    let peeked = json(&run(&mut verteilt(peek)));
    assert_eq!(
        (&peeked[0]["body"], &peeked[0]["priority"]),
        (&"by http".into(), &3.into())
    );
    stop(up);
}

#[test]
fn a_folder_that_is_not_there_is_a_usage_error() {
    let data = tempfile::tempdir().unwrap();
    let up = run(&mut up(&data.path().join("data"), Path::new("/nowhere")));
    assert_eq!(up.status.code(), Some(2));
    assert!(!data.path().join("data").exists());
}

#[test]
fn jobs_that_were_left_over_are_done_first() {
    let folder = tempfile::tempdir().unwrap();
    some_files(folder.path());
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    // Killed after its work: what is pushed now waits for the next run.
    let mut first = spawn(&mut up(&data, folder.path()));
    let printed = lines(&mut first);
    let url = rest(&printed, "broker");
    rest(&printed, "Ctrl-C");
    let left = folder.path().join("inner").join("7 x");
    let mut push = verteilt(["push", "up.sums", "--url", &url]);
    assert!(run(push.arg(left)).status.success());
    first.kill().unwrap();
    first.wait().unwrap();

    let told = stdout(&run(up(&data, folder.path()).arg("--once")));
    assert!(told.contains("jobs left over from before: 1;"), "{told}");
    assert!(told.contains("summed 101 files"), "{told}");
}

/// A program `node` that says it is of this version, and nothing else that could be started.
fn only_node(version: &str) -> TempDir {
    let path = tempfile::tempdir().unwrap();
    let node = path.path().join("node");
    fs::write(&node, format!("#!/bin/sh\necho {version}\n")).unwrap();
    fs::set_permissions(&node, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn what_the_rest_of_the_shop_lacks_is_told_and_not_fetched() {
    let services = tempfile::tempdir().unwrap();
    fs::write(services.path().join("package.json"), "{}").unwrap();
    let install = format!("type `npm ci --prefix {}`", services.path().display());
    let nowhere = tempfile::tempdir().unwrap();
    for (path, told) in [
        (nowhere, "no `node`; install Node 20 or newer"),
        (only_node("v18.19.0"), "Node 18 is too old"),
        (only_node("v22.1.0"), &*install),
    ] {
        let folder = tempfile::tempdir().unwrap();
        some_files(folder.path());
        let data = tempfile::tempdir().unwrap();
        let mut up = up(&data.path().join("data"), folder.path());
        up.arg("--services").arg(services.path());
        let mut up = spawn(up.env("PATH", path.path()));
        let lines = lines(&mut up);
        let shop = rest(&lines, "shop");
        assert!(
            shop.starts_with("stock, cart, page; nothing in Node: "),
            "{shop}"
        );
        assert!(shop.contains(told), "{shop}");
        rest(&lines, "Ctrl-C");
        stop(up);
    }
    assert_eq!(fs::read_dir(services.path()).unwrap().count(), 1);
}
