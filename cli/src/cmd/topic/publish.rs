//! `verteilt topic publish`: one record, or one for each line.

use std::ffi::OsString;
use std::io::{self, BufRead as _, Read as _};
use std::os::unix::ffi::OsStringExt as _;

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use tokio::sync::mpsc;
use verteilt_client::{PublishOptions, Published};

use super::Common;
use crate::connect::Connection;
use crate::failure::Failure;
use crate::output;

/// Lines that are published together, and batches that were read ahead.
const LINES: usize = 4_096;
const BATCH_BYTES: usize = 1024 * 1024;
const BATCHES_READ: usize = 2;

/// Without VALUE and --lines the one record's value is standard input, to its end.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    /// The topic
    topic: String,
    /// The value of the record
    #[arg(conflicts_with = "lines")]
    value: Option<OsString>,
    /// Make each line of standard input a record, an empty line too
    #[arg(long)]
    lines: bool,
    /// Records of one key go to one partition and keep their order
    #[arg(long)]
    key: Option<String>,
    /// To this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct One<'a> {
    topic: &'a str,
    published: u64,
    partition: u32,
    offset: u64,
}

#[derive(Serialize)]
struct Lines<'a> {
    topic: &'a str,
    published: u64,
}

impl Publish {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let value = self.value()?;
        let connection = self.common.broker.connect().await?;
        match value {
            Some(value) => {
                let published = self.publish(&connection, value).await?;
                self.tell(published)?;
            }
            None => {
                let published = self.publish_lines(&connection).await?;
                let topic = self.topic.as_str();
                if self.common.json {
                    output::json(&Lines { topic, published })?;
                } else {
                    output::line(&format!("{published} records are on disk"))?;
                }
            }
        }
        connection.close().await;
        Ok(())
    }

    /// The one value; `None` if there is one for each line.
    fn value(&self) -> Result<Option<Bytes>, Failure> {
        if self.lines {
            return Ok(None);
        }
        if let Some(value) = &self.value {
            return Ok(Some(Bytes::from(value.clone().into_vec())));
        }
        let mut value = Vec::new();
        let read = io::stdin().lock().read_to_end(&mut value);
        read.map_err(|error| Failure::usage(format!("cannot read standard input: {error}")))?;
        Ok(Some(Bytes::from(value)))
    }

    fn options(&self) -> PublishOptions {
        PublishOptions {
            key: self.key.clone().map(Bytes::from),
            partition: self.partition,
            ..PublishOptions::default()
        }
    }

    async fn publish(&self, connection: &Connection, value: Bytes) -> Result<Published, Failure> {
        let topics = connection.client.topics();
        let answer = topics
            .publish_with(&self.topic, value, self.options())
            .await;
        answer.map_err(|error| connection.explain(&error))
    }

    fn tell(&self, published: Published) -> Result<(), Failure> {
        let Published {
            partition, offset, ..
        } = published;
        if self.common.json {
            return output::json(&One {
                topic: &self.topic,
                published: 1,
                partition,
                offset,
            });
        }
        output::line(&format!("partition {partition}, offset {offset}, on disk"))
    }

    async fn publish_lines(&self, connection: &Connection) -> Result<u64, Failure> {
        let mut read = read_on_a_thread();
        let topics = connection.client.topics();
        let mut published = 0;
        while let Some(lines) = read.recv().await {
            let lines =
                lines.map_err(|error| Failure::work(format!("cannot read the lines: {error}")))?;
            let count = lines.len() as u64;
            let all = lines
                .into_iter()
                .map(|line| topics.publish_with(&self.topic, line, self.options()));
            let answer = futures_util::future::try_join_all(all).await;
            answer.map_err(|error| {
                let failure = connection.explain(&error);
                failure.advise(format!("{published} records were on disk before that"))
            })?;
            published += count;
        }
        Ok(published)
    }
}

/// Reading blocks, so it has a thread; the channel's bound makes it wait for the broker.
fn read_on_a_thread() -> mpsc::Receiver<io::Result<Vec<Bytes>>> {
    let (sender, read) = mpsc::channel(BATCHES_READ);
    tokio::task::spawn_blocking(move || {
        let mut lines = io::stdin().lock().split(b'\n');
        loop {
            let (mut batch, mut bytes) = (Vec::new(), 0);
            while batch.len() < LINES && bytes < BATCH_BYTES {
                match lines.next() {
                    Some(Ok(line)) => {
                        bytes += line.len();
                        batch.push(Bytes::from(line));
                    }
                    Some(Err(error)) => {
                        let _nobody_waits = sender.blocking_send(Err(error));
                        return;
                    }
                    None => break,
                }
            }
            if batch.is_empty() || sender.blocking_send(Ok(batch)).is_err() {
                return;
            }
        }
    });
    read
}
