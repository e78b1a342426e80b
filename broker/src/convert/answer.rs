//! Effects to frames.

use bytes::{Bytes, BytesMut};
use verteilt_core::{Delivery, Effect, JobId, JobState, Lsn, PeekedJob, QueueStats};
use verteilt_protocol::limits::FRAME_BYTES_MAX;
use verteilt_protocol::{ErrorCode, FrameType, encode, encode_empty, encode_with, wire};

use super::code_of;
use crate::engine::Found;

/// Payload bytes that one frame takes beside a message of any length that is built here.
pub(crate) const FRAME_ROOM_BYTES: usize = FRAME_BYTES_MAX / 2;
/// Jobs in one frame; their lists take at most 30 bytes each.
const FRAME_JOBS: usize = 4_096;
/// Advice to those whom a full disk refuses: it takes a checkpoint at least to change that.
const DISK_FULL_RETRY_MS: u64 = 1_000;

/// A job with its body at hand.
#[derive(Debug)]
pub(crate) struct DeliveredJob {
    pub(crate) delivery: Delivery,
    pub(crate) header_length: u32,
    /// Header block, then as much of the body as comes in this frame.
    pub(crate) bytes: Bytes,
    /// Bytes of the body that follow in frames of their own.
    pub(crate) to_come: u64,
}

/// Appends deliveries, in as many frames as they need.
pub(crate) fn deliver(
    out: &mut BytesMut,
    subscription: u64,
    correlation: u64,
    token: u64,
    jobs: &[DeliveredJob],
) {
    let mut rest = jobs;
    loop {
        let mut bytes = 0;
        let fits = |job: &&DeliveredJob| {
            bytes += job.bytes.len();
            bytes <= FRAME_ROOM_BYTES
        };
        let count = rest.iter().take(FRAME_JOBS).take_while(fits).count();
        let (now, later) = rest.split_at(count.max(1).min(rest.len()));
        deliver_frame(out, subscription, correlation, token, now);
        rest = later;
        if rest.is_empty() {
            return;
        }
    }
}

fn deliver_frame(
    out: &mut BytesMut,
    subscription: u64,
    correlation: u64,
    token: u64,
    jobs: &[DeliveredJob],
) {
    let has_headers = jobs.iter().any(|job| job.header_length > 0);
    let is_large = jobs.iter().any(|job| job.to_come > 0);
    let same_lease = jobs
        .windows(2)
        .all(|two| two[0].delivery.lease_ms == two[1].delivery.lease_ms);
    let leases = if same_lease {
        &jobs[..jobs.len().min(1)]
    } else {
        jobs
    };
    let message = wire::Deliver {
        subscription,
        token,
        ids: jobs.iter().map(|job| job.delivery.id.0).collect(),
        attempts: jobs
            .iter()
            .map(|job| u32::from(job.delivery.attempt))
            .collect(),
        lease_ms: leases
            .iter()
            .map(|job| u64::from(job.delivery.lease_ms))
            .collect(),
        body_lengths: jobs
            .iter()
            .map(|job| job.bytes.len() as u32 - job.header_length)
            .collect(),
        header_lengths: if has_headers {
            jobs.iter().map(|job| job.header_length).collect()
        } else {
            Vec::new()
        },
        lengths_to_come: if is_large {
            jobs.iter().map(|job| job.to_come).collect()
        } else {
            Vec::new()
        },
    };
    let payload = jobs.iter().map(|job| job.bytes.len()).sum();
    encode_with(
        out,
        FrameType::Deliver,
        0,
        correlation,
        &message,
        payload,
        |out| {
            jobs.iter()
                .for_each(|job| out.extend_from_slice(&job.bytes));
        },
    );
}

/// Appends the next piece of a large body.
pub(crate) fn part(
    out: &mut BytesMut,
    correlation: u64,
    (id, token): (u64, u64),
    to_come: u64,
    bytes: &[u8],
) {
    let message = wire::DeliverPart { id, token, to_come };
    encode(out, FrameType::DeliverPart, 0, correlation, &message, bytes);
}

/// Appends the answers to pushes.
pub(crate) fn pushed(out: &mut BytesMut, results: Vec<wire::PushResult>, credit: u64) {
    let message = wire::Pushed { results, credit };
    encode(out, FrameType::Pushed, 0, 0, &message, &[]);
}

/// Appends what was looked at; bodies are cut to what fits.
pub(crate) fn peeked(out: &mut BytesMut, correlation: u64, jobs: &[PeekedJob], bodies: &[Found]) {
    let room = FRAME_ROOM_BYTES / jobs.len().max(1);
    let cut = |(header_length, bytes): &Found| {
        // A header block is never cut: half of one cannot be read.
        let header = if *header_length as usize <= room {
            *header_length as usize
        } else {
            0
        };
        let from = *header_length as usize;
        let body = bytes.slice(from..bytes.len().min(from + room - header));
        (bytes.slice(..header), body)
    };
    let pieces: Vec<(Bytes, Bytes)> = bodies.iter().map(cut).collect();
    let of_job = |(job, (header, body)): (&PeekedJob, &(Bytes, Bytes))| wire::PeekedJob {
        id: job.id.0,
        state: state(job.state).into(),
        priority: job.priority,
        attempts: job.attempts.into(),
        attempts_max: job.attempts_max.into(),
        due_ms: job.due_ms,
        body_bytes: job.length.into(),
        body_length: body.len() as u32,
        header_length: header.len() as u32,
    };
    let message = wire::QueuePeeked {
        jobs: jobs.iter().zip(&pieces).map(of_job).collect(),
    };
    let payload = pieces
        .iter()
        .map(|(header, body)| header.len() + body.len())
        .sum();
    encode_with(
        out,
        FrameType::QueuePeeked,
        0,
        correlation,
        &message,
        payload,
        |out| {
            for (header, body) in &pieces {
                out.extend_from_slice(header);
                out.extend_from_slice(body);
            }
        },
    );
}

/// Appends the answer to a checkpoint request.
pub(crate) fn checkpoint_done(out: &mut BytesMut, correlation: u64, lsn: u64) {
    let message = wire::CheckpointDone { lsn };
    encode(
        out,
        FrameType::CheckpointDone,
        0,
        correlation,
        &message,
        &[],
    );
}

/// Appends the next bytes of a backup.
pub(crate) fn backup_data(out: &mut BytesMut, correlation: u64, offset: u64, bytes: &[u8]) {
    let message = wire::BackupData { offset };
    encode(out, FrameType::BackupData, 0, correlation, &message, bytes);
}

/// Appends the end of a backup.
pub(crate) fn backup_done(out: &mut BytesMut, correlation: u64, lsn: u64, bytes: u64) {
    let message = wire::BackupDone { lsn, bytes };
    encode(out, FrameType::BackupDone, 0, correlation, &message, &[]);
}

/// Appends a refusal that the core knows nothing of.
pub(crate) fn refused(out: &mut BytesMut, correlation: u64, code: ErrorCode, text: &str) {
    encode(
        out,
        FrameType::Error,
        0,
        correlation,
        &code.error(text),
        &[],
    );
}

/// Appends the refusal of what a disk that is nearly full has no room for.
pub(crate) fn disk_full(out: &mut BytesMut, correlation: u64, text: &str) {
    let error = wire::Error {
        retry_after_ms: DISK_FULL_RETRY_MS,
        ..ErrorCode::DiskFull.error(text)
    };
    encode(out, FrameType::Error, 0, correlation, &error, &[]);
}

/// Appends the last frame of a connection.
pub(crate) fn goodbye(out: &mut BytesMut, failure: Option<String>) {
    let reason = failure.unwrap_or_else(|| "the broker is stopping".to_owned());
    encode(
        out,
        FrameType::Goodbye,
        0,
        0,
        &wire::Goodbye { reason },
        &[],
    );
}

/// Appends an answer that needs neither bodies nor company.
pub(crate) fn simple(out: &mut BytesMut, effect: &Effect) {
    match effect {
        Effect::Done { correlation } => encode_empty(out, FrameType::Ok, 0, *correlation),
        Effect::Refused {
            correlation,
            refusal,
        } => refused(out, *correlation, code_of(*refusal), &refusal.to_string()),
        Effect::Settled {
            correlation,
            refused,
        } => encode(
            out,
            FrameType::Settled,
            0,
            *correlation,
            &settled(refused),
            &[],
        ),
        Effect::LeaseLost { leases } => {
            for some in leases.chunks(FRAME_JOBS) {
                let message = wire::LeaseLost {
                    ids: some.iter().map(|(id, _)| id.0).collect(),
                    tokens: some.iter().map(|(_, token)| *token).collect(),
                };
                encode(out, FrameType::LeaseLost, 0, 0, &message, &[]);
            }
        }
        Effect::Stats {
            correlation,
            queues,
            more,
        } => {
            let queues = queues.iter().map(stats).collect();
            let message = wire::QueueStatsReply {
                queues,
                more: *more,
            };
            encode(
                out,
                FrameType::QueueStatsReply,
                0,
                *correlation,
                &message,
                &[],
            );
        }
        Effect::Purged {
            correlation,
            jobs,
            more,
        } => {
            let message = wire::QueuePurged {
                jobs: *jobs,
                more: *more,
            };
            encode(out, FrameType::QueuePurged, 0, *correlation, &message, &[]);
        }
        Effect::Replaced => {
            let text = "a newer connection of the same session took over";
            let error = verteilt_protocol::ErrorCode::SessionReplaced.error(text);
            encode(out, FrameType::Error, 0, 0, &error, &[]);
        }
        Effect::Connected { .. }
        | Effect::Pushed { .. }
        | Effect::Deliver { .. }
        | Effect::Peeked { .. }
        | Effect::Request { .. }
        | Effect::Topic(_) => unreachable!("answered where bodies and limits are known"),
    }
}

fn settled(refused: &[(JobId, Lsn)]) -> wire::Settled {
    let code = verteilt_protocol::ErrorCode::LeaseLost.number();
    wire::Settled {
        refused_ids: refused.iter().map(|(id, _)| id.0).collect(),
        refused_codes: vec![code; refused.len()],
        refused_tokens: refused.iter().map(|(_, token)| *token).collect(),
    }
}

fn stats(stats: &QueueStats) -> wire::QueueStats {
    wire::QueueStats {
        queue: stats.queue.clone(),
        paused: stats.paused,
        scheduled: stats.scheduled,
        ready: stats.ready,
        leased: stats.leased,
        failed: stats.failed,
        dead: stats.dead,
        done: stats.done,
        pushed: stats.pushed,
        subscriptions: stats.subscriptions,
        // States that no job can be in yet.
        waiting: 0,
        cancelled: 0,
        expired: 0,
    }
}

fn state(state: JobState) -> wire::JobState {
    match state {
        JobState::Scheduled => wire::JobState::Scheduled,
        JobState::Ready => wire::JobState::Ready,
        JobState::Leased => wire::JobState::Leased,
        JobState::Failed => wire::JobState::Failed,
        JobState::Dead => wire::JobState::Dead,
    }
}
