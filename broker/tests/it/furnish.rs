//! A data folder with one of everything that can be in one.

use verteilt_protocol::{FrameType, wire};

use crate::house::House;
use crate::job::{Job, body};
use crate::peer::{Peer, push_of, settle_of};

/// The session that holds the leases.
pub(crate) const WORKER: [u8; 16] = *b"holds the leases";

/// Far enough away that no test gets there, and less than the longest delay.
pub(crate) const LONG_MS: u64 = 300 * 24 * 60 * 60 * 1_000;

const LEASE_MS: u64 = 24 * 60 * 60 * 1_000;

/// Adds jobs in every state, with and without headers, small ones and ones in parts, and a queue
/// that is paused. Bodies differ from one `round` to the next. Leases last as long as the peer stays,
/// or the broker goes before it.
pub(crate) fn furnish(house: &House, round: u64) -> Peer {
    let mut peer = house.peer_of(&WORKER);
    waiting_and_leased(&mut peer, round);
    scheduled_failed_and_dead(&mut peer, round);
    large(&mut peer, round);
    paused(&mut peer, round);
    peer
}

fn waiting_and_leased(peer: &mut Peer, round: u64) {
    let bodies: Vec<Vec<u8>> = (0..20).map(|n| body(100 * round + n, 250)).collect();
    let mut push = push_of("mail.in", &[]);
    let mut payload = Vec::new();
    for (n, bytes) in bodies.iter().enumerate() {
        let headers = body(n as u64, n % 3 * 10);
        push.header_lengths.push(headers.len() as u32);
        push.body_lengths.push(bytes.len() as u32);
        payload.extend_from_slice(&headers);
        payload.extend_from_slice(bytes);
    }
    push.options = Some(wire::JobOptions {
        lease_ms: LEASE_MS,
        priority: round as i32,
        ..wire::JobOptions::default()
    });
    peer.push_frame(&push, &payload);
    let jobs = peer.reserve("mail.in", 8, 0);
    jobs[..4].iter().for_each(|job| peer.ack(job));
    let correlation = peer.settle(FrameType::Release, &jobs[4]);
    peer.ok(correlation);
}

fn scheduled_failed_and_dead(peer: &mut Peer, round: u64) {
    let later = wire::JobOptions {
        delay_ms: LONG_MS,
        priority: -5,
        ..wire::JobOptions::default()
    };
    peer.push_with("later", later, &[&body(round, 300), b"and one more"]);
    peer.push("fails", &body(round + 10, 30));
    let job = peer.reserve("fails", 1, 0).remove(0);
    nack(peer, &job, Some(LONG_MS));
    let once = wire::JobOptions {
        attempts: 1,
        ..wire::JobOptions::default()
    };
    peer.push_with("once", once, &[&body(round + 20, 40)]);
    let job = peer.reserve("once", 1, 0).remove(0);
    nack(peer, &job, None);
}

fn nack(peer: &mut Peer, job: &Job, delay_ms: Option<u64>) {
    let wire::Settle { ids, tokens } = settle_of(job);
    let nack = wire::Nack {
        ids,
        tokens,
        delay_ms,
    };
    let correlation = peer.send(FrameType::Nack, &nack, b"");
    peer.ok(correlation);
}

/// In parts of an upload, and too large for one value of the store.
fn large(peer: &mut Peer, round: u64) {
    let bytes = body(round + 30, 1_000).repeat(150);
    let pieces: Vec<&[u8]> = bytes.chunks(60_000).collect();
    let (last, first) = pieces.split_last().unwrap();
    for (index, piece) in first.iter().enumerate() {
        let part = wire::PushPart {
            upload: round,
            index: index as u32,
        };
        let correlation = peer.send(FrameType::PushPart, &part, piece);
        peer.ok(correlation);
    }
    let push = wire::Push {
        upload: round,
        upload_parts: first.len() as u32,
        header_lengths: vec![5],
        ..push_of("large", &[last])
    };
    peer.push_frame(&push, &[b"large", *last].concat());
}

fn paused(peer: &mut Peer, round: u64) {
    peer.push_many("paused", &[b"stands still", &body(round, 70)]);
    let pause = wire::QueuePause {
        queue: "paused".to_owned(),
        paused: true,
    };
    let correlation = peer.send(FrameType::QueuePause, &pause, b"");
    peer.ok(correlation);
}
