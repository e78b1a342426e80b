//! `verteilt service`: who serves what, and how well.

mod json;
mod list;

use std::time::Duration;

use clap::{Args, Subcommand};
use verteilt_client::{Health, InstanceStats, ServiceStats};

use crate::connect::BrokerAddress;
use crate::failure::{Exit, Failure};

/// Look at the services that answer requests, and at those who serve them
#[derive(Debug, Args)]
pub(crate) struct Service {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the services that somebody serves now
    Ls(list::Ls),
    /// Show who serves one, with counts and latencies
    Show(list::Show),
}

/// What every action needs.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    broker: BrokerAddress,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Service {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        match &self.action {
            Action::Ls(ls) => ls.run().await,
            Action::Show(show) => show.run().await,
        }?;
        Ok(Exit::Done)
    }
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
        Health::Draining => "draining",
        _ => "unknown",
    }
}

fn replies(instance: &InstanceStats) -> u64 {
    instance.replies.iter().sum()
}

/// Server errors and requests that ended without a reply.
fn errors(instance: &InstanceStats) -> u64 {
    instance.replies[4] + instance.expired + instance.broken
}

fn sum_over(stats: &ServiceStats, of: impl Fn(&InstanceStats) -> u64) -> u64 {
    stats.instances.iter().map(of).sum()
}

/// So many of a hundred took less than this: the end of the bucket that the last of them is in.
fn percentile(counts: &[u64], percent: u64) -> Option<Duration> {
    let wanted = (counts.iter().sum::<u64>() * percent).div_ceil(100);
    let mut seen = 0;
    let reaches = |count: &u64| {
        seen += count;
        seen >= wanted
    };
    let at = (wanted > 0).then(|| counts.iter().position(reaches))??;
    Some(Duration::from_micros(1 << at))
}

fn time(of: Option<Duration>) -> String {
    match of {
        None => "-".to_owned(),
        Some(time) if time < Duration::from_millis(1) => format!("<{} us", time.as_micros()),
        Some(time) if time < Duration::from_secs(10) => format!("<{} ms", time.as_millis()),
        Some(time) => format!("<{} s", time.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_end_of_its_bucket() {
        let counts = [0, 50, 49, 0, 1];
        let us = |percent| percentile(&counts, percent).map(|time| time.as_micros());
        assert_eq!([us(50), us(99), us(100)], [Some(2), Some(4), Some(16)]);
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn times_are_short() {
        let text = |us| time(Some(Duration::from_micros(us)));
        assert_eq!(
            [text(512), text(1_024), text(1 << 24)],
            ["<512 us", "<1 ms", "<16 s"]
        );
        assert_eq!(time(None), "-");
    }
}
