//! `push --lines` and `work --drain` against what `xargs` gives on the same files.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::process::Command;

use crate::process::{Broker, json, run, run_with_input, succeeded};

/// Names that quoting, splitting or decoding anywhere on the way would break.
const ODD_NAMES: [&[u8]; 12] = [
    b"plain",
    b"two words",
    b" leading and trailing ",
    b"quote'single",
    b"quote\"double",
    b"dollar$HOME`id`",
    b"back\\slash",
    b"braces{}inside",
    b"star*question?",
    b"umlaut-\xc3\xa4\xc3\xb6",
    b"not-utf8-\xff\xfe",
    b"tab\there",
];

fn odd_files(folder: &Path) {
    for (at, name) in ODD_NAMES.iter().enumerate() {
        let content = vec![b'x'; at * 1000];
        fs::write(folder.join(OsStr::from_bytes(name)), content).unwrap();
    }
    fs::create_dir(folder.join("-folder with a dash")).unwrap();
    fs::write(folder.join("-folder with a dash").join("--file"), "inside").unwrap();
}

/// The names of odd files and of real ones of this machine, one a line.
fn names(folder: &Path) -> Vec<u8> {
    odd_files(folder);
    let mut names = find(folder);
    let real = Path::new("/usr/share/doc");
    if real.is_dir() {
        let all = find(real);
        let some = all.split_inclusive(|byte| *byte == b'\n').take(300);
        names.extend(some.flatten());
    }
    names
}

pub(crate) fn find(folder: &Path) -> Vec<u8> {
    succeeded(&run(Command::new("find").arg(folder).args(["-type", "f"])))
}

pub(crate) fn sorted(lines: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = lines
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    lines.sort();
    lines
}

pub(crate) fn xargs_sums(names: &[u8]) -> Vec<Vec<u8>> {
    let xargs = run_with_input(
        Command::new("xargs").args(["-d", "\\n", "sha256sum"]),
        names,
    );
    sorted(&succeeded(&xargs))
}

#[test]
fn sums_are_those_of_xargs() {
    let folder = tempfile::tempdir().unwrap();
    let names = names(folder.path());
    let broker = Broker::start();
    let pushed = run_with_input(
        &mut broker.verteilt(["push", "sums", "--lines", "--json"]),
        &names,
    );
    let count = names.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(json(&pushed)["pushed"], count);

    let work = [
        "work",
        "sums",
        "--drain",
        "--concurrency",
        "4",
        "--",
        "sha256sum",
        "{}",
    ];
    let sums = succeeded(&run(&mut broker.verteilt(work)));
    let (ours, theirs) = (sorted(&sums), xargs_sums(&names));
    assert_eq!(ours.len(), theirs.len());
    assert!(ours == theirs, "the lines differ");

    let stats = broker.stats("sums");
    assert_eq!(stats["done"], count);
    for state in ["ready", "leased", "failed", "dead"] {
        assert_eq!(stats[state], 0, "{state}");
    }
}

#[test]
fn lines_come_from_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder
        .path()
        .join(std::ffi::OsString::from_vec(b"names \xff".to_vec()));
    // An empty line is a job, and so is a last one without its newline.
    fs::write(&file, "a\n\nb c").unwrap();
    let broker = Broker::start();
    let mut push = broker.verteilt(["push", "q", "--json", "--lines"]);
    assert_eq!(json(&run(push.arg(&file)))["pushed"], 3);
    let done = run(&mut broker.verteilt(["work", "q", "--drain", "--", "echo", "<{}>"]));
    assert_eq!(succeeded(&done), b"<a>\n<>\n<b c>\n");
}

#[test]
fn a_body_is_bytes_on_standard_input() {
    let broker = Broker::start();
    // More than a pipe and than a frame hold.
    let body: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let pushed = run_with_input(&mut broker.verteilt(["push", "large", "--json"]), &body);
    assert_eq!(json(&pushed)["durability"], "disk");
    let done = run(&mut broker.verteilt(["work", "large", "--drain", "--", "cat"]));
    assert!(succeeded(&done) == body, "the body changed");
}

#[test]
fn a_command_need_not_read_its_input() {
    let broker = Broker::start();
    let body = vec![b'x'; 2_000_000];
    succeeded(&run_with_input(
        &mut broker.verteilt(["push", "large"]),
        &body,
    ));
    succeeded(&run(
        &mut broker.verteilt(["work", "large", "--drain", "--", "true"])
    ));
    assert_eq!(broker.count("large", "done"), 1);
}
