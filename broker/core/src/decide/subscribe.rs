//! Workers ask for jobs: for good with a credit, or once with a wait.

use super::{Change, Decision, push, read};
use crate::command::{Caller, QueueName};
use crate::effect::{Effect, Refusal};
use crate::id::{Millis, SubscriptionKey};
use crate::session::{Subscription, SubscriptionName};
use crate::shard::Shard;

pub(super) fn subscribe(
    shard: &Shard,
    caller: Caller,
    subscription: u64,
    queue: &QueueName,
    (credit_jobs, credit_bytes): (u32, u64),
    out: &mut Decision,
) -> Result<(), Refusal> {
    if subscription == 0 {
        return Err(Refusal::BadArgument);
    }
    if reader(shard, caller, subscription).is_some() {
        return Err(Refusal::SubscriptionExists);
    }
    let name = SubscriptionName::Standing(subscription);
    if let Some((key, existing)) = find(shard, caller, name) {
        if shard.ledger.find(&queue.namespace, &queue.name) != Some(existing.queue) {
            return Err(Refusal::SubscriptionExists);
        }
        out.change(Change::Credit(key, credit_jobs, credit_bytes));
    } else {
        let credit = (credit_jobs, credit_bytes);
        add(shard, caller, name, queue, credit, None, out)?;
    }
    out.done(caller);
    Ok(())
}

pub(super) fn unsubscribe(
    shard: &Shard,
    caller: Caller,
    subscription: u64,
    out: &mut Decision,
) -> Result<(), Refusal> {
    if let Some(key) = reader(shard, caller, subscription) {
        read::unsubscribe(caller, subscription, key, out);
        return Ok(());
    }
    let name = SubscriptionName::Standing(subscription);
    let (key, _) = find(shard, caller, name).ok_or(Refusal::SubscriptionUnknown)?;
    out.change(Change::Dropped(key));
    out.done(caller);
    Ok(())
}

pub(super) fn reserve(
    shard: &Shard,
    caller: Caller,
    queue: &QueueName,
    jobs_max: u32,
    until_ms: Millis,
    out: &mut Decision,
) -> Result<(), Refusal> {
    if jobs_max == 0 {
        return Err(Refusal::BadArgument);
    }
    if shard.draining {
        return Err(Refusal::ShuttingDown);
    }
    let name = SubscriptionName::Pull(caller.correlation);
    if find(shard, caller, name).is_some() {
        return Err(Refusal::BadArgument);
    }
    let credit = (jobs_max, 0);
    add(shard, caller, name, queue, credit, Some(until_ms), out)
}

pub(super) fn cancel(
    shard: &Shard,
    caller: Caller,
    correlation: u64,
    out: &mut Decision,
) -> Result<(), Refusal> {
    // What has been answered already needs no cancelling, and gets no second answer.
    if let Some((key, _)) = find(shard, caller, SubscriptionName::Pull(correlation)) {
        out.change(Change::Dropped(key));
        let refusal = Refusal::Cancelled;
        out.tell(
            caller.connection,
            Effect::Refused {
                correlation,
                refusal,
            },
        );
    }
    Ok(())
}

/// Pulls whose wait is over are answered with nothing.
pub(crate) fn end_pulls(shard: &Shard, now_ms: Millis, out: &mut Decision) {
    let over = shard
        .jobs
        .index
        .pulls
        .iter()
        .take_while(|(until_ms, _)| *until_ms <= now_ms);
    for (_, key) in over {
        // A last look: a pull with no wait at all takes what is there.
        let pull = &shard.jobs.index.subscriptions[key];
        let offered = !shard.draining && super::dispatch::could_serve(shard, pull);
        if !offered {
            end_pull(shard, *key, pull, out);
        }
    }
}

fn end_pull(shard: &Shard, key: SubscriptionKey, pull: &Subscription, out: &mut Decision) {
    if let (SubscriptionName::Pull(correlation), Some(connection)) =
        (pull.name, shard.connection_of(pull.session))
    {
        let effect = Effect::Deliver {
            subscription: 0,
            correlation,
            token: 0,
            jobs: Vec::new(),
        };
        out.tell(connection, effect);
    }
    out.change(Change::Dropped(key));
}

/// The subscription of a topic that has this number.
fn reader(shard: &Shard, caller: Caller, number: u64) -> Option<SubscriptionKey> {
    let session = shard.jobs.index.sessions.get(&caller.session);
    let session = session.filter(|session| session.connection == Some(caller.connection))?;
    session.readers.get(&number).copied()
}

fn find(
    shard: &Shard,
    caller: Caller,
    name: SubscriptionName,
) -> Option<(SubscriptionKey, &Subscription)> {
    let index = &shard.jobs.index;
    let session = index.sessions.get(&caller.session)?;
    if session.connection != Some(caller.connection) {
        return None;
    }
    let key = *session.subscriptions.get(&name)?;
    Some((key, &index.subscriptions[&key]))
}

/// Everything that can refuse comes before the queue, which a refused request must not leave behind.
fn add(
    shard: &Shard,
    caller: Caller,
    name: SubscriptionName,
    queue: &QueueName,
    (credit_jobs, credit_bytes): (u32, u64),
    until_ms: Option<Millis>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    // What a connection asked for before it was replaced, or closed, is nobody's wish any more:
    // jobs lent on it would go to one that knows nothing of it.
    let session = shard.jobs.index.sessions.get(&caller.session);
    let session = session
        .filter(|session| session.connection == Some(caller.connection))
        .ok_or(Refusal::Cancelled)?;
    if session.subscriptions_len() >= shard.limits.subscriptions_max as usize {
        return Err(Refusal::SubscriptionLimit);
    }
    let queue = push::find_or_create(shard, queue, out)?;
    out.change(Change::Subscribed(Subscription {
        name,
        session: caller.session,
        queue,
        credit_jobs,
        credit_bytes,
        held_jobs: 0,
        held_bytes: 0,
        until_ms,
    }));
    Ok(())
}
