//! Everything that a data folder holds, as text: two folders hold the same when their texts are the
//! same.

use std::collections::BTreeMap;
use std::fmt::Write;

use verteilt_protocol::{FrameType, split_payload_by, wire};

use crate::house::House;
use crate::peer::Peer;

const STATES: [(wire::JobState, &str); 5] = [
    (wire::JobState::Scheduled, "scheduled"),
    (wire::JobState::Ready, "ready"),
    (wire::JobState::Leased, "leased"),
    (wire::JobState::Failed, "failed"),
    (wire::JobState::Dead, "dead"),
];

/// One line a queue and one a job, with lengths and checksums of headers and bodies.
///
/// `worker` is the session whose leases are in the folder. To read every body whole, its leases are
/// ended, paused queues are let go, and every job that can run is worked off: look at a copy.
pub(crate) fn inventory(house: &House, worker: &[u8; 16]) -> String {
    let mut peer = house.peer();
    let mut text = String::new();
    let (id, epoch) = (&peer.welcome.broker_id, peer.welcome.epoch);
    writeln!(
        text,
        "broker {:032x}, epoch {epoch}",
        u128::from_be_bytes(id[..].try_into().unwrap())
    )
    .unwrap();
    let queues = queues(&mut peer);
    let peeked: Vec<_> = queues
        .iter()
        .map(|queue| peek(&mut peer, &queue.queue))
        .collect();
    end_leases(house, worker);
    for (queue, mut jobs) in queues.iter().zip(peeked) {
        let name = &queue.queue;
        resume(&mut peer, name);
        let runs = (queue.ready + queue.leased) as usize;
        for job in peer.take_reserved(name, runs) {
            let line = jobs.get_mut(&job.id).expect("a job that was peeked");
            line.content = content(&job.headers, &job.body);
            peer.ack(&job);
        }
        let paused = if queue.paused { " (paused)" } else { "" };
        let (pushed, done) = (queue.pushed, queue.done);
        writeln!(text, "queue {name}{paused}: {pushed} pushed, {done} done").unwrap();
        for (id, line) in jobs {
            let (how, content) = (line.how, line.content);
            writeln!(text, "  {id}: {how}, {content}").unwrap();
        }
    }
    text
}

struct Line {
    how: String,
    content: String,
}

fn queues(peer: &mut Peer) -> Vec<wire::QueueStats> {
    let request = wire::QueueStatsRequest::default();
    let correlation = peer.send(FrameType::QueueStats, &request, b"");
    let reply: wire::QueueStatsReply = peer.message(correlation, FrameType::QueueStatsReply);
    assert!(!reply.more);
    reply.queues
}

/// All jobs by id. What the content is of bodies that do not fit is found out later.
fn peek(peer: &mut Peer, queue: &str) -> BTreeMap<u64, Line> {
    let mut lines = BTreeMap::new();
    for (state, name) in STATES {
        let request = wire::QueuePeek {
            queue: queue.to_owned(),
            state: state.into(),
            jobs_max: 1_000,
        };
        let correlation = peer.send(FrameType::QueuePeek, &request, b"");
        let frame = peer.answer(correlation);
        let peeked: wire::QueuePeeked = frame.message().unwrap();
        let lengths = peeked
            .jobs
            .iter()
            .map(|job| (job.header_length, job.body_length));
        let slices = split_payload_by(&frame.payload, lengths).unwrap();
        for (job, slice) in peeked.jobs.iter().zip(slices) {
            let until = match state {
                wire::JobState::Scheduled | wire::JobState::Failed => {
                    format!(" until {}", job.due_ms)
                }
                _ => String::new(),
            };
            let (runs, most, priority) = (job.attempts, job.attempts_max, job.priority);
            let how = format!("{name}{until}, priority {priority}, {runs} of {most} runs");
            let content = content(&slice.headers, &slice.body);
            lines.insert(job.id, Line { how, content });
        }
    }
    lines
}

fn content(headers: &[u8], body: &[u8]) -> String {
    let told = |bytes: &[u8]| format!("{} bytes {:08x}", bytes.len(), crc32c::crc32c(bytes));
    format!("headers {}, body {}", told(headers), told(body))
}

/// The session comes back and knows of no lease.
fn end_leases(house: &House, worker: &[u8; 16]) {
    let mut hello = Peer::hello(worker);
    hello.names_leases = true;
    let mut peer = Peer::raw(house.address());
    peer.greet(&hello);
    assert_eq!(peer.welcome.leases_held, 0);
}

fn resume(peer: &mut Peer, queue: &str) {
    let pause = wire::QueuePause {
        queue: queue.to_owned(),
        paused: false,
    };
    let correlation = peer.send(FrameType::QueuePause, &pause, b"");
    peer.ok(correlation);
}
