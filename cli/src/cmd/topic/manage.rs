//! `verteilt topic create`, `retain` and `rm`.

use clap::Args;
use serde::Serialize;
use verteilt_client::{Retention, TopicOptions};
use verteilt_protocol::limits;

use super::Common;
use crate::failure::Failure;
use crate::output;
use crate::units::{Size, Span};

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The topic
    topic: String,
    /// How many partitions; it stays as it is
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::PARTITIONS_MAX)))]
    partitions: u32,
    #[command(flatten)]
    keeps: Keeps,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Retain {
    /// The topic
    topic: String,
    #[command(flatten)]
    keeps: Keeps,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// The topic
    topic: String,
    #[command(flatten)]
    common: Common,
}

/// What is kept; without either everything is.
#[derive(Debug, Args)]
struct Keeps {
    /// Records go when they are older, such as 7d or 12h
    #[arg(long, value_name = "DURATION")]
    keep_for: Option<Span>,
    /// The oldest records go when their partition holds more, such as 1GiB
    #[arg(long, value_name = "SIZE")]
    keep_bytes: Option<Size>,
}

impl Keeps {
    fn retention(&self) -> Retention {
        Retention {
            age: self.keep_for.map(|span| span.0),
            bytes: self.keep_bytes.map(|size| size.0),
        }
    }
}

#[derive(Serialize)]
struct Made<'a> {
    topic: &'a str,
    partitions: u32,
}

#[derive(Serialize)]
struct Named<'a> {
    topic: &'a str,
}

impl Create {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let options = TopicOptions {
            partitions: self.partitions,
            retention: self.keeps.retention(),
        };
        let answer = connection
            .client
            .topics()
            .create(&self.topic, options)
            .await;
        answer.map_err(|error| connection.explain(&error))?;
        let (topic, partitions) = (self.topic.as_str(), self.partitions);
        if self.common.json {
            output::json(&Made { topic, partitions })?;
        } else {
            output::line(&format!("{topic} is there, with {partitions} partitions"))?;
        }
        connection.close().await;
        Ok(())
    }
}

impl Retain {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let topics = connection.client.topics();
        let answer = topics
            .set_retention(&self.topic, self.keeps.retention())
            .await;
        answer.map_err(|error| connection.explain(&error))?;
        let topic = self.topic.as_str();
        if self.common.json {
            output::json(&Named { topic })?;
        } else {
            output::line(&format!("{topic} keeps that from now on"))?;
        }
        connection.close().await;
        Ok(())
    }
}

impl Rm {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let answer = connection.client.topics().delete(&self.topic).await;
        answer.map_err(|error| connection.explain(&error))?;
        let topic = self.topic.as_str();
        if self.common.json {
            output::json(&Named { topic })?;
        } else {
            output::line(&format!("{topic} is gone"))?;
        }
        connection.close().await;
        Ok(())
    }
}
