//! Who waits for the result of a request of durability `disk`. None of them matters to the request:
//! any number may come and go, also after it has its result.

use std::sync::Arc;

use super::book::{Answer, Entry, Outcome, Progress};
use super::command::{Content, ServerInfo, Side};
use super::effect::{Holder, RequestEffect, RequestResult};
use super::{Disk, Requests};
use crate::effect::Refusal;
use crate::id::{ConnectionId, GatewayId, JobId, Micros, Millis, RequestId};

/// Those who may wait for one request at a time.
const WAITERS_MAX: usize = 64;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    /// The reply goes to the inbox.
    Inbox {
        gateway: GatewayId,
        /// The request had been accepted before this caller sent it.
        replayed: bool,
    },
    /// The result answers a question, if it comes in time.
    Question {
        connection: ConnectionId,
        correlation: u64,
        until_us: Micros,
    },
}

impl Requests {
    /// The reply goes to the inbox of this connection, at once if it is there.
    pub(super) fn attach(
        &mut self,
        connection: ConnectionId,
        request: RequestId,
        replayed: bool,
        disk: Disk<'_>,
    ) {
        let known = self.connections.get(&connection);
        let Some(gateway) = known.and_then(|known| known.inbox) else {
            return;
        };
        let open = self.open.get_mut(&request);
        let Some(on_disk) = open.and_then(|open| open.on_disk.as_mut()) else {
            if let Some(Progress::Done(outcome)) = disk.progress_of(request) {
                let (result, stored) = self.result_of(outcome);
                self.tell_inbox(connection, request, &result, (replayed, stored));
            }
            return;
        };
        let is_it =
            |waiter: &Waiter| matches!(waiter, Waiter::Inbox { gateway: of, .. } if *of == gateway);
        if on_disk.waiters.iter().any(is_it) {
            return;
        }
        if on_disk.waiters.len() >= WAITERS_MAX {
            return self.end_unsent(connection, request, Refusal::RequestLimit);
        }
        on_disk.waiters.push(Waiter::Inbox { gateway, replayed });
    }

    /// The caller does not want the reply any more; the work goes on.
    pub(super) fn stop_waiting(&mut self, connection: ConnectionId, request: RequestId) {
        let known = self.connections.get(&connection);
        let Some(mine) = known.and_then(|known| known.inbox) else {
            return;
        };
        let open = self.open.get_mut(&request);
        if let Some(on_disk) = open.and_then(|open| open.on_disk.as_mut()) {
            let is_other = |waiter: &Waiter| !matches!(waiter, Waiter::Inbox { gateway, .. } if *gateway == mine);
            on_disk.waiters.retain(is_other);
        }
    }

    /// What came of a request, now or within the wait.
    pub(super) fn result(
        &mut self,
        (connection, correlation): (ConnectionId, u64),
        (namespace, request): (&Arc<str>, RequestId),
        wait_ms: Millis,
        disk: Disk<'_>,
    ) {
        let Some(entry) = disk.find(namespace, request) else {
            return self.answer(connection, correlation, Err(Refusal::RequestUnknown));
        };
        if let Progress::Done(outcome) = &entry.progress {
            let (result, stored) = self.result_of(outcome);
            return self.tell_result((connection, correlation), request, result, stored);
        }
        let open = self.open.get_mut(&request);
        let Some(on_disk) = open.and_then(|open| open.on_disk.as_mut()) else {
            return;
        };
        if wait_ms == 0 {
            return self.tell_pending(connection, correlation, request);
        }
        if on_disk.waiters.len() >= WAITERS_MAX {
            return self.answer(connection, correlation, Err(Refusal::RequestLimit));
        }
        let until_us = self.now_us.saturating_add(wait_ms.saturating_mul(1_000));
        on_disk.waiters.push(Waiter::Question {
            connection,
            correlation,
            until_us,
        });
        self.waits.insert((until_us, request));
        let known = self.connections.entry(connection).or_default();
        known.waits.insert(request);
    }

    /// Those who have waited long enough are told that there is no result yet.
    pub(super) fn end_waits(&mut self) {
        while let Some((until_us, request)) = self.waits.first().copied() {
            if until_us > self.now_us {
                return;
            }
            self.waits.pop_first();
            for (connection, correlation) in
                self.take_questions(request, |until_us_of, _| until_us_of <= until_us)
            {
                self.tell_pending(connection, correlation, request);
            }
        }
    }

    /// A connection is gone, and what it asked with it.
    pub(super) fn forget_waits(&mut self, gone: ConnectionId, request: RequestId) {
        self.take_questions(request, |_, connection| connection == gone);
    }

    /// Takes questions about a request out of every list.
    fn take_questions(
        &mut self,
        request: RequestId,
        is_wanted: impl Fn(Micros, ConnectionId) -> bool,
    ) -> Vec<(ConnectionId, u64)> {
        let open = self.open.get_mut(&request);
        let Some(on_disk) = open.and_then(|open| open.on_disk.as_mut()) else {
            return Vec::new();
        };
        let waiters = std::mem::take(&mut on_disk.waiters);
        let (taken, left): (Vec<_>, Vec<_>) = waiters.into_iter().partition(|waiter| {
            matches!(waiter, Waiter::Question { connection, until_us, .. }
                if is_wanted(*until_us, *connection))
        });
        on_disk.waiters.clone_from(&left);
        self.forget_questions(request, &taken, &left)
    }

    fn forget_questions(
        &mut self,
        request: RequestId,
        taken: &[Waiter],
        left: &[Waiter],
    ) -> Vec<(ConnectionId, u64)> {
        let mut questions = Vec::with_capacity(taken.len());
        for waiter in taken {
            let Waiter::Question {
                connection,
                correlation,
                until_us,
            } = *waiter
            else {
                continue;
            };
            questions.push((connection, correlation));
            let until = |waiter: &Waiter| matches!(waiter, Waiter::Question { until_us: of, .. } if *of == until_us);
            if !left.iter().any(until) {
                self.waits.remove(&(until_us, request));
            }
            let asks = |waiter: &Waiter| matches!(waiter, Waiter::Question { connection: of, .. } if *of == connection);
            if !left.iter().any(asks)
                && let Some(known) = self.connections.get_mut(&connection)
            {
                known.waits.remove(&request);
            }
        }
        questions
    }

    /// The result is there.
    pub(super) fn tell_waiters(
        &mut self,
        request: RequestId,
        waiters: Vec<Waiter>,
        result: &RequestResult,
    ) {
        for (connection, correlation) in self.forget_questions(request, &waiters, &[]) {
            self.tell_result((connection, correlation), request, result.clone(), None);
        }
        for waiter in waiters {
            let Waiter::Inbox { gateway, replayed } = waiter else {
                continue;
            };
            // One that is not there asks again when it is back.
            let inbox = self.inboxes.get(&gateway);
            if let Some(connection) = inbox.and_then(|inbox| inbox.connection) {
                self.tell_inbox(connection, request, result, (replayed, None));
            }
        }
    }

    fn tell_inbox(
        &mut self,
        connection: ConnectionId,
        request: RequestId,
        result: &RequestResult,
        (replayed, stored): (bool, Option<JobId>),
    ) {
        let effect = match result.clone() {
            RequestResult::Replied {
                status, content, ..
            } => RequestEffect::Reply {
                request,
                status,
                content,
                replayed,
            },
            RequestResult::Failed {
                refusal, holder, ..
            } => RequestEffect::Ended {
                side: Side::Caller(request),
                refusal,
                holder,
            },
            RequestResult::Pending { .. } => return,
        };
        self.tell_later(connection, effect, stored);
    }

    fn tell_result(
        &mut self,
        (connection, correlation): (ConnectionId, u64),
        request: RequestId,
        result: RequestResult,
        stored: Option<JobId>,
    ) {
        let effect = RequestEffect::Result {
            correlation,
            request,
            result,
        };
        self.tell_later(connection, effect, stored);
    }

    fn tell_pending(&mut self, connection: ConnectionId, correlation: u64, request: RequestId) {
        let deadline_us = self.open.get(&request).map_or(0, |open| open.deadline_us);
        let left_us = deadline_us.saturating_sub(self.now_us);
        let result = RequestResult::Pending {
            deadline_ms: left_us.div_ceil(1_000),
        };
        self.tell_result((connection, correlation), request, result, None);
    }

    /// A result that is kept, and where its body lies.
    fn result_of(&self, outcome: &Outcome) -> (RequestResult, Option<JobId>) {
        let kept_ms = outcome.until_ms.saturating_sub(self.now_us / 1_000);
        match &outcome.answer {
            Answer::Replied { status, body } => {
                let content = Content {
                    header_length: body.header_length,
                    ..Content::default()
                };
                let result = RequestResult::Replied {
                    status: *status,
                    content,
                    kept_ms,
                };
                (result, (body.length > 0).then_some(body.id))
            }
            Answer::Failed { refusal, holder } => {
                let holder: Option<Holder> = (!holder.is_empty())
                    .then(|| (Arc::clone(holder), Arc::new(ServerInfo::default())));
                let result = RequestResult::Failed {
                    refusal: *refusal,
                    holder,
                    kept_ms,
                };
                (result, None)
            }
        }
    }
}

impl Disk<'_> {
    fn progress_of(&self, request: RequestId) -> Option<&Progress> {
        let entry = self.ledger.requests().get(request);
        entry.map(|entry: &Entry| &entry.progress)
    }
}
