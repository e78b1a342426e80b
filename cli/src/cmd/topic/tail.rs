//! `verteilt topic tail`: records as they come.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use verteilt_client::{ClientError, Consumer, ConsumerOptions, Record, StartAt};

use super::Common;
use crate::connect::Connection;
use crate::failure::{Exit, Failure, note};
use crate::output;
use crate::signals::StopSignals;

/// Records printed before the group's position moves.
const BATCH: usize = 1_024;
/// With --drain: after so much quiet everything was read.
const QUIET: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The topic
    topic: String,
    /// Begin with the oldest record, not with the next one
    #[arg(long, conflicts_with = "from")]
    all: bool,
    /// Begin at this offset of each partition
    #[arg(long, value_name = "OFFSET")]
    from: Option<u64>,
    /// Only this partition; may be given again
    #[arg(long, value_name = "N", conflicts_with = "group")]
    partition: Vec<u32>,
    /// Read as a member of this group, and commit what was printed; a new one begins with the oldest
    #[arg(long)]
    group: Option<String>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// End when everything that is there was read
    #[arg(long)]
    drain: bool,
    #[command(flatten)]
    common: Common,
}

/// A value is `value` where it is UTF-8, else `value_base64`; the key likewise.
#[derive(Serialize)]
struct Shown<'a> {
    partition: u32,
    offset: u64,
    time_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl<'a> From<&'a Record> for Shown<'a> {
    fn from(record: &'a Record) -> Self {
        let (key, key_base64) = output::text_or_base64(&record.key);
        let (value, value_base64) = output::text_or_base64(&record.value);
        let has_key = !record.key.is_empty();
        Self {
            partition: record.partition,
            offset: record.offset,
            time_ms: record.time_ms,
            key: key.filter(|_| has_key),
            key_base64,
            value,
            value_base64,
        }
    }
}

impl Tail {
    pub(super) async fn run(&self) -> Result<Exit, Failure> {
        let signals = StopSignals::listen()?;
        let connection = self.common.broker.connect().await?;
        let topics = connection.client.topics();
        let answer = topics.consume(&self.topic, self.options()).await;
        let mut records = answer.map_err(|error| connection.explain(&error))?;
        let left = self.limit.unwrap_or(u64::MAX);
        let stopped = tokio::select! {
            ended = self.print(&connection, &mut records, left) => {
                ended?;
                false
            }
            () = signals.gently.cancelled() => true,
        };
        let end = records.error();
        drop(records);
        if let Some(error) = end {
            return Err(connection.explain(&error));
        }
        connection.close().await;
        Ok(if stopped { signals.exit() } else { Exit::Done })
    }

    fn options(&self) -> ConsumerOptions {
        let start = match (self.from, self.all || self.group.is_some()) {
            (Some(offset), _) => StartAt::Offset(offset),
            (None, true) => StartAt::Earliest,
            (None, false) => StartAt::Latest,
        };
        ConsumerOptions {
            start,
            group: self.group.clone(),
            partitions: self.partition.clone(),
            ..ConsumerOptions::default()
        }
    }

    async fn print(
        &self,
        connection: &Connection,
        consumer: &mut Consumer,
        mut left: u64,
    ) -> Result<(), Failure> {
        while left > 0 {
            let most = BATCH.min(usize::try_from(left).unwrap_or(BATCH));
            let next = consumer.next_batch(most);
            let records = if self.drain {
                match tokio::time::timeout(QUIET, next).await {
                    Ok(records) => records,
                    Err(_) => return Ok(()),
                }
            } else {
                next.await
            };
            if records.is_empty() {
                return Ok(());
            }
            left -= records.len() as u64;
            self.print_all(&records)?;
            if self.group.is_some() {
                self.commit(connection, consumer, &records).await?;
            }
        }
        Ok(())
    }

    fn print_all(&self, records: &[Record]) -> Result<(), Failure> {
        for record in records {
            if record.skipped > 0 {
                let (partition, skipped) = (record.partition, record.skipped);
                note(format_args!(
                    "{skipped} records of partition {partition} were dropped before"
                ));
            }
            if self.common.json {
                output::json(&Shown::from(record))?;
            } else {
                let mut out = io::stdout().lock();
                out.write_all(&record.value)
                    .and_then(|()| out.write_all(b"\n"))
                    .map_err(|error| Failure::output(&error))?;
            }
        }
        io::stdout()
            .flush()
            .map_err(|error| Failure::output(&error))
    }

    /// The last record of each partition stands for those before it.
    async fn commit(
        &self,
        connection: &Connection,
        consumer: &mut Consumer,
        records: &[Record],
    ) -> Result<(), Failure> {
        let is_last = |at: usize, record: &Record| {
            records[at + 1..]
                .iter()
                .all(|later| later.partition != record.partition)
        };
        for (at, record) in records.iter().enumerate() {
            if !is_last(at, record) {
                continue;
            }
            match consumer.commit(record).await {
                Ok(()) => {}
                // Another member prints it again.
                Err(error) if is_lost(&error) => {}
                Err(error) => return Err(connection.explain(&error)),
            }
        }
        Ok(())
    }
}

fn is_lost(error: &ClientError) -> bool {
    error.code() == Some(verteilt_client::ErrorCode::PartitionLost)
}
