//! Figures of several rounds, as a table for people and as JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::machine::Machine;

/// One figure, measured once a round.
#[derive(Debug, Clone, Serialize)]
pub struct Metric {
    /// What.
    pub name: String,
    /// Of one value.
    pub unit: &'static str,
    /// In the order of the rounds.
    pub values: Vec<f64>,
}

impl Metric {
    /// The middle value, of two the mean.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        }
    }

    fn columns(&self) -> String {
        let rounds: Vec<_> = self.values.iter().map(|value| shown(*value)).collect();
        [
            shown(self.median()),
            shown(self.least()),
            shown(self.most()),
            rounds.join(", "),
        ]
        .join(" | ")
    }

    fn least(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    fn most(&self) -> f64 {
        self.values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Something that is demanded of a ratio.
#[derive(Debug, Clone, Serialize)]
pub struct Demand {
    /// In words.
    pub text: String,
    /// The median of the rounds' ratios; none if it could not be measured.
    pub measured: Option<f64>,
    /// Whether it holds; none if it could not be measured.
    pub holds: Option<bool>,
}

impl Demand {
    fn line(&self) -> String {
        let verdict = match self.holds {
            Some(true) => "holds",
            Some(false) => "DOES NOT HOLD",
            None => "UNPROVEN",
        };
        let measured = self.measured.map_or("not measured".to_owned(), |measured| {
            format!("measured {measured:.2}")
        });
        format!("{verdict}: {} ({measured})", self.text)
    }
}

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What it was measured on.
    pub machine: Machine,
    /// What was asked for, in words.
    pub setup: Vec<(String, String)>,
    /// The figures.
    pub metrics: Vec<Metric>,
    /// What is demanded of them.
    pub demands: Vec<Demand>,
    /// What could not be measured, and why.
    pub unproven: Vec<(String, String)>,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(machine: Machine) -> Self {
        Self {
            machine,
            setup: Vec::new(),
            metrics: Vec::new(),
            demands: Vec::new(),
            unproven: Vec::new(),
        }
    }

    /// Notes how it was run.
    pub fn note(&mut self, key: &str, value: impl Into<String>) {
        self.setup.push((key.to_owned(), value.into()));
    }

    /// Adds a value; the first one makes the metric.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.metrics.iter_mut().find(|metric| metric.name == name) {
            Some(metric) => metric.values.push(value),
            None => self.metrics.push(Metric {
                name: name.to_owned(),
                unit,
                values: vec![value],
            }),
        }
    }

    /// The median of a metric, if there is one.
    #[must_use]
    pub fn median(&self, name: &str) -> Option<f64> {
        let metric = self.metrics.iter().find(|metric| metric.name == name)?;
        Some(metric.median())
    }

    /// Says that something could not be measured, and why.
    pub fn unproven(&mut self, what: &str, reason: &anyhow::Error) {
        eprintln!("  {what} is UNPROVEN: {reason:#}");
        self.unproven.push((what.to_owned(), format!("{reason:#}")));
    }

    /// Holds a ratio against its bound.
    pub fn demand(&mut self, text: &str, ratio: &str, holds: impl FnOnce(f64) -> bool) {
        let measured = self.median(ratio);
        self.demands.push(Demand {
            text: text.to_owned(),
            measured,
            holds: measured.map(holds),
        });
    }

    /// For people.
    #[must_use]
    pub fn table(&self) -> String {
        let mut out = String::new();
        let machine = &self.machine;
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "{} processors, kernel {}, {}, load {} before",
            machine.processors, machine.kernel, machine.filesystem, machine.load_before
        );
        for (key, value) in &self.setup {
            let _ = writeln!(out, "{key}: {value}");
        }
        let is_single = self.metrics.iter().all(|metric| metric.values.len() == 1);
        out.push_str(if is_single {
            "\n| metric | value |\n|---|---|\n"
        } else {
            "\n| metric | median | least | most | rounds |\n|---|---|---|---|---|\n"
        });
        for metric in &self.metrics {
            let columns = if is_single {
                shown(metric.median())
            } else {
                metric.columns()
            };
            let _ = writeln!(out, "| {}, {} | {columns} |", metric.name, metric.unit);
        }
        if !self.demands.is_empty() {
            out.push('\n');
        }
        for demand in &self.demands {
            let _ = writeln!(out, "{}", demand.line());
        }
        for (what, reason) in &self.unproven {
            let _ = writeln!(out, "UNPROVEN: {what}: {reason}");
        }
        out
    }
}

/// Three digits that matter, or all of a larger number.
#[must_use]
pub fn shown(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
