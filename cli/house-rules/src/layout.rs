//! Rules about where things stand and how large and how linked they are.

use crate::Finding;
use crate::tree::{File, Tree};

/// The rooms of the house; ARCHITECTURE.md says what each is for.
const ROOMS: &[&str] = &[
    ".ci",
    "benches",
    "broker",
    "cli",
    "client-bindings",
    "client-rs",
    "docs",
    "fuzz",
    "gateway",
    "protocol",
    "services",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &[
    "common", "helper", "helpers", "manager", "managers", "misc", "util", "utils",
];

/// Endings of files that people write as code.
const CODE: &[&str] = &[
    "rs", "proto", "sh", "py", "js", "ts", "go", "java", "rb", "php", "c", "h",
];

/// No code file is longer than this,
const LINES_MAX: usize = 800;
/// but for the messages of the wire, which clients of all languages read as one file.
const PROTO_LINES_MAX: usize = 1_000;

/// The parts of a decision record, in this order.
const RECORD: &[&str] = &["Status", "Context", "Decision", "Consequences"];

/// Every top-level folder is a room of the architecture.
#[must_use]
pub fn folders_are_rooms(tree: &Tree) -> Vec<Finding> {
    let mut strangers: Vec<&str> = tree
        .files
        .iter()
        .filter_map(|file| Some(file.path.split_once('/')?.0))
        .filter(|folder| !ROOMS.contains(folder))
        .collect();
    strangers.dedup();
    strangers
        .into_iter()
        .map(|folder| Finding::new(folder, "is no room of the house"))
        .collect()
}

/// No folder or module is named after nothing.
#[must_use]
pub fn names_say_something(tree: &Tree) -> Vec<Finding> {
    let stem = |part: &str| part.split('.').next().unwrap_or(part).to_ascii_lowercase();
    tree.files
        .iter()
        .filter(|file| {
            file.path
                .split('/')
                .any(|part| EMPTY_NAMES.contains(&stem(part).as_str()))
        })
        .map(|file| Finding::new(&file.path, "a name that says nothing"))
        .collect()
}

/// A reader takes in one file at a time.
#[must_use]
pub fn files_are_small(tree: &Tree) -> Vec<Finding> {
    tree.files
        .iter()
        .filter(|file| {
            file.path
                .rsplit_once('.')
                .is_some_and(|(_, end)| CODE.contains(&end))
        })
        .filter(|file| !file.is_generated())
        .map(|file| (file, file.text.lines().count()))
        .filter(|(file, lines)| *lines > lines_max(file))
        .map(|(file, lines)| {
            let most = lines_max(file);
            Finding::new(&file.path, format!("{lines} lines, {most} at most"))
        })
        .collect()
}

fn lines_max(file: &File) -> usize {
    if file.path.ends_with(".proto") {
        PROTO_LINES_MAX
    } else {
        LINES_MAX
    }
}

/// Every decision record has its number and its parts.
#[must_use]
pub fn decisions_have_their_parts(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree
        .files
        .iter()
        .filter(|file| file.path.starts_with("docs/decisions/"))
    {
        let number = file.name().split('-').next().unwrap_or_default();
        if number.len() != 4 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            findings.push(Finding::new(
                &file.path,
                "its name starts with no four-digit number",
            ));
        }
        let headings: Vec<&str> = file
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .map(str::trim)
            .collect();
        if headings != RECORD {
            findings.push(Finding::new(
                &file.path,
                format!("headings are {headings:?}"),
            ));
        }
    }
    findings
}

/// Every relative link of a Markdown file leads to something in the repository.
#[must_use]
pub fn links_lead_somewhere(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for target in links(&file.text).filter(|target| is_relative(target)) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !tree.has(&resolved(file, path)) {
                findings.push(Finding::new(&file.path, format!("leads nowhere: {target}")));
            }
        }
    }
    findings
}

/// The targets of inline links and pictures.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once(')')?.0))
}

fn is_relative(target: &str) -> bool {
    !target.contains("://") && !target.starts_with("mailto:") && !target.contains(' ')
}

/// The target's path from the root of the repository.
fn resolved(from: &File, target: &str) -> String {
    let folder = from.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}
