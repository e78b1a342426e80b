//! `verteilt up`: real work, then a broker and a gateway that stay.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::Receiver;

use rustix::process::{Pid, Signal, kill_process_group};
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

/// `verteilt up` that stays. Its process group, with the services that it started, is killed when dropped.
struct Up {
    child: Option<Child>,
    lines: Receiver<Vec<u8>>,
}

impl Up {
    fn start(command: &mut Command) -> Self {
        let mut child = spawn(command.process_group(0));
        let lines = lines(&mut child);
        let child = Some(child);
        Self { child, lines }
    }

    /// Waits for a line that begins so, and gives its rest.
    fn rest(&self, prefix: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|_| panic!("no line {prefix:?}"));
            if let Some(rest) = String::from_utf8_lossy(&line).strip_prefix(prefix) {
                return rest.trim().to_owned();
            }
        }
    }

    /// As by Ctrl-C.
    fn stop(mut self) {
        signal(self.child.as_ref().unwrap(), Signal::INT);
        let up = finish(self.child.take().unwrap());
        assert_eq!(up.status.code(), Some(0), "{}", stderr(&up));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let group = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        // Gone already where it ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = child.wait();
    }
}

#[test]
fn broker_and_gateway_stay_up() {
    let folder = tempfile::tempdir().unwrap();
    some_files(folder.path());
    let data = tempfile::tempdir().unwrap();
    let up = Up::start(&mut up(&data.path().join("data"), folder.path()));
    let page = up.rest("page");
    let url = up.rest("broker");
    let gateway = up.rest("gateway");
    let metrics = up.rest("metrics");
    let shop = up.rest("shop");
    assert!(
        shop.ends_with("start it where the sources are, or say --services DIR"),
        "{shop}"
    );
    up.rest("Ctrl-C");

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
    up.stop();
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
    let first = Up::start(&mut up(&data, folder.path()));
    let url = first.rest("broker");
    first.rest("Ctrl-C");
    let left = folder.path().join("inner").join("7 x");
    let mut push = verteilt(["push", "up.sums", "--url", &url]);
    assert!(run(push.arg(left)).status.success());
    drop(first);

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
        let up = Up::start(up.env("PATH", path.path()));
        let shop = up.rest("shop");
        assert!(
            shop.starts_with("stock, cart, page; nothing in Node: "),
            "{shop}"
        );
        assert!(shop.contains(told), "{shop}");
        up.rest("Ctrl-C");
        up.stop();
    }
    assert_eq!(fs::read_dir(services.path()).unwrap().count(), 1);
}
