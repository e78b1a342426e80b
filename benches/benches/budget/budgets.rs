//! The committed numbers, and holding others against them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How much more than its budget a path may take: allocators and compilers are not quite the same
/// everywhere.
const MARGIN: f64 = 0.05;

const HEAD: &str = "\
# Instructions of one call of each hot path, counted by callgrind. Written by
# `make bench-budget BLESS=1`; `make bench-budget` fails where a path takes 5 % more.
";

/// `benches/budgets.toml`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Budgets {
    /// What the numbers were made with: another compiler makes other ones.
    compiler: String,
    instructions: BTreeMap<String, u64>,
}

impl Budgets {
    pub(crate) fn read() -> Result<Self> {
        let path = file();
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    pub(crate) fn write(measured: &[(String, u64)]) -> Result<()> {
        let budgets = Self {
            compiler: compiler(),
            instructions: measured.iter().cloned().collect(),
        };
        let path = file();
        let text = format!("{HEAD}{}", toml::to_string(&budgets)?);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    }

    /// How many paths take too much. One without a budget does.
    pub(crate) fn exceeded(&self, measured: &[(String, u64)]) -> usize {
        let exceeds = |(name, count): &&(String, u64)| self.growth(name, *count) > MARGIN;
        measured.iter().filter(exceeds).count()
    }

    /// For people.
    pub(crate) fn table(&self, measured: &[(String, u64)]) -> String {
        let width = measured.iter().map(|(name, _)| name.len()).max();
        let width = width.unwrap_or_default();
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{:width$}  {:>12}  {:>12}  {:>8}",
            "path", "budget", "now", ""
        );
        for (name, now) in measured {
            let growth = self.growth(name, *now);
            let budget = self.instructions.get(name);
            let budget = budget.map_or("none".to_owned(), u64::to_string);
            let verdict = match growth {
                grown if grown > MARGIN => "  EXCEEDED",
                shrunk if shrunk < -MARGIN => "  less: bless it",
                _ => "",
            };
            let _ = writeln!(
                out,
                "{name:width$}  {budget:>12}  {now:>12}  {:>+7.1}%{verdict}",
                growth * 100.0
            );
        }
        let compiler = compiler();
        if compiler != self.compiler {
            let _ = writeln!(
                out,
                "\nThe budgets are of {}, this is {compiler}.",
                self.compiler
            );
        }
        out
    }

    fn growth(&self, name: &str, count: u64) -> f64 {
        match self.instructions.get(name) {
            Some(budget) => count as f64 / *budget as f64 - 1.0,
            None => f64::INFINITY,
        }
    }
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/budgets.toml"))
}

fn compiler() -> String {
    let answer = Command::new("rustc").arg("--version").output();
    let text = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "an unknown compiler".to_owned())
}
