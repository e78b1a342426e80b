//! Sessions come and go.

use super::{Change, Decision, TopicChange, lease, push};
use crate::command::Caller;
use crate::effect::{Effect, Refusal};
use crate::id::JobId;
use crate::session::Session;
use crate::shard::Shard;

pub(super) fn connect(
    shard: &Shard,
    caller: Caller,
    held: Option<Vec<(JobId, u64)>>,
    out: &mut Decision,
) -> Result<(), Refusal> {
    let session = shard.jobs.index.sessions.get(&caller.session);
    if let Some(session) = session {
        // What the older connection waited on is asked for again by the newer one.
        drop_subscriptions(session, out);
        if let Some(older) = session.connection {
            out.tell(older, Effect::Replaced);
        }
    }
    for event in push::drop_uploads(shard, Some(caller.session)) {
        out.event(event);
    }
    let leased = session.map_or_else(Vec::new, Session::leased_in_order);
    let unknown = held.map_or_else(Vec::new, |held| unknown(shard, &leased, held));
    let leases_held = (leased.len() - unknown.len()) as u32;
    lease::give_back(&unknown, out);
    out.change(Change::Connected(caller.session, caller.connection));
    out.tell(caller.connection, Effect::Connected { leases_held });
    Ok(())
}

/// Leases that the client does not know of: a broker that is killed may have lent jobs whose
/// delivery never arrived.
fn unknown(shard: &Shard, leased: &[JobId], mut held: Vec<(JobId, u64)>) -> Vec<JobId> {
    held.sort_unstable();
    let is_known = |id: &JobId| {
        let lease = shard.job(*id).and_then(crate::Job::lease);
        lease.is_some_and(|lease| held.binary_search(&(*id, lease.token)).is_ok())
    };
    leased.iter().copied().filter(|id| !is_known(id)).collect()
}

/// A closed connection is the cheapest sign of a dead worker: its jobs go to others at once.
pub(super) fn disconnect(shard: &Shard, caller: Caller, out: &mut Decision) -> Result<(), Refusal> {
    let Some(session) = shard.jobs.index.sessions.get(&caller.session) else {
        return Ok(());
    };
    if session.connection != Some(caller.connection) {
        return Ok(());
    }
    drop_subscriptions(session, out);
    for event in push::drop_uploads(shard, Some(caller.session)) {
        out.event(event);
    }
    // When the broker itself is leaving, sessions keep their leases and come back to them.
    if !shard.draining {
        lease::end(shard, &session.leased_in_order(), out);
    }
    out.change(Change::Disconnected(caller.session));
    Ok(())
}

fn drop_subscriptions(session: &Session, out: &mut Decision) {
    for key in session.subscriptions.values() {
        out.change(Change::Dropped(*key));
    }
    for key in session.readers.values() {
        out.change_topic(TopicChange::Dropped(*key));
    }
}

pub(super) fn hold(
    shard: &Shard,
    caller: Caller,
    held: bool,
    out: &mut Decision,
) -> Result<(), Refusal> {
    if shard.connection_of(caller.session) == Some(caller.connection) {
        out.change(Change::Held(caller.session, held));
    }
    Ok(())
}
