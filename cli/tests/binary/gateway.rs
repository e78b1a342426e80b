//! `verteilt gateway`: the process, its files and its signals.

use std::fs;
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;

use rustix::process::Signal;

use crate::process::{
    Broker, DEADLINE, finish, http, lines, run, signal, stderr, stdout, until, verteilt,
};

/// Killed when dropped.
pub(crate) struct Gateway {
    child: Option<Child>,
    lines: Receiver<Vec<u8>>,
    pub(crate) url: String,
}

impl Gateway {
    pub(crate) fn start(broker: &Broker, args: &[&str]) -> Self {
        let mut command = broker.verteilt(["gateway", "--listen", "127.0.0.1:0"]);
        command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = lines(&mut child);
        let mut gateway = Self {
            child: Some(child),
            lines,
            url: String::new(),
        };
        gateway.url = gateway.line("listening on ");
        gateway
    }

    /// What follows this in the line that begins with it.
    fn line(&self, prefix: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(DEADLINE).unwrap();
            if let Some(rest) = String::from_utf8_lossy(&line).strip_prefix(prefix) {
                return rest.to_owned();
            }
        }
    }

    fn status(&self, path: &str) -> u16 {
        http("GET", &format!("{}{path}", self.url), &[], b"").0
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn it_serves_logs_and_ends() {
    let broker = Broker::start();
    let mut gateway = Gateway::start(&broker, &["--access-log", "json"]);
    assert_eq!(gateway.status("/health"), 200);
    assert_eq!(gateway.status("/ready"), 200);
    assert_eq!(gateway.status("/nobody/here"), 503);
    let line = gateway.line("{\"time_ms\":");
    assert!(
        line.contains("\"path\":\"/nobody/here\"") && line.contains("NO_WORKER"),
        "{line}"
    );
    let child = gateway.child.take().unwrap();
    signal(&child, Signal::TERM);
    let end = finish(child);
    assert_eq!(end.status.code(), Some(0), "{}", stderr(&end));
}

#[test]
fn a_changed_route_file_and_sighup() {
    let broker = Broker::start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    let row = |path: &str| format!("[[routes]]\npath = \"{path}\"\nservice = \"s\"\n");
    fs::write(&file, row("/a")).unwrap();
    let gateway = Gateway::start(&broker, &["--routes", file.to_str().unwrap()]);
    assert_eq!((gateway.status("/a"), gateway.status("/b")), (503, 404));
    fs::write(&file, row("/b")).unwrap();
    signal(gateway.child.as_ref().unwrap(), Signal::HUP);
    until("new routes", || gateway.status("/b") == 503);
    fs::write(&file, "wrong").unwrap();
    signal(gateway.child.as_ref().unwrap(), Signal::HUP);
    fs::write(&file, row("/c")).unwrap();
    until("routes without a signal", || gateway.status("/c") == 503);
    assert_eq!(gateway.status("/a"), 404);
}

#[test]
fn a_route_file_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    fs::write(&file, "[[routes]]\npath = \"/a\"\nservice = \"s\"\n").unwrap();
    let check = |path: &str| run(&mut verteilt(["gateway", "check", path]));
    let right = check(file.to_str().unwrap());
    assert!(
        right.status.success() && stdout(&right).contains("1 routes"),
        "{}",
        stderr(&right)
    );
    fs::write(
        &file,
        "\n[[routes]]\npath = \"a\"\nservice = \"s\"\ndurability = \"paper\"\n",
    )
    .unwrap();
    let wrong = check(file.to_str().unwrap());
    assert_eq!(wrong.status.code(), Some(2));
    let told = stderr(&wrong);
    assert!(
        told.contains("routes.toml:2: the path `a`") && told.contains("`memory` or `disk`"),
        "{told}"
    );
    assert_eq!(check("/nowhere").status.code(), Some(2));
    let serving = run(&mut verteilt([
        "gateway",
        "--routes",
        file.to_str().unwrap(),
    ]));
    assert_eq!(serving.status.code(), Some(2));
}

#[test]
fn it_does_not_open_itself_to_others_by_accident() {
    let refused = run(&mut verteilt(["gateway", "--listen", "0.0.0.0:0"]));
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--allow-unauthenticated"));
    let nobody = [
        "gateway",
        "--listen",
        "127.0.0.1:0",
        "--url",
        "verteilt://127.0.0.1:1",
    ];
    assert_eq!(run(&mut verteilt(nobody)).status.code(), Some(3));
}
