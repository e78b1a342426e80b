//! What may happen to a broker, in any order.

use proptest::collection::vec;
use proptest::prelude::*;
use verteilt_core::{Millis, SettleKind};

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Connect(u8),
    Disconnect {
        session: u8,
        /// The word comes from a connection that was replaced.
        stale: bool,
    },
    Hold(u8, bool),
    Push(PushStep),
    Part {
        session: u8,
        upload: u64,
        bytes: usize,
        wrong: bool,
    },
    Subscribe {
        session: u8,
        number: u64,
        queue: u8,
        jobs: u32,
        bytes: u64,
        stale: bool,
    },
    Unsubscribe {
        session: u8,
        number: u64,
    },
    Reserve {
        session: u8,
        queue: u8,
        jobs: u32,
        wait_ms: Millis,
        stale: bool,
    },
    Cancel {
        session: u8,
        pick: u8,
    },
    Settle {
        session: u8,
        kind: SettleKind,
        picks: Vec<u8>,
        stale: Option<u8>,
    },
    Pause(u8, bool),
    Purge(u8, u32),
    /// Time passes; the caller comes back at every deadline on the way.
    Advance(Millis),
    /// Time passes; the caller was away.
    Jump(Millis),
    Checkpoint,
    Crash(Millis),
    Drain,
}

#[derive(Clone, Debug)]
pub(crate) struct PushStep {
    pub(crate) session: u8,
    pub(crate) queue: u8,
    pub(crate) lengths: Vec<u32>,
    pub(crate) headers: bool,
    pub(crate) priority: i32,
    pub(crate) delay_ms: Millis,
    pub(crate) attempts_max: u16,
    pub(crate) lease_ms: u32,
    pub(crate) volatile: bool,
    pub(crate) producer: Option<(u128, u64)>,
    pub(crate) upload: u64,
    pub(crate) upload_parts: u32,
}

/// A step, and whether the round ends with it.
pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<(Step, bool)>> {
    vec((step(), prop::bool::weighted(0.7)), 1..most)
}

fn session() -> impl Strategy<Value = u8> {
    0..3u8
}

fn queue() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(0u8), 2 => Just(1u8), 1 => Just(2u8)]
}

fn seldom() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.08)
}

fn push() -> impl Strategy<Value = PushStep> {
    let producer = prop::option::weighted(0.4, (0..3u128, sequence()));
    let options = (
        prop_oneof![4 => Just(0), 1 => -1..2i32],
        prop_oneof![4 => Just(0u64), 1 => 1..2_000u64],
        0..3u16,
        prop_oneof![Just(0u32), Just(100u32), Just(20_000u32)],
        prop::bool::weighted(0.3),
    );
    let upload = prop_oneof![9 => Just((0u64, 0u32)), 2 => (1..3u64, 1..3u32)];
    let place = (session(), queue(), vec(0..70u32, 1..5), any::<bool>());
    (place, options, producer, upload).prop_map(|(place, options, producer, upload)| {
        let (session, queue, lengths, headers) = place;
        let (priority, delay_ms, attempts_max, lease_ms, volatile) = options;
        let (upload, upload_parts) = upload;
        PushStep {
            session,
            queue,
            lengths,
            headers,
            priority,
            delay_ms,
            attempts_max,
            lease_ms,
            volatile,
            producer,
            upload,
            upload_parts,
        }
    })
}

fn sequence() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 1..12u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 2)]
}

fn kind() -> impl Strategy<Value = SettleKind> {
    prop_oneof![
        3 => Just(SettleKind::Ack),
        2 => prop::option::of(prop_oneof![Just(0u64), Just(1), Just(500), Just(u64::MAX)])
            .prop_map(|delay_ms| SettleKind::Nack { delay_ms }),
        2 => Just(SettleKind::Release),
        1 => prop_oneof![Just(0u32), Just(1), Just(50_000), Just(u32::MAX)]
            .prop_map(|lease_ms| SettleKind::Touch { lease_ms }),
    ]
}

fn subscribe() -> impl Strategy<Value = Step> {
    let credit = (
        prop_oneof![1 => Just(0u32), 5 => 1..5u32, 1 => Just(u32::MAX)],
        prop_oneof![2 => Just(0u64), 3 => 1..120u64, 1 => Just(u64::MAX)],
    );
    (session(), 0..4u64, queue(), credit, seldom()).prop_map(
        |(session, number, queue, (jobs, bytes), stale)| Step::Subscribe {
            session,
            number,
            queue,
            jobs,
            bytes,
            stale,
        },
    )
}

fn reserve() -> impl Strategy<Value = Step> {
    let wait = prop_oneof![3 => Just(0u64), 3 => 1..3_000u64, 1 => Just(u64::MAX)];
    (session(), queue(), 0..6u32, wait, seldom()).prop_map(
        |(session, queue, jobs, wait_ms, stale)| Step::Reserve {
            session,
            queue,
            jobs,
            wait_ms,
            stale,
        },
    )
}

fn settle() -> impl Strategy<Value = Step> {
    let stale = prop::option::weighted(0.1, any::<u8>());
    (session(), kind(), vec(any::<u8>(), 1..4), stale).prop_map(|(session, kind, picks, stale)| {
        Step::Settle {
            session,
            kind,
            picks,
            stale,
        }
    })
}

fn time() -> impl Strategy<Value = Millis> {
    prop_oneof![4 => 1..2_000u64, 2 => Just(0u64), 2 => 2_000..40_000u64, 1 => Just(100_000u64)]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => session().prop_map(Step::Connect),
        2 => (session(), prop::bool::weighted(0.3))
            .prop_map(|(session, stale)| Step::Disconnect { session, stale }),
        2 => (session(), any::<bool>()).prop_map(|(session, held)| Step::Hold(session, held)),
        20 => push().prop_map(Step::Push),
        4 => (session(), 0..3u64, 0..200usize, prop::bool::weighted(0.2)).prop_map(
            |(session, upload, bytes, wrong)| Step::Part { session, upload, bytes, wrong }),
        12 => subscribe(),
        2 => (session(), 0..4u64)
            .prop_map(|(session, number)| Step::Unsubscribe { session, number }),
        8 => reserve(),
        2 => (session(), any::<u8>()).prop_map(|(session, pick)| Step::Cancel { session, pick }),
        25 => settle(),
        3 => (queue(), prop::bool::weighted(0.4)).prop_map(|(queue, on)| Step::Pause(queue, on)),
        3 => (queue(), 0..4u32).prop_map(|(queue, jobs)| Step::Purge(queue, jobs)),
        8 => time().prop_map(Step::Advance),
        3 => time().prop_map(Step::Jump),
        1 => Just(Step::Checkpoint),
        2 => time().prop_map(Step::Crash),
        1 => seldom().prop_map(|drain| if drain { Step::Drain } else { Step::Checkpoint }),
    ]
}
