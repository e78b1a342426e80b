//! Jobs meet takers. Those with room are served in turn, one job each, beginning behind the one
//! who was served last, so that equal workers get equal shares and a slow one only what it can hold.

use std::collections::VecDeque;

use super::{Change, Decision};
use crate::effect::{Delivery, Effect};
use crate::event::Event;
use crate::id::{JobId, QueueId, SubscriptionKey};
use crate::job::Job;
use crate::session::{Subscription, SubscriptionName};
use crate::shard::Shard;

/// What one taker gets in this round. Durable and `memory` jobs are leased by separate events.
struct Share<'a> {
    key: SubscriptionKey,
    subscription: &'a Subscription,
    jobs: u32,
    bytes: u64,
    lots: [Lot; 2],
}

/// What goes under one token.
#[derive(Default)]
struct Lot {
    ids: Vec<JobId>,
    jobs: Vec<Delivery>,
}

/// One round over a queue; nothing is decided when no job and taker meet.
pub(crate) fn round(shard: &Shard, queue: QueueId, out: &mut Decision) {
    let state = &shard.jobs.index.queues[queue.0 as usize];
    if state.paused || shard.draining || state.ready == 0 || state.hungry.is_empty() {
        return;
    }
    let mut tokens = [shard.volatile_token, shard.lsn];
    let (mut shares, order) = deal(shard, queue);
    for at in order {
        let share = &mut shares[at];
        let [durable, volatile] = std::mem::take(&mut share.lots);
        for (kind, lot) in [(1, durable), (0, volatile)] {
            if !lot.ids.is_empty() {
                tokens[kind] += 1;
                lend(shard, share.key, share.subscription, tokens[kind], lot, out);
            }
        }
    }
}

/// Whether a pull would get something in the next round.
pub(super) fn could_serve(shard: &Shard, pull: &Subscription) -> bool {
    let state = &shard.jobs.index.queues[pull.queue.0 as usize];
    let held = shard
        .jobs
        .index
        .sessions
        .get(&pull.session)
        .is_none_or(|session| session.held);
    !state.paused && !held && state.ready > 0 && shard.jobs.index.hot.contains(&pull.queue)
}

impl<'a> Share<'a> {
    fn new(shard: &'a Shard, key: SubscriptionKey) -> Self {
        Self {
            key,
            subscription: &shard.jobs.index.subscriptions[&key],
            jobs: 0,
            bytes: 0,
            lots: [Lot::default(), Lot::default()],
        }
    }

    fn has_room(&self, shard: &Shard, id: JobId, job: &Job) -> bool {
        // A pull gets one answer, and an answer has one token: jobs of one kind only.
        let other_kind = usize::from(!id.is_volatile());
        let mixed = self.subscription.is_pull() && !self.lots[other_kind].ids.is_empty();
        let bytes = self.bytes + u64::from(job.length);
        !mixed
            && (self.jobs as usize) < shard.limits.delivery_jobs_max
            && (self.jobs == 0 || bytes <= shard.limits.delivery_bytes_max)
            && self
                .subscription
                .has_room(self.jobs, self.bytes, job.length)
    }

    fn take(&mut self, shard: &Shard, id: JobId, job: &Job) {
        self.jobs += 1;
        self.bytes += u64::from(job.length);
        let lot = &mut self.lots[usize::from(id.is_volatile())];
        lot.ids.push(id);
        lot.jobs.push(delivery(shard, id, job));
    }
}

/// Deals the line out: what everybody gets, and in which order. Takers are asked only as far as
/// there are jobs for them, and the one who got the last job comes last, so that the next round
/// begins behind it.
fn deal(shard: &Shard, queue: QueueId) -> (Vec<Share<'_>>, Vec<usize>) {
    let mut takers = shard.jobs.index.queues[queue.0 as usize].turn();
    let mut shares: Vec<Share<'_>> = Vec::new();
    let mut open: VecDeque<usize> = VecDeque::new();
    let mut full = Vec::new();
    'line: for (id, job) in shard.jobs.line(queue) {
        // The job at the head of the line waits for a taker with room; nobody overtakes it.
        loop {
            let next = takers.next().map(|key| {
                shares.push(Share::new(shard, key));
                shares.len() - 1
            });
            let Some(at) = next.or_else(|| open.pop_front()) else {
                break 'line;
            };
            let share = &mut shares[at];
            if share.has_room(shard, id, job) {
                share.take(shard, id, job);
                open.push_back(at);
                break;
            }
            full.push(at);
        }
    }
    full.extend(open);
    (shares, full)
}

fn lend(
    shard: &Shard,
    key: SubscriptionKey,
    subscription: &Subscription,
    token: u64,
    Lot { ids, jobs }: Lot,
    out: &mut Decision,
) {
    let session = subscription.session;
    out.event(Event::Leased {
        session,
        token,
        subscription: key,
        ids,
    });
    let (number, correlation) = match subscription.name {
        SubscriptionName::Standing(number) => (number, 0),
        SubscriptionName::Pull(correlation) => (0, correlation),
    };
    if let Some(connection) = shard.connection_of(session) {
        let effect = Effect::Deliver {
            subscription: number,
            correlation,
            token,
            jobs,
        };
        out.tell(connection, effect);
    }
    if subscription.is_pull() {
        out.change(Change::Dropped(key));
    }
}

fn delivery(shard: &Shard, id: JobId, job: &Job) -> Delivery {
    let large = &shard.ledger.large;
    let parts = if large.is_empty() {
        None
    } else {
        large.get(&id)
    };
    Delivery {
        id,
        attempt: job.attempts.saturating_add(1),
        lease_ms: job.lease_ms,
        length: job.length,
        parts: parts.cloned().unwrap_or_default(),
    }
}
