//! Sessions come and go.

use super::{Change, Decision, lease, push};
use crate::command::Caller;
use crate::effect::{Effect, Refusal};
use crate::shard::Shard;

pub(super) fn connect(shard: &Shard, caller: Caller, out: &mut Decision) -> Result<(), Refusal> {
    let session = shard.jobs.index.sessions.get(&caller.session);
    if let Some(session) = session {
        // What the older connection waited on is asked for again by the newer one.
        for key in session.subscriptions.values() {
            out.change(Change::Dropped(*key));
        }
        if let Some(older) = session.connection {
            out.tell(older, Effect::Replaced);
        }
    }
    for event in push::drop_uploads(shard, Some(caller.session)) {
        out.event(event);
    }
    let leases_held = session.map_or(0, |session| session.leased.len() as u32);
    out.change(Change::Connected(caller.session, caller.connection));
    out.tell(caller.connection, Effect::Connected { leases_held });
    Ok(())
}

/// A closed connection is the cheapest sign of a dead worker: its jobs go to others at once.
pub(super) fn disconnect(shard: &Shard, caller: Caller, out: &mut Decision) -> Result<(), Refusal> {
    let Some(session) = shard.jobs.index.sessions.get(&caller.session) else {
        return Ok(());
    };
    if session.connection != Some(caller.connection) {
        return Ok(());
    }
    for key in session.subscriptions.values() {
        out.change(Change::Dropped(*key));
    }
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
