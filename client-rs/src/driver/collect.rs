//! From what callers left to what is written.

use std::task::Context;

use tokio::time::Instant;
use verteilt_protocol::{FrameType, wire};

use super::Driver;
use super::session::Session;
use super::timer::earlier;
use crate::call::{Call, Command, Request};
use crate::error::ClientError;
use crate::request::Wish;

impl Driver {
    /// Fills the outbox; true: callers had left something. If they had not, and nothing is being
    /// written, the driver is left to be woken by the next one.
    pub(super) fn collect(&mut self, session: &mut Session, context: &mut Context<'_>) -> bool {
        if session.outbox.is_full() || session.has_yielded {
            return false;
        }
        let (commands, closes, took) = {
            let mut pending = self.shared.pending.lock();
            pending.driver_awake();
            self.timer.lower(pending.due);
            let closes = self.closing.is_none() && pending.closing.is_some();
            self.closing = pending.closing;
            let may_push = !session.leaving && self.pushes.may_send();
            let pushes = if may_push { pending.pushes.jobs } else { 0 };
            let waiting = pushes + pending.settles.jobs + pending.wishes;
            let full = pending.pushes.has_full() || self.pushes.has_older();
            let alone =
                self.pushes.is_empty() && self.settles.is_empty() && self.requests.is_empty();
            let may_come = waiting > 0 || self.expected > 0;
            if may_come && !full && session.gather(waiting, self.expected, alone, context) {
                return false;
            }
            self.expected = 0;
            pending.wishes = 0;
            let settles = pending.settles.take();
            let nothing = pending.commands.is_empty() && settles.is_empty() && pushes == 0;
            if nothing && session.outbox.is_empty() {
                let wants_pushes = may_push && !self.pushes.has_older();
                pending.park_driver(context.waker(), wants_pushes);
            }
            let mut took = !pending.commands.is_empty() || !settles.is_empty();
            self.settles.add(settles);
            if may_push {
                self.pushes.take_new(&mut pending.pushes);
                took |= pending.pushes.jobs != pushes;
            }
            (std::mem::take(&mut pending.commands), closes, took)
        };
        for command in commands {
            self.obey(command, Some(session));
        }
        if closes {
            self.begin_closing(Some(session));
        }
        // First the end of a subscription, then what is given back because of it.
        if !session.leaving {
            self.calls
                .write(&mut session.outbox, &mut session.correlation);
            self.requests
                .write(&mut session.outbox, &mut session.correlation);
        }
        self.settles
            .write(&mut session.outbox, &mut session.correlation);
        if !session.leaving {
            self.pushes
                .write(&mut session.outbox, &mut session.correlation);
        }
        self.lower_timer();
        took
    }

    /// Subscriptions end and reserves are given up; what else is unanswered is waited for.
    pub(super) fn begin_closing(&mut self, session: Option<&mut Session>) {
        self.deliveries.close_all(None);
        for subscription in self.requests.services().collect::<Vec<_>>() {
            self.end_service(subscription);
        }
        let cancels = self.calls.cancel_reserves();
        if let Some(session) = session {
            for correlation in cancels {
                session.outbox.empty(FrameType::Cancel, correlation);
            }
        }
    }

    /// Makes the timer fit what the ledgers hold now.
    pub(super) fn lower_timer(&mut self) {
        let due = earlier(self.pushes.due(), self.settles.held_until());
        let due = earlier(due, earlier(self.calls.due(), self.closing));
        self.timer.lower(earlier(due, self.deliveries.again_due()));
    }

    pub(super) fn obey(&mut self, command: Command, session: Option<&mut Session>) {
        match command {
            Command::Wish(wish) => self.obey_wish(wish, session),
            Command::Call(call) => {
                if let Request::Unsubscribe(unsubscribe) = &call.request {
                    self.deliveries.unregister(unsubscribe.subscription);
                }
                self.calls.add(call);
            }
            Command::Cancel { number } => {
                let correlation = self.calls.cancel(number);
                if let (Some(correlation), Some(session)) = (correlation, session) {
                    session.outbox.empty(FrameType::Cancel, correlation);
                }
            }
            Command::Register(inbox) => self.deliveries.register(inbox),
            Command::RegisterConsumer(inbox) => self.deliveries.register_consumer(inbox),
            Command::Unregister { subscription } => {
                let was_there = self.deliveries.unregister(subscription).is_some()
                    || self.deliveries.unregister_consumer(subscription).is_some();
                if was_there {
                    let unsubscribe = wire::Unsubscribe { subscription };
                    let number = self.shared.next_number();
                    self.calls
                        .add(Call::unheard(number, Request::Unsubscribe(unsubscribe)));
                }
            }
        }
    }

    fn obey_wish(&mut self, wish: Wish, session: Option<&mut Session>) {
        match wish {
            Wish::Register(service) => self.requests.register(service),
            Wish::Unregister(subscription) => self.end_service(subscription),
            Wish::Update(subscription) => self.subscribe_again(subscription),
            wish => {
                let session =
                    session.map(|session| (&mut session.outbox, &mut session.correlation));
                self.requests.obey(wish, session);
            }
        }
    }

    /// No more requests for it; those that it has may be answered.
    fn end_service(&mut self, subscription: u64) {
        if let Some(service) = self.requests.unregister(subscription) {
            service.close(None);
            let unserve = Request::Unserve(wire::Unserve { subscription });
            let number = self.shared.next_number();
            self.calls.add(Call::unheard(number, unserve));
        }
    }

    /// Looks at everything that has a time, and sets the timer to the next one. An error ends the
    /// connection, if there is one.
    pub(super) fn sweep(&mut self, session: Option<&mut Session>) -> Result<(), ClientError> {
        let now = Instant::now();
        let (cancels, calls_due) = self.calls.expire(now);
        let pushes_due = earlier(self.pushes.expire(now), self.pushes.resume(now));
        let settles_due = self.settles.resume(now);
        let mut due = earlier(
            earlier(calls_due, pushes_due),
            earlier(settles_due, self.closing),
        );
        let expired = {
            let mut pending = self.shared.pending.lock();
            let (expired, batches_due) = pending.pushes.take_expired(now);
            let mut leases_due = None;
            if session.is_some() {
                let (leases, next) = pending.take_due_leases(now);
                // One round of touches at a time: a second would say nothing new.
                if self.settles.may_keep() {
                    self.settles.keep(&leases, pending.pushes.limits.batch_jobs);
                }
                leases_due = next;
            }
            pending.due = earlier(batches_due, leases_due);
            due = earlier(due, pending.due);
            expired
        };
        self.pushes.expire_batches(expired);
        if let Some(session) = session {
            for correlation in cancels {
                session.outbox.empty(FrameType::Cancel, correlation);
            }
            let (again, again_due) = self.deliveries.take_again(now);
            for subscription in again {
                self.subscribe_again(subscription);
            }
            due = earlier(due, again_due);
            due = earlier(due, Some(session.tick(now)?));
        }
        self.timer.lower(due.filter(|at| *at > now));
        Ok(())
    }

    pub(super) fn subscribe_again(&mut self, subscription: u64) {
        let number = self.shared.next_number();
        // In front: what was unanswered may be about these subscriptions.
        if let Some(inbox) = self.deliveries.inbox(subscription) {
            self.calls.add_first(Call::subscribe(number, inbox));
        } else if let Some(inbox) = self.deliveries.consumer(subscription) {
            self.calls.add_first(Call::unheard(number, inbox.request()));
        } else if let Some(service) = self.requests.service(subscription) {
            let serve = Request::Serve(service.request());
            self.calls.add_first(Call::unheard(number, serve));
        }
    }

    /// Whether everything is answered, and the client was asked to close.
    pub(super) fn may_leave(&mut self) -> Result<bool, ClientError> {
        let Some(deadline) = self.closing else {
            return Ok(false);
        };
        if Instant::now() >= deadline {
            self.shared
                .close_overdue
                .store(true, std::sync::atomic::Ordering::Release);
            return Ok(true);
        }
        let pending = self.shared.pending.lock();
        Ok(pending.pushes.is_empty()
            && pending.settles.jobs == 0
            && pending.commands.is_empty()
            && self.pushes.is_empty()
            && self.settles.is_empty()
            && self.calls.is_empty()
            && self.requests.is_empty())
    }
}
