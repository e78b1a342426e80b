//! Changes to what is known of connections. They are not events: after a restart every client
//! comes back and says these things again.

use super::reading::TopicChange;
use crate::id::{ConnectionId, SessionId, SubscriptionKey};
use crate::session::Subscription;
use crate::shard::Shard;

#[derive(Debug)]
pub(crate) enum Change {
    Connected(SessionId, ConnectionId),
    Disconnected(SessionId),
    Held(SessionId, bool),
    Subscribed(Subscription),
    Credit(SubscriptionKey, u32, u64),
    Dropped(SubscriptionKey),
    /// Who reads which partitions of topics.
    Topic(TopicChange),
    /// Sessions that have not come back by now have lost their leases.
    GraceOver,
    ProducersSwept,
    Drain,
    DiskFull(bool),
}

impl Change {
    pub(crate) fn make(self, shard: &mut Shard) {
        let index = &mut shard.jobs.index;
        match self {
            Self::Connected(session, connection) => {
                let session = index.sessions.entry(session).or_default();
                session.connection = Some(connection);
                session.held = false;
            }
            Self::Disconnected(id) => {
                if let Some(session) = index.sessions.get_mut(&id) {
                    session.connection = None;
                }
                index.drop_idle_session(id);
            }
            Self::Held(id, held) => {
                let Some(session) = index.sessions.get_mut(&id) else {
                    return;
                };
                session.held = held;
                let keys: Vec<_> = session.subscriptions.values().copied().collect();
                for key in keys {
                    index.refresh(key);
                }
            }
            Self::Subscribed(subscription) => {
                let key = shard.fresh_subscription();
                shard.jobs.subscribe(key, subscription);
            }
            Self::Credit(key, jobs, bytes) => {
                if let Some(subscription) = index.subscriptions.get_mut(&key) {
                    subscription.credit_jobs = jobs;
                    subscription.credit_bytes = bytes;
                    index.refresh(key);
                }
            }
            Self::Dropped(key) => index.drop_subscription(key),
            Self::Topic(change) => change.make(shard),
            Self::GraceOver => shard.resume_until_ms = None,
            Self::ProducersSwept => {
                let (now_ms, idle_ms) = (shard.now_ms, shard.limits.producer_idle_ms);
                shard.producers_swept_ms = now_ms;
                // Those of `memory` pushes are in no journal, so no event is needed.
                let producers = &mut shard.volatile.producers;
                producers.retain(|_, producer| !producer.is_idle(now_ms, idle_ms));
            }
            Self::Drain => shard.draining = true,
            Self::DiskFull(is_full) => shard.disk_full = is_full,
        }
    }
}
