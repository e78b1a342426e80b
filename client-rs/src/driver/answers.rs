//! What the broker says, frame by frame.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::time::Instant;
use verteilt_protocol::{ErrorCode, Frame, FrameType, wire};

use super::Driver;
use super::deliveries::Delivered;
use super::session::Session;
use crate::call::{Answer, Call, Request};
use crate::error::ClientError;
use crate::lot::Lot;
use crate::settle::SettleKind;

/// Wait before a subscription that the broker could not take on is tried again.
const SUBSCRIBE_AGAIN: Duration = Duration::from_secs(1);

impl Driver {
    /// Acts on a frame. An error ends the connection.
    pub(super) fn handle(
        &mut self,
        session: &mut Session,
        frame: Frame,
    ) -> Result<(), ClientError> {
        let Some(kind) = frame.kind() else {
            // A newer broker may send what this client does not know.
            return Ok(());
        };
        match kind {
            FrameType::Pushed => {
                let pushed: wire::Pushed = frame.message()?;
                self.pushes.grant(pushed.credit);
                for result in &pushed.results {
                    self.expected += result.count as usize;
                    self.pushes.pushed(result)?;
                }
                Ok(())
            }
            FrameType::Published => self.handle_published(&frame),
            FrameType::Records => self.handle_records(&frame),
            FrameType::TopicAssigned => {
                let assigned: wire::TopicAssigned = frame.message()?;
                if let Some(inbox) = self.deliveries.consumer(assigned.subscription) {
                    inbox.assigned(&assigned);
                }
                if assigned.ended {
                    self.deliveries.unregister_consumer(assigned.subscription);
                }
                Ok(())
            }
            FrameType::PushCredit => {
                self.pushes
                    .grant(frame.message::<wire::PushCredit>()?.bytes);
                Ok(())
            }
            FrameType::Ok => self.handle_ok(frame),
            FrameType::Settled => {
                let lost = self.settles.settled(frame.correlation, &frame.message()?)?;
                self.leases_lost(&lost)
            }
            FrameType::Deliver => self.handle_deliver(frame),
            FrameType::DeliverPart => {
                let complete = self.deliveries.part(frame.message()?, &frame.payload)?;
                complete.map_or(Ok(()), |delivered| self.hand_out(delivered))
            }
            FrameType::LeaseLost => self.handle_lease_lost(&frame.message()?),
            FrameType::Request
            | FrameType::Reply
            | FrameType::BodyPart
            | FrameType::StreamCredit
            | FrameType::RequestEnded => {
                self.expected += usize::from(self.requests.handle(kind, &frame)?);
                Ok(())
            }
            FrameType::Error => self.handle_error(&frame),
            FrameType::Goodbye => {
                session.leaving = true;
                Ok(())
            }
            FrameType::QueueStatsReply
            | FrameType::QueuePeeked
            | FrameType::QueuePurged
            | FrameType::TopicStatsReply
            | FrameType::GroupStatsReply
            | FrameType::ServicesReply
            | FrameType::TraceReply
            | FrameType::RequestAccepted
            | FrameType::ResultReply
            | FrameType::CheckpointDone => self.answer_call(frame, kind),
            FrameType::Heartbeat => Ok(()),
            _ => Err(ClientError::protocol(format!(
                "a client does not expect {}",
                kind.name()
            ))),
        }
    }

    fn handle_published(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let published: wire::Published = frame.message()?;
        self.pushes.grant(published.credit);
        for result in &published.results {
            self.expected += result.count as usize;
            self.pushes.published(result)?;
        }
        Ok(())
    }

    fn handle_ok(&mut self, frame: Frame) -> Result<(), ClientError> {
        if frame.is_cumulative() {
            self.expected += self.settles.done_up_to(frame.correlation);
        } else if let Some(jobs) = self.settles.done(frame.correlation) {
            self.expected += jobs;
            return Ok(());
        }
        if self.pushes.part_taken(frame.correlation) || self.requests.forwarded(frame.correlation) {
            return Ok(());
        }
        self.answer_call(frame, FrameType::Ok)
    }

    /// The answer to a call that nobody waits for any more is passed over.
    fn answer_call(&mut self, frame: Frame, kind: FrameType) -> Result<(), ClientError> {
        match self.calls.expects(frame.correlation, kind) {
            None => Ok(()),
            Some(false) => Err(ClientError::protocol(format!(
                "{} answers another request",
                kind.name()
            ))),
            Some(true) => {
                if let Some(mut call) = self.calls.take(frame.correlation) {
                    call.finish(Ok(Answer::Frame(frame)));
                }
                Ok(())
            }
        }
    }

    fn handle_error(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let error = ClientError::refused(frame.message()?);
        // A broker whose disk failed stops, and what it had not answered is asked again: nobody
        // knows whether it took effect.
        if frame.correlation == 0 || error.code() == Some(ErrorCode::StoreFailed) {
            return Err(error);
        }
        if self.pushes.refused(frame.correlation, &error)
            || self.settles.refused(frame.correlation, &error)
            || self.requests.refused(frame.correlation, &error)
        {
            self.lower_timer();
            return Ok(());
        }
        let Some(mut call) = self.calls.take(frame.correlation) else {
            return Ok(());
        };
        if call.reply.is_some() {
            call.finish(Err(error));
            return Ok(());
        }
        match &call.request {
            Request::Subscribe(subscribe) => {
                self.subscribe_refused(subscribe.subscription, error);
            }
            Request::TopicSubscribe(subscribe) => {
                self.subscribe_refused(subscribe.subscription, error);
            }
            Request::Serve(serve) => self.subscribe_refused(serve.subscription, error),
            // What is told of a partition that was lost meanwhile is refused, which is no harm.
            _ => {}
        }
        Ok(())
    }

    /// After a reconnect: nobody waits for the answer, but the subscription lives.
    fn subscribe_refused(&mut self, subscription: u64, error: ClientError) {
        if error.is_retryable() {
            self.deliveries
                .again_at(Instant::now() + SUBSCRIBE_AGAIN, subscription);
            self.lower_timer();
        } else if let Some(inbox) = self.deliveries.unregister(subscription) {
            tracing::warn!(queue = %inbox.queue, %error, "a subscription was ended by the broker");
            inbox.close(Some(error));
        } else if let Some(inbox) = self.deliveries.unregister_consumer(subscription) {
            tracing::warn!(topic = %inbox.topic, %error, "a consumer was ended by the broker");
            inbox.close(Some(error));
        } else if let Some(service) = self.requests.unregister(subscription) {
            tracing::warn!(service = %service.name, %error, "a service was ended by the broker");
            service.close(Some(error));
        }
    }

    fn handle_records(&mut self, frame: &Frame) -> Result<(), ClientError> {
        let message: wire::Records = frame.message()?;
        let Some(inbox) = self.deliveries.consumer(message.subscription) else {
            // Its consumer has gone.
            return Ok(());
        };
        let passed = inbox.put(&message, &frame.payload)?;
        if passed > 0 {
            // Nobody is going to take them, so their credit is given back here.
            let consumed = wire::Consumed {
                subscription: message.subscription,
                partition: message.partition,
                offset: message.first_offset + passed - 1,
                commit: false,
            };
            let number = self.shared.next_number();
            self.calls
                .add(Call::unheard(number, Request::Consumed(consumed)));
        }
        Ok(())
    }

    fn handle_deliver(&mut self, frame: Frame) -> Result<(), ClientError> {
        let message: wire::Deliver = frame.message()?;
        let body_bytes_max = self.shared.pending.lock().pushes.limits.body_bytes;
        let correlation = frame.correlation;
        let complete =
            self.deliveries
                .deliver(correlation, message, frame.payload, body_bytes_max)?;
        complete.map_or(Ok(()), |delivered| self.hand_out(delivered))
    }

    fn hand_out(&mut self, delivered: Delivered) -> Result<(), ClientError> {
        let Delivered {
            correlation,
            message,
            payload,
            assembled,
            lost,
        } = delivered;
        let subscription = message.subscription;
        let inbox = self.deliveries.inbox(subscription).cloned();
        let queue = match (&inbox, self.calls.request(correlation)) {
            (Some(inbox), _) => Arc::clone(&inbox.queue),
            (None, Some(Request::Reserve(reserve))) => reserve.queue.as_str().into(),
            (None, _) => "".into(),
        };
        let generation = self.shared.generation.load(Ordering::Acquire);
        let lot = Arc::new(Lot::new(queue, generation, message, payload, assembled)?);
        if lot.jobs() > 0 {
            self.deliveries.watch(&lot);
        }
        for id in lost {
            lot.mark_id_lost(id);
        }
        self.expected += lot.jobs();
        if let Some(inbox) = inbox {
            inbox.put(lot);
            return Ok(());
        }
        let unclaimed = match self.calls.expects(correlation, FrameType::Deliver) {
            Some(true) => self
                .calls
                .take(correlation)
                .and_then(|mut call| call.finish(Ok(Answer::Lot(Arc::clone(&lot))))),
            _ => Some(Answer::Lot(Arc::clone(&lot))),
        };
        if unclaimed.is_some() {
            // Its subscription or its caller has gone.
            self.shared
                .settle_unheard(SettleKind::Release, lot.leases_from(0));
        }
        Ok(())
    }

    fn handle_lease_lost(&mut self, message: &wire::LeaseLost) -> Result<(), ClientError> {
        let (ids, tokens) = (&message.ids, &message.tokens);
        if tokens.len() != ids.len() && tokens.len() != 1 {
            return Err(ClientError::protocol(
                "the lists of LEASE_LOST differ in length",
            ));
        }
        let token_of = |at: usize| tokens[at.min(tokens.len() - 1)];
        let lost: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(at, id)| (*id, token_of(at)))
            .collect();
        self.leases_lost(&lost)
    }

    fn leases_lost(&mut self, lost: &[(u64, u64)]) -> Result<(), ClientError> {
        if lost.is_empty() {
            return Ok(());
        }
        let gone: FxHashSet<_> = lost.iter().copied().collect();
        let mut pending = self.shared.pending.lock();
        pending
            .kept
            .retain(|_, kept| !gone.contains(&(kept.id, kept.token)));
        drop(pending);
        let complete = self.deliveries.lost(lost);
        complete
            .into_iter()
            .try_for_each(|delivered| self.hand_out(delivered))
    }
}
