//! Rules about what stands in the sources.

use crate::tree::{File, Tree};
use crate::{Finding, code};

/// This crate spells out what others must not write.
const RULES: &str = "cli/house-rules/";

/// What the pure core never touches: it is handed time and entropy, and its hands are empty.
const IMPURE: &[&str] = &[
    "SystemTime",
    "Instant",
    "std::fs",
    "std::net",
    "std::thread",
    "std::env",
    "std::process",
    "println!",
    "eprintln!",
    "dbg!",
    "rand",
    "getrandom",
    "tokio",
    "tracing",
    "metrics",
];

/// Words that promise work instead of doing it.
const PROMISES: &[&str] = &["FIXME", "XXX", "TODO", "HACK", "todo!", "unimplemented!"];

/// The broker's core names no clock, file, socket, thread, randomness, output or default hasher.
#[must_use]
pub fn core_is_pure(tree: &Tree) -> Vec<Finding> {
    let core = |file: &&File| file.path.starts_with("broker/core/src/") && !file.is_test();
    let mut findings = words_in(tree.rust().filter(core), IMPURE);
    for file in tree.rust().filter(core) {
        let lines = code::only(&file.text);
        findings.extend(
            lines
                .lines()
                .enumerate()
                .filter(|(_, line)| code::has_default_hasher(line))
                .map(|(number, line)| found(file, number, line)),
        );
    }
    findings
}

/// The storage library is named where it is wrapped, and nowhere else.
#[must_use]
pub fn sled_is_named_in_the_store_only(tree: &Tree) -> Vec<Finding> {
    let outside = |file: &&File| {
        !file.path.starts_with("broker/src/store") && !file.path.starts_with("broker/sled-sync/")
    };
    words_in(tree.rust().filter(outside), &["sled"])
}

/// `unsafe` stands in one crate.
#[must_use]
pub fn unsafe_is_in_sled_sync_only(tree: &Tree) -> Vec<Finding> {
    words_in(
        tree.rust()
            .filter(|file| !file.path.starts_with("broker/sled-sync/")),
        &["unsafe"],
    )
}

/// No queue in memory without an end.
#[must_use]
pub fn queues_are_bounded(tree: &Tree) -> Vec<Finding> {
    words_in(
        tree.rust(),
        &[
            "unbounded_channel",
            "UnboundedSender",
            "UnboundedReceiver",
            "unbounded(",
        ],
    )
}

/// Nothing is left for later in a comment or a macro.
#[must_use]
pub fn nothing_is_promised(tree: &Tree) -> Vec<Finding> {
    lines_with(
        tree.rust().filter(|file| !file.path.starts_with(RULES)),
        |line| PROMISES.iter().any(|word| code::has_word(line, word)),
    )
}

/// Every module says what it is for.
#[must_use]
pub fn modules_are_documented(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !file.is_test() && !file.is_generated())
        .filter(|file| {
            let first = file
                .text
                .lines()
                .find(|line| !line.trim().is_empty() && !line.starts_with("#!["));
            !first.is_some_and(|line| line.starts_with("//!"))
        })
        .map(|file| Finding::new(&file.path, "does not start with a //! comment"))
        .collect()
}

/// No tracked file names a path of the machine that it was written on.
#[must_use]
pub fn no_machine_paths(tree: &Tree) -> Vec<Finding> {
    let anywhere = ["/work/", "/root/", "/home/"];
    let ours = |file: &&File| !file.path.starts_with(RULES);
    let mut findings = lines_with(tree.files.iter().filter(ours), |line| {
        anywhere.iter().any(|path| starts_a_path(line, path))
    });
    let docs = tree.files.iter().filter(|file| file.path.ends_with(".md"));
    findings.extend(lines_with(docs, |line| starts_a_path(line, "/tmp/")));
    findings
}

/// Whether `path` stands in the line as the beginning of an absolute path.
fn starts_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before
            .is_none_or(|character| !character.is_alphanumeric() && !"._-/}{~*".contains(character))
    })
}

/// The lines of code, comments and strings left out, that hold one of the words.
fn words_in<'tree>(files: impl Iterator<Item = &'tree File>, words: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (number, line) in code::only(&file.text).lines().enumerate() {
            if words.iter().any(|word| code::has_word(line, word)) {
                findings.push(found(file, number, line));
            }
        }
    }
    findings
}

fn lines_with<'tree>(
    files: impl Iterator<Item = &'tree File>,
    offends: impl Fn(&str) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let lines = file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| offends(line));
        findings.extend(lines.map(|(number, line)| found(file, number, line)));
    }
    findings
}

fn found(file: &File, line_index: usize, line: &str) -> Finding {
    Finding::new(format!("{}:{}", file.path, line_index + 1), line.trim())
}
