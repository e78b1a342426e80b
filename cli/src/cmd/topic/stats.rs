//! `verteilt topic ls` and `verteilt topic groups`.

use clap::Args;
use serde::Serialize;
use verteilt_client::{GroupStats, TopicStats};

use super::Common;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// Show this one with its partitions
    topic: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Groups {
    /// The topic
    topic: String,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct ShownTopic<'a> {
    topic: &'a str,
    partitions: u32,
    /// `null`: no limit.
    keep_for_ms: Option<u64>,
    keep_bytes: Option<u64>,
    records: u64,
    bytes: u64,
    published: u64,
    subscriptions: u64,
    groups: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    offsets: Vec<ShownPartition>,
}

#[derive(Serialize)]
struct ShownPartition {
    partition: u32,
    first: u64,
    next: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct ShownGroup<'a> {
    group: &'a str,
    members: u32,
    lag: u64,
    positions: Vec<ShownPosition>,
}

#[derive(Serialize)]
struct ShownPosition {
    partition: u32,
    offset: u64,
    lag: u64,
}

impl<'a> From<&'a TopicStats> for ShownTopic<'a> {
    fn from(stats: &'a TopicStats) -> Self {
        let age = stats.retention.age;
        let offsets = stats.offsets.iter().enumerate();
        Self {
            topic: &stats.topic,
            partitions: stats.partitions,
            keep_for_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            keep_bytes: stats.retention.bytes,
            records: stats.records,
            bytes: stats.bytes,
            published: stats.published,
            subscriptions: stats.subscriptions,
            groups: stats.groups,
            offsets: offsets
                .map(|(at, offsets)| ShownPartition {
                    partition: at as u32,
                    first: offsets.first,
                    next: offsets.next,
                    bytes: offsets.bytes,
                })
                .collect(),
        }
    }
}

impl<'a> From<&'a GroupStats> for ShownGroup<'a> {
    fn from(stats: &'a GroupStats) -> Self {
        let positions = stats.positions.iter().map(|at| ShownPosition {
            partition: at.partition,
            offset: at.offset,
            lag: at.lag,
        });
        Self {
            group: &stats.group,
            members: stats.members,
            lag: stats.lag,
            positions: positions.collect(),
        }
    }
}

impl Ls {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let topics = connection.client.topics();
        let answer = match &self.topic {
            Some(topic) => topics.stats(topic).await.map(|stats| vec![stats]),
            None => topics.list().await,
        };
        let stats = answer.map_err(|error| connection.explain(&error))?;
        if self.common.json {
            output::json(&stats.iter().map(ShownTopic::from).collect::<Vec<_>>())?;
        } else if stats.is_empty() {
            output::line("no topics yet; `verteilt topic create TOPIC` makes one")?;
        } else if self.topic.is_some() {
            tell_partitions(&stats[0])?;
        } else {
            let rows: Vec<_> = stats.iter().map(row).collect();
            let heading = [
                "topic",
                "partitions",
                "records",
                "bytes",
                "published",
                "groups",
            ];
            output::table(heading, &rows)?;
        }
        connection.close().await;
        Ok(())
    }
}

fn row(stats: &TopicStats) -> [String; 6] {
    [
        stats.topic.clone(),
        stats.partitions.to_string(),
        stats.records.to_string(),
        stats.bytes.to_string(),
        stats.published.to_string(),
        stats.groups.to_string(),
    ]
}

fn tell_partitions(stats: &TopicStats) -> Result<(), Failure> {
    let rows: Vec<[String; 4]> = stats
        .offsets
        .iter()
        .enumerate()
        .map(|(at, offsets)| {
            [
                at.to_string(),
                offsets.first.to_string(),
                offsets.next.to_string(),
                offsets.bytes.to_string(),
            ]
        })
        .collect();
    output::table(["partition", "first", "next", "bytes"], &rows)
}

impl Groups {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let answer = connection.client.topics().groups(&self.topic).await;
        let groups = answer.map_err(|error| connection.explain(&error))?;
        if self.common.json {
            output::json(&groups.iter().map(ShownGroup::from).collect::<Vec<_>>())?;
        } else if groups.is_empty() {
            output::line("no groups yet; `verteilt topic tail --group GROUP` makes one")?;
        } else {
            let rows: Vec<[String; 3]> = groups
                .iter()
                .map(|group| {
                    let (members, lag) = (group.members.to_string(), group.lag.to_string());
                    [group.group.clone(), members, lag]
                })
                .collect();
            output::table(["group", "members", "lag"], &rows)?;
        }
        connection.close().await;
        Ok(())
    }
}
