//! Calls until they are answered.

use std::collections::VecDeque;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;
use verteilt_protocol::FrameType;

use super::timer::earlier;
use super::writer::Outbox;
use crate::call::{Answer, Call, Request};
use crate::error::ClientError;
use crate::options::milliseconds;

/// See the module.
#[derive(Default)]
pub(super) struct CallLedger {
    queue: VecDeque<Call>,
    /// By correlation.
    sent: FxHashMap<u64, Call>,
    request_timeout: Duration,
    /// No deadline is before this.
    due: Option<Instant>,
}

impl CallLedger {
    pub(super) fn new(request_timeout: Duration) -> Self {
        Self {
            request_timeout,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty()
    }

    pub(super) fn add(&mut self, call: Call) {
        self.due = earlier(self.due, call.deadline);
        self.queue.push_back(call);
    }

    /// Before all others.
    pub(super) fn add_first(&mut self, call: Call) {
        self.queue.push_front(call);
    }

    pub(super) fn write(&mut self, outbox: &mut Outbox, correlation: &mut u64) {
        while let Some(mut call) = self.queue.pop_front() {
            if let (Request::Reserve(reserve), Some(deadline)) = (&mut call.request, call.deadline)
            {
                // Sent late or again, it waits for what is left only.
                let left = deadline.saturating_duration_since(Instant::now());
                let left = milliseconds(left.saturating_sub(self.request_timeout));
                reserve.wait_ms = reserve.wait_ms.min(left);
            }
            self.shorten(&mut call);
            *correlation += 1;
            outbox.frames(|out| call.request.encode(out, *correlation));
            self.sent.insert(*correlation, call);
        }
    }

    /// Sent late or again, a request of durability `disk` has what is left of its deadline, and so has
    /// a question for its result.
    fn shorten(&self, call: &mut Call) {
        let Some(deadline) = call.deadline else {
            return;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match &mut call.request {
            Request::Accept(request, _) => {
                request.deadline_ms = request.deadline_ms.min(milliseconds(left)).max(1);
            }
            Request::Result(result) => {
                let left = milliseconds(left.saturating_sub(self.request_timeout));
                result.wait_ms = result.wait_ms.min(left);
            }
            _ => {}
        }
    }

    /// The request of a call that waits for its answer.
    pub(super) fn request(&self, correlation: u64) -> Option<&Request> {
        self.sent.get(&correlation).map(|call| &call.request)
    }

    /// Ends a call whose answer has come.
    pub(super) fn take(&mut self, correlation: u64) -> Option<Call> {
        self.sent.remove(&correlation)
    }

    /// Whether an answer of this kind fits the call.
    pub(super) fn expects(&self, correlation: u64, kind: FrameType) -> Option<bool> {
        self.request(correlation)
            .map(|request| request.answer() == kind)
    }

    /// The caller has gone. Gives the correlation that the broker is to be told of.
    pub(super) fn cancel(&mut self, number: u64) -> Option<u64> {
        self.queue.retain(|call| call.number != number);
        let (correlation, _) = self.sent.iter().find(|(_, call)| call.number == number)?;
        let correlation = *correlation;
        let call = self.sent.remove(&correlation)?;
        matches!(call.request, Request::Reserve(_)).then_some(correlation)
    }

    /// Ends the reserves that wait: the client is closing.
    pub(super) fn cancel_reserves(&mut self) -> Vec<u64> {
        let is_reserve = |call: &Call| matches!(call.request, Request::Reserve(_));
        let queued: VecDeque<_> = self.queue.drain(..).collect();
        for mut call in queued {
            if is_reserve(&call) {
                call.finish(Err(ClientError::Closed));
            } else {
                self.queue.push_back(call);
            }
        }
        let sent = self.sent.extract_if(|_, call| is_reserve(call));
        sent.map(|(correlation, mut call)| {
            call.finish(Err(ClientError::Closed));
            correlation
        })
        .collect()
    }

    /// A new connection: everything unanswered goes again, in order, but for the driver's own.
    pub(super) fn reconnected(&mut self) {
        let mut again: Vec<(u64, Call)> = self.sent.drain().collect();
        again.sort_by_key(|(correlation, _)| *correlation);
        for (_, call) in again.into_iter().rev() {
            self.queue.push_front(call);
        }
        self.queue.retain(|call| call.reply.is_some());
    }

    /// Fails the calls whose deadline has passed: gives the correlations that the broker is to be
    /// told of, and when the next one passes.
    pub(super) fn expire(&mut self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let late = |call: &Call| call.deadline.is_some_and(|at| at <= now);
        let mut expired = Vec::new();
        for call in std::mem::take(&mut self.queue) {
            if late(&call) {
                expired.push((None, call));
            } else {
                self.queue.push_back(call);
            }
        }
        let sent = self.sent.extract_if(|_, call| late(call));
        expired.extend(sent.map(|(correlation, call)| (Some(correlation), call)));
        let mut cancels = Vec::new();
        for (correlation, mut call) in expired {
            let error = ClientError::Deadline {
                what: call.what,
                limit: call.limit,
            };
            call.finish(Err(error));
            let is_reserve = matches!(call.request, Request::Reserve(_));
            cancels.extend(correlation.filter(|_| is_reserve));
        }
        let rest = self.queue.iter().chain(self.sent.values());
        self.due = rest.filter_map(|call| call.deadline).min();
        (cancels, self.due)
    }

    /// The time at which something here has to be looked at.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The client has ended.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        let sent = self.sent.drain().map(|(_, call)| call);
        for mut call in self.queue.drain(..).chain(sent) {
            let _: Option<Answer> = call.finish(Err(error.clone()));
        }
    }
}
