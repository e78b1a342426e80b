//! Frames to commands. Everything that needs no state is checked here: names, lengths, bounds.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use verteilt_core::{
    Command, JobId, JobOptions, JobState, Lengths, ProducerId, Push, QueueName, RequestCommand,
    Settle, SettleKind,
};
use verteilt_protocol::limits::{
    ATTEMPTS_MAX, BATCH_JOBS_MAX, CREDIT_BYTES_DEFAULT, CREDIT_BYTES_MAX, CREDIT_JOBS_MAX,
    HEADER_BYTES_MAX, PEEK_JOBS_MAX, PURGE_JOBS_MAX, RESERVE_WAIT_MS_MAX,
};
use verteilt_protocol::{ErrorCode, Frame, FrameType, Name, wire};

use super::{ask, topic};

use crate::engine::Request;

/// What the connection said in its handshake.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) namespace: Arc<str>,
}

/// Why a frame is no request.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
    /// Nothing after it can be trusted.
    pub(crate) close: bool,
}

/// What a frame turned out to be.
#[derive(Debug)]
pub(crate) enum Converted {
    Request(Request),
    Ask(RequestCommand),
    Checkpoint,
    Backup,
    Heartbeat,
    Goodbye,
}

impl Bad {
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            close: false,
        }
    }

    fn closing(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            close: true,
        }
    }
}

/// What a frame of an open connection asks for.
pub(crate) fn convert(frame: Frame, context: &Context) -> Result<Converted, Bad> {
    let Some(kind) = frame.kind() else {
        let message = format!("frame type {:#04x} is not known here", frame.frame_type);
        return Err(Bad::new(ErrorCode::UnknownFrameType, message));
    };
    let correlation = frame.correlation;
    let is_push = takes_credit(kind);
    let push_bytes = if is_push {
        frame.payload.len() as u32
    } else {
        0
    };
    let command = match kind {
        FrameType::Heartbeat => return Ok(Converted::Heartbeat),
        FrameType::Goodbye => return Ok(Converted::Goodbye),
        FrameType::Checkpoint => return Ok(Converted::Checkpoint),
        FrameType::Backup => return Ok(Converted::Backup),
        FrameType::Cancel => Command::Cancel { correlation },
        FrameType::Push => push(&frame, context)?,
        FrameType::PushPart => part(frame)?,
        FrameType::Subscribe => subscribe(&message(&frame)?, context)?,
        FrameType::Unsubscribe => {
            let wire::Unsubscribe { subscription } = message(&frame)?;
            Command::Unsubscribe { subscription }
        }
        FrameType::Reserve => reserve(&message(&frame)?, context)?,
        FrameType::Ack | FrameType::Release | FrameType::Nack | FrameType::Touch => {
            Command::Settle(settle(kind, &frame)?)
        }
        FrameType::QueueStats
        | FrameType::QueuePeek
        | FrameType::QueuePause
        | FrameType::QueuePurge => administration(kind, &frame, context)?,
        other if other.number() >= FrameType::Request.number() => {
            return ask::ask(other, frame, context).map(Converted::Ask);
        }
        other => topic::command(other, &frame, context)?.ok_or_else(|| unexpected(other))?,
    };
    let request = Request {
        correlation,
        command,
        push_bytes,
    };
    Ok(Converted::Request(request))
}

/// Whether the payload counts against the push credit.
pub(crate) const fn takes_credit(kind: FrameType) -> bool {
    matches!(
        kind,
        FrameType::Push | FrameType::PushPart | FrameType::Publish
    )
}

fn part(frame: Frame) -> Result<Command, Bad> {
    let wire::PushPart { upload, index } = message(&frame)?;
    Ok(Command::PushPart {
        upload,
        index,
        payload: frame.payload,
    })
}

fn reserve(reserve: &wire::Reserve, context: &Context) -> Result<Command, Bad> {
    Ok(Command::Reserve {
        queue: queue(&reserve.queue, context)?,
        jobs_max: reserve.jobs_max.min(BATCH_JOBS_MAX as u32),
        wait_ms: reserve.wait_ms.min(RESERVE_WAIT_MS_MAX),
    })
}

fn settle(kind: FrameType, frame: &Frame) -> Result<Settle, Bad> {
    let (kind, ids, tokens) = match kind {
        FrameType::Nack => {
            let nack: wire::Nack = message(frame)?;
            (
                SettleKind::Nack {
                    delay_ms: nack.delay_ms,
                },
                nack.ids,
                nack.tokens,
            )
        }
        FrameType::Touch => {
            let touch: wire::Touch = message(frame)?;
            let lease_ms = u32::try_from(touch.lease_ms).map_err(|_| range("lease_ms"))?;
            (SettleKind::Touch { lease_ms }, touch.ids, touch.tokens)
        }
        kind => {
            let settle: wire::Settle = message(frame)?;
            let ack = kind == FrameType::Ack;
            let kind = if ack {
                SettleKind::Ack
            } else {
                SettleKind::Release
            };
            (kind, settle.ids, settle.tokens)
        }
    };
    Ok(Settle {
        kind,
        leases: leases(&ids, &tokens)?,
    })
}

pub(super) fn unexpected(kind: FrameType) -> Bad {
    Bad::new(
        ErrorCode::UnexpectedFrame,
        format!("{kind} is not expected from a client here"),
    )
}

fn administration(kind: FrameType, frame: &Frame, context: &Context) -> Result<Command, Bad> {
    Ok(match kind {
        FrameType::QueueStats => {
            let stats: wire::QueueStatsRequest = message(frame)?;
            let namespace = Arc::clone(&context.namespace);
            let all = stats.queue.is_empty();
            let queue = if all {
                None
            } else {
                Some(queue(&stats.queue, context)?.name)
            };
            Command::Stats {
                namespace,
                queue,
                after: stats.after,
            }
        }
        FrameType::QueuePeek => {
            let peek: wire::QueuePeek = message(frame)?;
            let state = match peek.state() {
                wire::JobState::Scheduled => JobState::Scheduled,
                wire::JobState::Ready | wire::JobState::Unspecified => JobState::Ready,
                wire::JobState::Leased => JobState::Leased,
                wire::JobState::Failed => JobState::Failed,
                wire::JobState::Dead => JobState::Dead,
                _ => return Err(range("state")),
            };
            let jobs_max = peek.jobs_max.clamp(1, PEEK_JOBS_MAX);
            Command::Peek {
                queue: queue(&peek.queue, context)?,
                state,
                jobs_max,
            }
        }
        FrameType::QueuePause => {
            let pause: wire::QueuePause = message(frame)?;
            Command::Pause {
                queue: queue(&pause.queue, context)?,
                paused: pause.paused,
            }
        }
        _ => {
            let purge: wire::QueuePurge = message(frame)?;
            let jobs_max = purge.jobs_max.clamp(1, PURGE_JOBS_MAX);
            Command::Purge {
                queue: queue(&purge.queue, context)?,
                jobs_max,
            }
        }
    })
}

pub(super) fn message<M: Message + Default>(frame: &Frame) -> Result<M, Bad> {
    frame
        .message()
        .map_err(|error| Bad::closing(error.code(), error.to_string()))
}

fn queue(queue: &str, context: &Context) -> Result<QueueName, Bad> {
    name(queue, context)
}

pub(super) fn name(name: &str, context: &Context) -> Result<QueueName, Bad> {
    Name::check(name).map_err(|error| Bad::new(ErrorCode::BadName, error.to_string()))?;
    Ok(QueueName {
        namespace: Arc::clone(&context.namespace),
        name: name.to_owned(),
    })
}

pub(super) fn range(field: &str) -> Bad {
    Bad::new(ErrorCode::BadArgument, format!("{field} is out of range"))
}

fn subscribe(subscribe: &wire::Subscribe, context: &Context) -> Result<Command, Bad> {
    let bytes = match subscribe.credit_bytes {
        0 => CREDIT_BYTES_DEFAULT,
        bytes => bytes.min(CREDIT_BYTES_MAX),
    };
    Ok(Command::Subscribe {
        subscription: subscribe.subscription,
        queue: queue(&subscribe.queue, context)?,
        credit_jobs: subscribe.credit_jobs.min(CREDIT_JOBS_MAX),
        credit_bytes: bytes,
    })
}

fn leases(ids: &[u64], tokens: &[u64]) -> Result<Vec<(JobId, u64)>, Bad> {
    if ids.len() > BATCH_JOBS_MAX {
        return Err(Bad::new(
            ErrorCode::BatchTooLarge,
            format!("{} jobs in one frame", ids.len()),
        ));
    }
    match tokens {
        [token] => Ok(ids.iter().map(|id| (JobId(*id), *token)).collect()),
        tokens if tokens.len() == ids.len() => Ok(ids
            .iter()
            .zip(tokens)
            .map(|(id, token)| (JobId(*id), *token))
            .collect()),
        _ => {
            let message = format!("{} tokens for {} ids", tokens.len(), ids.len());
            Err(Bad::new(ErrorCode::MalformedMessage, message))
        }
    }
}

fn push(frame: &Frame, context: &Context) -> Result<Command, Bad> {
    let push: wire::Push = message(frame)?;
    if push.body_lengths.is_empty() || push.body_lengths.len() > BATCH_JOBS_MAX {
        let message = format!("a push takes 1 to {BATCH_JOBS_MAX} jobs");
        return Err(Bad::new(ErrorCode::BatchTooLarge, message));
    }
    let lengths = lengths(&push, &frame.payload)?;
    Ok(Command::Push(Push {
        queue: queue(&push.queue, context)?,
        producer: producer(&push.producer, push.sequence)?,
        options: options(push.options.as_ref())?,
        lengths,
        upload: push.upload,
        upload_parts: push.upload_parts,
        payload: frame.payload.clone(),
    }))
}

pub(super) fn producer(producer: &Bytes, sequence: u64) -> Result<Option<(ProducerId, u64)>, Bad> {
    if producer.is_empty() {
        return Ok(None);
    }
    match <[u8; 16]>::try_from(&producer[..]) {
        Ok(id) if sequence > 0 => Ok(Some((ProducerId(u128::from_le_bytes(id)), sequence))),
        _ => Err(range("producer or sequence")),
    }
}

fn options(options: Option<&wire::JobOptions>) -> Result<JobOptions, Bad> {
    let Some(options) = options else {
        return Ok(JobOptions::default());
    };
    let asks_more = !options.unique_key.is_empty()
        || !options.ordering_key.is_empty()
        || options.time_to_live_ms != 0
        || options.keep_result;
    if asks_more {
        let message =
            "unique_key, ordering_key, time_to_live_ms and keep_result are not served yet";
        return Err(Bad::new(ErrorCode::Unsupported, message));
    }
    let volatile = match options.durability() {
        wire::Durability::Memory => true,
        wire::Durability::Default | wire::Durability::Disk => false,
        wire::Durability::Replicated => {
            let message = "durability `replicated` needs a cluster; this is a single broker";
            return Err(Bad::new(ErrorCode::Unsupported, message));
        }
    };
    if options.attempts > ATTEMPTS_MAX.min(u32::from(u16::MAX)) {
        return Err(range("attempts"));
    }
    Ok(JobOptions {
        priority: options.priority,
        delay_ms: options.delay_ms,
        attempts_max: options.attempts as u16,
        lease_ms: u32::try_from(options.lease_ms).map_err(|_| range("lease_ms"))?,
        volatile,
    })
}

fn lengths(push: &wire::Push, payload: &Bytes) -> Result<Lengths, Bad> {
    let (bodies, headers) = (&push.body_lengths, &push.header_lengths);
    if !headers.is_empty() && headers.len() != bodies.len() {
        let message = format!(
            "{} header lengths for {} bodies",
            headers.len(),
            bodies.len()
        );
        return Err(Bad::new(ErrorCode::MalformedMessage, message));
    }
    if headers
        .iter()
        .any(|length| *length as usize > HEADER_BYTES_MAX)
    {
        let message = format!("a header block is over {HEADER_BYTES_MAX} bytes");
        return Err(Bad::new(ErrorCode::HeadersTooLarge, message));
    }
    let mut end = 0u64;
    let mut ends = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.iter().enumerate() {
        end += u64::from(*body) + headers.get(index).map_or(0, |length| u64::from(*length));
        ends.push(end as u32);
    }
    if end != payload.len() as u64 {
        let message = format!(
            "the lengths add up to {end}, the payload has {}",
            payload.len()
        );
        return Err(Bad::new(ErrorCode::MalformedMessage, message));
    }
    Ok(Lengths {
        ends,
        headers: headers.clone(),
    })
}
