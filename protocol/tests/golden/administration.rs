//! QUEUE_STATS to BACKUP_DONE.

use verteilt_protocol::FrameType;
use verteilt_protocol::wire::{
    Backup, BackupData, BackupDone, Checkpoint, CheckpointDone, JobState, PeekedJob, QueuePause,
    QueuePeek, QueuePeeked, QueuePurge, QueuePurged, QueueStats, QueueStatsReply,
    QueueStatsRequest,
};

use crate::case::{Case, case};
use crate::jobs::header_block;

pub(crate) fn cases() -> Vec<Case> {
    let mail = || String::from("mail");
    let block = header_block();
    let peek = QueuePeek {
        queue: mail(),
        state: JobState::Ready.into(),
        jobs_max: 2,
    };
    let peeked_payload = [&block[..], b"first", b"sec"].concat();
    let pause = |paused| QueuePause {
        queue: mail(),
        paused,
    };
    let purge = QueuePurge {
        queue: mail(),
        jobs_max: 1_000,
    };
    let all = QueueStatsRequest::default();
    let one = QueueStatsRequest {
        queue: mail(),
        after: String::new(),
    };
    let queues = vec![
        case("queue_stats", FrameType::QueueStats, 30, one, b""),
        case("queue_stats_all", FrameType::QueueStats, 31, all, b""),
        case(
            "queue_stats_reply",
            FrameType::QueueStatsReply,
            31,
            stats(),
            b"",
        ),
        case("queue_peek", FrameType::QueuePeek, 32, peek, b""),
        case(
            "queue_peeked",
            FrameType::QueuePeeked,
            32,
            peeked(&block),
            &peeked_payload,
        ),
        case(
            "queue_peeked_nothing",
            FrameType::QueuePeeked,
            33,
            QueuePeeked::default(),
            b"",
        ),
        case("queue_pause", FrameType::QueuePause, 34, pause(true), b""),
        case("queue_resume", FrameType::QueuePause, 35, pause(false), b""),
        case("queue_purge", FrameType::QueuePurge, 36, purge, b""),
        case(
            "queue_purged",
            FrameType::QueuePurged,
            36,
            QueuePurged {
                jobs: 1_000,
                more: true,
            },
            b"",
        ),
    ];
    queues.into_iter().chain(of_the_state()).collect()
}

/// What asks for all of the state.
fn of_the_state() -> Vec<Case> {
    vec![
        case("checkpoint", FrameType::Checkpoint, 37, Checkpoint {}, b""),
        case(
            "checkpoint_done",
            FrameType::CheckpointDone,
            37,
            CheckpointDone { lsn: 4_711 },
            b"",
        ),
        case("backup", FrameType::Backup, 38, Backup {}, b""),
        case(
            "backup_data",
            FrameType::BackupData,
            38,
            BackupData { offset: 262_144 },
            b"the next bytes",
        ),
        case(
            "backup_done",
            FrameType::BackupDone,
            38,
            BackupDone {
                lsn: 4_711,
                bytes: 262_158,
            },
            b"",
        ),
    ]
}

fn stats() -> QueueStatsReply {
    let mail = QueueStats {
        queue: "mail".into(),
        paused: true,
        scheduled: 1,
        ready: 2,
        leased: 3,
        waiting: 4,
        done: 5_000_000_000,
        failed: 6,
        dead: 7,
        cancelled: 8,
        expired: 9,
        pushed: 5_000_000_040,
        subscriptions: 10,
    };
    let quiet = QueueStats {
        queue: "quiet".into(),
        ..QueueStats::default()
    };
    QueueStatsReply {
        more: true,
        queues: vec![mail, quiet],
    }
}

fn peeked(block: &[u8]) -> QueuePeeked {
    let first = PeekedJob {
        id: 1,
        state: JobState::Ready.into(),
        priority: -1,
        attempts: 2,
        attempts_max: 20,
        due_ms: 1_760_000_000_000,
        body_bytes: 5,
        body_length: 5,
        header_length: block.len() as u32,
    };
    let cut = PeekedJob {
        id: 2,
        body_bytes: 6,
        body_length: 3,
        header_length: 0,
        ..first
    };
    QueuePeeked {
        jobs: vec![first, cut],
    }
}
