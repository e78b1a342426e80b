//! `verteilt queue peek`: jobs as they wait, without taking them.

use clap::{Args, ValueEnum};
use serde::Serialize;
use verteilt_client::{JobState, PeekedJob};

use super::Common;
use crate::failure::Failure;
use crate::output;

/// Characters of a body that fit on a line.
const PREVIEW_CHARS: usize = 60;

#[derive(Debug, Args)]
pub(crate) struct Peek {
    /// The queue
    queue: String,
    /// The state of the jobs to show
    #[arg(long, value_enum, default_value_t = State::Ready)]
    state: State,
    /// Most jobs to show
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Scheduled,
    Ready,
    Leased,
    Failed,
    Dead,
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Scheduled => Self::Scheduled,
            State::Ready => Self::Ready,
            State::Leased => Self::Leased,
            State::Failed => Self::Failed,
            State::Dead => Self::Dead,
        }
    }
}

/// A body is `body` where it is UTF-8, else `body_base64`.
#[derive(Serialize)]
struct Shown<'a> {
    id: u64,
    priority: i32,
    attempts: u32,
    attempts_max: u32,
    due_ms: u64,
    body_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    body_cut: bool,
}

impl<'a> From<&'a PeekedJob> for Shown<'a> {
    fn from(job: &'a PeekedJob) -> Self {
        let (body, body_base64) = output::text_or_base64(&job.body);
        Self {
            id: job.id,
            priority: job.priority,
            attempts: job.attempts,
            attempts_max: job.attempts_max,
            due_ms: job.due_ms,
            body_bytes: job.body_bytes,
            body,
            body_base64,
            body_cut: (job.body.len() as u64) < job.body_bytes,
        }
    }
}

impl Peek {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let connection = self.common.broker.connect().await?;
        let answer = connection
            .client
            .peek(&self.queue, self.state.into(), self.limit)
            .await;
        let jobs = answer.map_err(|error| connection.explain(&error))?;
        if self.common.json {
            output::json(&jobs.iter().map(Shown::from).collect::<Vec<_>>())?;
        } else {
            for job in &jobs {
                output::line(&preview(job))?;
            }
        }
        connection.close().await;
        Ok(())
    }
}

fn preview(job: &PeekedJob) -> String {
    let text = String::from_utf8_lossy(&job.body);
    let mut shown: String = text
        .chars()
        .take(PREVIEW_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(PREVIEW_CHARS).is_some() {
        shown.push_str("...");
    }
    let PeekedJob {
        id,
        priority,
        attempts,
        attempts_max,
        body_bytes,
        ..
    } = job;
    format!("{id}  priority {priority}  runs {attempts}/{attempts_max}  {body_bytes} B  {shown}")
}
