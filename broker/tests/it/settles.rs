//! What workers say of their jobs.

use bytes::BytesMut;
use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::{House, eventually};
use crate::job::Job;
use crate::peer::{Peer, settle_of};

fn options(attempts: u32, lease_ms: u64) -> wire::JobOptions {
    wire::JobOptions {
        attempts,
        lease_ms,
        ..wire::JobOptions::default()
    }
}

fn nack(job: &Job, delay_ms: Option<u64>) -> wire::Nack {
    wire::Nack {
        ids: vec![job.id],
        tokens: vec![job.token],
        delay_ms,
    }
}

fn peek(peer: &mut Peer, state: wire::JobState) -> Vec<wire::PeekedJob> {
    let request = wire::QueuePeek {
        queue: "q".to_owned(),
        state: state.into(),
        jobs_max: 10,
    };
    let correlation = peer.send(FrameType::QueuePeek, &request, b"");
    let peeked: wire::QueuePeeked = peer.message(correlation, FrameType::QueuePeeked);
    peeked.jobs
}

#[test]
fn done_is_done() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.push("q", b"x");
    let job = peer.reserve("q", 1, 0).remove(0);
    peer.ack(&job);
    for kind in [FrameType::Ack, FrameType::Release, FrameType::Touch] {
        let again = peer.settle(kind, &job);
        peer.stale(again, job.id);
    }
    house.restart();
    let mut peer = house.peer();
    assert!(peer.reserve("q", 1, 0).is_empty());
    assert_eq!(peer.stats("q").done, 1);
}

#[test]
fn nack_waits_release_does_not_and_only_one_of_them_counts() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_with("q", options(2, 0), &[b"x"]);
    let mut job = peer.reserve("q", 1, 0).remove(0);
    for attempt in 2..5 {
        let release = peer.settle(FrameType::Release, &job);
        peer.ok(release);
        job = peer.reserve("q", 1, 0).remove(0);
        assert_eq!(job.attempt, attempt);
    }
    // Three releases do not count against the two runs.
    let correlation = peer.send(FrameType::Nack, &nack(&job, Some(60_000)), b"");
    peer.ok(correlation);
    assert_eq!(peer.stats("q").failed, 1);
    assert!(peer.reserve("q", 1, 0).is_empty());
    let failed = peek(&mut peer, wire::JobState::Failed);
    assert_eq!(failed[0].id, job.id);
}

#[test]
fn a_job_without_runs_left_is_dead_until_it_is_purged() {
    let mut house = House::start();
    let mut peer = house.peer();
    peer.push_with("q", options(2, 0), &[b"x"]);
    for attempt in [1, 2] {
        let job = peer.reserve("q", 1, 1_000).remove(0);
        assert_eq!(job.attempt, attempt);
        let correlation = peer.send(FrameType::Nack, &nack(&job, Some(0)), b"");
        peer.ok(correlation);
    }
    peer.checkpoint();
    house.restart();
    let mut peer = house.peer();
    assert!(peer.reserve("q", 1, 0).is_empty());
    let dead = peek(&mut peer, wire::JobState::Dead);
    assert_eq!(
        (dead.len(), dead[0].attempts, dead[0].attempts_max),
        (1, 2, 2)
    );
    let purge = wire::QueuePurge {
        queue: "q".to_owned(),
        jobs_max: 0,
    };
    let correlation = peer.send(FrameType::QueuePurge, &purge, b"");
    let purged: wire::QueuePurged = peer.message(correlation, FrameType::QueuePurged);
    assert_eq!((purged.jobs, purged.more), (1, false));
}

#[test]
fn the_backoff_is_a_second_and_doubles() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push("q", b"x");
    let job = peer.reserve("q", 1, 0).remove(0);
    let began = std::time::Instant::now();
    let correlation = peer.send(FrameType::Nack, &nack(&job, None), b"");
    peer.ok(correlation);
    let job = peer.reserve("q", 1, 10_000).remove(0);
    let took = began.elapsed().as_millis();
    assert!((880..2_500).contains(&took), "{took}");
    let correlation = peer.send(FrameType::Nack, &nack(&job, None), b"");
    peer.ok(correlation);
    let wait = |failed: &[wire::PeekedJob]| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        failed[0].due_ms as i64 - now.unwrap().as_millis() as i64
    };
    let wait_ms = wait(&peek(&mut peer, wire::JobState::Failed));
    assert!((1_000..2_250).contains(&wait_ms), "{wait_ms}");
}

#[test]
fn a_lease_that_ends_is_told_and_the_job_runs_again() {
    let house = House::start();
    let mut slow = house.peer();
    let mut other = house.peer();
    slow.push_with("q", options(3, 60), &[b"a", b"b"]);
    let jobs = slow.reserve("q", 2, 0);
    assert_eq!(jobs[0].lease_ms, 60);
    let again = other.reserve("q", 2, 10_000);
    assert_eq!(again[0].attempt, 2);
    assert!(again[0].token > jobs[0].token, "tokens grow");
    let frame = slow.next_of(FrameType::LeaseLost);
    assert_eq!(frame.correlation, 0);
    let lost: wire::LeaseLost = frame.message().unwrap();
    assert_eq!(lost.ids, [jobs[0].id, jobs[1].id]);
    assert_eq!(lost.tokens, [jobs[0].token; 2]);
    for kind in [
        FrameType::Ack,
        FrameType::Nack,
        FrameType::Release,
        FrameType::Touch,
    ] {
        let late = slow.settle(kind, &jobs[0]);
        slow.stale(late, jobs[0].id);
    }
}

#[test]
fn a_last_run_that_takes_too_long_is_dead() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_with("q", options(1, 30), &[b"a"]);
    assert_eq!(peer.reserve("q", 1, 0).len(), 1);
    eventually("it dies", || peer.stats("q").dead == 1);
    let lost: wire::LeaseLost = peer.next_of(FrameType::LeaseLost).message().unwrap();
    assert_eq!(lost.ids.len(), 1);
}

#[test]
fn touch_lengthens_a_lease() {
    let house = House::start();
    let mut peer = house.peer();
    peer.push_with("q", options(3, 300), &[b"a"]);
    let job = peer.reserve("q", 1, 0).remove(0);
    let until = |peer: &mut Peer| peek(peer, wire::JobState::Leased)[0].due_ms;
    let first = until(&mut peer);
    let touch = |lease_ms| wire::Touch {
        ids: vec![job.id],
        tokens: vec![job.token],
        lease_ms,
    };
    let correlation = peer.send(FrameType::Touch, &touch(60_000), b"");
    peer.ok(correlation);
    let later = until(&mut peer);
    assert!(later >= first + 59_000);
    let correlation = peer.send(FrameType::Touch, &touch(86_400_001), b"");
    peer.refused(correlation, ErrorCode::BadArgument);
    let correlation = peer.send(FrameType::Touch, &touch(u64::MAX), b"");
    peer.refused(correlation, ErrorCode::BadArgument);
    assert_eq!(until(&mut peer), later);
    // With 0 it is the job's own time again, which then ends.
    let correlation = peer.send(FrameType::Touch, &touch(0), b"");
    peer.ok(correlation);
    assert!(until(&mut peer) < later);
    eventually("it ends", || peer.stats("q").ready == 1);
}

#[test]
fn a_lease_belongs_to_its_session() {
    let house = House::start();
    let mut holder = house.peer();
    let mut thief = house.peer();
    holder.push("q", b"x");
    let job = holder.reserve("q", 1, 0).remove(0);
    for kind in [
        FrameType::Ack,
        FrameType::Nack,
        FrameType::Release,
        FrameType::Touch,
    ] {
        let correlation = thief.settle(kind, &job);
        thief.stale(correlation, job.id);
    }
    let wrong = Job {
        token: job.token + 1,
        ..job.clone()
    };
    let correlation = holder.settle(FrameType::Ack, &wrong);
    holder.stale(correlation, job.id);
    holder.ack(&job);
}

#[test]
fn a_batch_is_settled_as_far_as_it_is_held() {
    let house = House::start();
    let mut peer = house.peer();
    let first = peer.push_many("q", &[&b"x"[..]; 4]);
    let jobs = peer.reserve("q", 4, 0);
    peer.ack(&jobs[1]);
    let token = jobs[0].token;
    let all = wire::Settle {
        ids: vec![first, first, first + 1, 999_999, first + 3],
        tokens: vec![token, token, token, token, token + 1],
    };
    let correlation = peer.send(FrameType::Ack, &all, b"");
    let settled: wire::Settled = peer.message(correlation, FrameType::Settled);
    assert_eq!(settled.refused_ids, [first + 1, 999_999, first + 3]);
    assert_eq!(settled.refused_codes, [ErrorCode::LeaseLost.number(); 3]);
    assert_eq!(settled.refused_tokens, [token, token, token + 1]);
    let stats = peer.stats("q");
    assert_eq!((stats.done, stats.leased), (2, 2));
    let one_token = wire::Settle {
        ids: vec![first + 3, first + 2],
        tokens: vec![token],
    };
    let correlation = peer.send(FrameType::Ack, &one_token, b"");
    peer.ok(correlation);
    assert_eq!(peer.stats("q").done, 4);
}

/// Whoever follows the rules of the protocol with what comes knows of each settling whether it was
/// done.
#[test]
fn a_refusal_comes_before_the_cumulative_ok_that_covers_it() {
    let house = House::start();
    let mut peer = house.peer();
    let count = 600;
    peer.push_many("q", &vec![&b"x"[..]; count]);
    let mut jobs = Vec::new();
    while jobs.len() < count {
        jobs.extend(peer.reserve("q", 1_000, 1_000));
    }
    let mut out = BytesMut::new();
    let mut refused = Vec::new();
    let mut all = Vec::new();
    for (at, job) in jobs.iter().enumerate() {
        let correlation = match at % 7 {
            3 => {
                let stale = wire::Settle {
                    ids: vec![job.id],
                    tokens: vec![job.token + 7],
                };
                peer.put(&mut out, FrameType::Ack, &stale, b"")
            }
            4 => {
                let malformed = wire::Settle {
                    ids: vec![job.id],
                    tokens: vec![],
                };
                peer.put(&mut out, FrameType::Release, &malformed, b"")
            }
            5 => {
                let far = nack(job, Some(u64::MAX));
                peer.put(&mut out, FrameType::Nack, &far, b"")
            }
            _ => peer.put(&mut out, FrameType::Ack, &settle_of(job), b""),
        };
        all.push(correlation);
        if matches!(at % 7, 3..=5) {
            refused.push(correlation);
        }
        if at % 50 == 49 {
            peer.send_bytes(&out);
            out.clear();
        }
    }
    peer.send_bytes(&out);
    let mut open: std::collections::BTreeSet<u64> = all.into_iter().collect();
    while !open.is_empty() {
        let frame = peer.next();
        let named = frame.correlation;
        match frame.kind() {
            Some(FrameType::Ok) if frame.is_cumulative() => {
                let behind = open.split_off(&(named + 1));
                for done in std::mem::replace(&mut open, behind) {
                    assert!(
                        !refused.contains(&done),
                        "#{done} was refused, OK came first"
                    );
                }
            }
            Some(FrameType::Settled | FrameType::Error) => {
                assert!(refused.contains(&named));
                assert!(open.remove(&named), "#{named} is answered once");
            }
            _ => {
                assert_eq!(frame.kind(), Some(FrameType::Ok), "{frame:?}");
                assert!(open.remove(&named));
            }
        }
    }
}
