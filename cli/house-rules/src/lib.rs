//! The rules of this repository that neither the compiler nor clippy can hold.
//!
//! Start at `tests/house_rules/main.rs`: one test a rule, each with the advice that its failure
//! prints. The rules themselves are plain functions over a [`tree::Tree`] of texts or a
//! [`packages::Packages`] graph, so `tests/house_rules/planted.rs` can show that each of them
//! fails on a planted offence.
//!
//! This crate stands apart from the binary so that `make check` need not build the broker first.

pub mod code;
pub mod layout;
pub mod licence;
pub mod packages;
pub mod sources;
pub mod supply;
pub mod tree;

use std::fmt;

/// One offence against one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: a path, `path:line`, or a package.
    pub place: String,
    /// What stands there.
    pub what: String,
}

impl Finding {
    /// An offence at a place.
    #[must_use]
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.what)
    }
}

/// Fails the calling test with every offence and the advice, if there is any.
///
/// # Panics
/// If `findings` is not empty.
pub fn demand_none(findings: &[Finding], advice: &str) {
    let list: Vec<String> = findings
        .iter()
        .map(|finding| format!("  {finding}"))
        .collect();
    assert!(
        findings.is_empty(),
        "\n{}\nWhat to do: {advice}\n",
        list.join("\n")
    );
}
