//! `verteilt service ls` and `verteilt service show`.

use clap::Args;
use verteilt_client::{InstanceStats, ServiceStats};

use super::{Common, errors, json, percentile, replies, sum_over, time, word};
use crate::failure::{Exit, Failure};
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The service
    service: String,
    #[command(flatten)]
    common: Common,
}

impl Ls {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let answer = connection.client.services().await;
        let services = answer.map_err(|error| connection.explain(&error))?;
        if self.common.json {
            let services: Vec<_> = services.iter().map(json::Service::from).collect();
            output::json(&services)?;
        } else if services.is_empty() {
            output::line("nobody serves anything now")?;
        } else {
            let rows: Vec<_> = services.iter().map(row).collect();
            let heading = [
                "service",
                "workers",
                "in flight",
                "waiting",
                "replies",
                "errors",
                "p50",
                "p99",
            ];
            output::table(heading, &rows)?;
        }
        connection.close().await;
        Ok(())
    }
}

fn row(stats: &ServiceStats) -> [String; 8] {
    let mut run_us = Vec::new();
    for instance in &stats.instances {
        run_us.resize(run_us.len().max(instance.run_us.len()), 0);
        for (sum, count) in run_us.iter_mut().zip(&instance.run_us) {
            *sum += count;
        }
    }
    let workers = stats.instances.len() as u64 + stats.instances_left_out;
    [
        stats.service.clone(),
        workers.to_string(),
        sum_over(stats, |instance| instance.in_flight).to_string(),
        stats.waiting.to_string(),
        sum_over(stats, replies).to_string(),
        (sum_over(stats, errors) + stats.refused + stats.expired).to_string(),
        time(percentile(&run_us, 50)),
        time(percentile(&run_us, 99)),
    ]
}

impl Show {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let answer = connection.client.service(&self.service).await;
        let stats = answer.map_err(|error| connection.explain(&error))?;
        let stats = stats.ok_or_else(|| unserved(&self.service))?;
        if self.common.json {
            output::json(&json::Service::from(&stats))?;
        } else {
            print(&stats)?;
        }
        connection.close().await;
        Ok(())
    }
}

fn unserved(service: &str) -> Failure {
    Failure::new(Exit::Refused, format!("nobody serves {service} now"))
        .advise("`verteilt service ls` lists what is served")
}

fn print(stats: &ServiceStats) -> Result<(), Failure> {
    output::line(&format!(
        "{}: {} waiting; without a worker {} were refused, {} expired, {} cancelled",
        stats.service, stats.waiting, stats.refused, stats.expired, stats.cancelled
    ))?;
    let rows: Vec<_> = stats.instances.iter().map(instance_row).collect();
    let heading = [
        "instance",
        "version",
        "host",
        "health",
        "in flight",
        "2xx",
        "other",
        "errors",
        "wait p99",
        "run p50",
        "run p99",
    ];
    output::table(heading, &rows)?;
    let mut endpoints: Vec<_> = stats
        .instances
        .iter()
        .flat_map(|one| &one.endpoints)
        .collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    for endpoint in endpoints {
        output::line(&format!("  endpoint {endpoint}"))?;
    }
    if stats.instances_left_out > 0 {
        output::line(&format!("and {} more workers", stats.instances_left_out))?;
    }
    Ok(())
}

fn instance_row(stats: &InstanceStats) -> [String; 11] {
    let or_dash = |text: &str| {
        let text = if text.is_empty() { "-" } else { text };
        text.to_owned()
    };
    let success = stats.replies[1];
    [
        stats.instance.clone(),
        or_dash(&stats.version),
        or_dash(&stats.host),
        word(stats.health).to_owned(),
        format!("{} of {}", stats.in_flight, stats.concurrency),
        success.to_string(),
        (replies(stats) - success + stats.forwarded).to_string(),
        errors(stats).to_string(),
        time(percentile(&stats.wait_us, 99)),
        time(percentile(&stats.run_us, 50)),
        time(percentile(&stats.run_us, 99)),
    ]
}
