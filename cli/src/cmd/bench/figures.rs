//! What came out.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use verteilt_benches::load::{Latency, Outcome};

use super::target::{Target, Used};
use crate::failure::Failure;
use crate::output;

/// The figures of a load, and what it was put on.
pub(super) struct Figures {
    pub(super) outcome: Outcome,
    pub(super) target: Target,
    pub(super) used: Option<Used>,
}

#[derive(Serialize)]
struct Json<'a> {
    /// As in --url; none: its own.
    broker: Option<&'a str>,
    /// Of its own broker's folder.
    filesystem: Option<&'a str>,
    /// What one 4 KiB write with its `fdatasync` takes there, the median.
    sync_us: Option<f64>,
    /// Time of processors that its own broker and the load used for a job, backlog and all.
    broker_cpu_us: Option<f64>,
    load_cpu_us: Option<f64>,
    /// What its own broker wrote to the disk, and what its folder has in the end.
    written_bytes: Option<u64>,
    data_bytes: Option<u64>,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl Figures {
    pub(super) fn print(&self, json: bool) -> Result<(), Failure> {
        if json {
            return output::json(&self.json());
        }
        output::line(&self.to_string())?;
        let rows: Vec<_> = self.outcome.latency.iter().map(row).collect();
        if !rows.is_empty() {
            output::table(["latency, us", "p50", "p90", "p99", "p99.9", "max"], &rows)?;
        }
        let (unsent, what) = (self.outcome.unsent, self.outcome.load.what());
        if unsent > 0 {
            output::line(&format!(
                "\n{unsent} {what} were due and were not sent in time: the broker did not keep up with \
                 this rate, and their latencies are missing above"
            ))?;
        }
        Ok(())
    }

    fn json(&self) -> Json<'_> {
        let (broker, filesystem, sync_us) = match &self.target {
            Target::Named { url } => (Some(url.as_str()), None, None),
            Target::Own(own) => (
                None,
                Some(own.scratch.filesystem()),
                Some(own.sync.as_secs_f64() * 1e6),
            ),
        };
        let used = self.used.as_ref();
        let us = |time: Duration| time.as_secs_f64() * 1e6 / self.outcome.jobs.max(1) as f64;
        Json {
            broker_cpu_us: used.map(|used| us(used.processor)),
            load_cpu_us: used.map(|used| us(used.load_processor)),
            written_bytes: used.map(|used| used.written_bytes),
            data_bytes: used.map(|used| used.data_bytes),
            broker,
            filesystem,
            sync_us,
            outcome: &self.outcome,
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.outcome.load.what();
        let Outcome {
            connections,
            in_flight,
            batch,
            body_bytes,
            jobs,
            seconds,
            jobs_per_second,
            ..
        } = self.outcome;
        match &self.target {
            Target::Named { url } => writeln!(f, "the broker at {url}")?,
            Target::Own(own) => writeln!(
                f,
                "a broker of its own on {}, where one 4 KiB write with fdatasync takes {:.0} us",
                own.scratch.filesystem(),
                own.sync.as_secs_f64() * 1e6
            )?,
        }
        write!(
            f,
            "{connections} connections, {in_flight} {what} in flight on each, "
        )?;
        match batch {
            1 => write!(f, "single calls, ")?,
            batch => write!(f, "batches of {batch}, ")?,
        }
        write!(f, "bodies of {body_bytes} bytes, ")?;
        match self.outcome.rate {
            None => writeln!(f, "closed loop")?,
            Some(rate) => writeln!(f, "{rate} {what} a second asked for")?,
        }
        let megabytes = jobs_per_second * body_bytes as f64 / 1e6;
        writeln!(
            f,
            "{jobs} {what} in {seconds:.2} s: {jobs_per_second:.0} {what}/s, {megabytes:.1} MB/s, \
             {:.0} ms at most without an answer",
            self.outcome.longest_gap_ms
        )?;
        if let Some(used) = &self.used {
            let us = |time: Duration| time.as_secs_f64() * 1e6 / jobs.max(1) as f64;
            writeln!(
                f,
                "{:.2} us of processor a {} in the broker, {:.2} in the load; {:.0} MB written, \
                 {:.0} MB of folder",
                us(used.processor),
                what.trim_end_matches('s'),
                us(used.load_processor),
                used.written_bytes as f64 / 1e6,
                used.data_bytes as f64 / 1e6
            )?;
        }
        Ok(())
    }
}

fn row(latency: &Latency) -> [String; 6] {
    let us = |value: f64| format!("{value:.0}");
    [
        latency.step.to_owned(),
        us(latency.p50_us),
        us(latency.p90_us),
        us(latency.p99_us),
        us(latency.p99_9_us),
        us(latency.max_us),
    ]
}
