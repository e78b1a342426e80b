//! Calls with one request and one answer: administration, subscribe, reserve.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;
use tokio::time::Instant;
use verteilt_protocol::{Frame, FrameType, encode, wire};

use crate::consumer::RecordInbox;
use crate::error::ClientError;
use crate::lot::Lot;
use crate::request::Wish;
use crate::settle::SettleKind;
use crate::shared::Shared;
use crate::subscription::Inbox;

/// The request of a call.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Subscribe(wire::Subscribe),
    Unsubscribe(wire::Unsubscribe),
    Reserve(wire::Reserve),
    QueueStats(wire::QueueStatsRequest),
    QueuePeek(wire::QueuePeek),
    QueuePause(wire::QueuePause),
    QueuePurge(wire::QueuePurge),
    Checkpoint,
    TopicCreate(wire::TopicCreate),
    TopicChange(wire::TopicChange),
    TopicDelete(wire::TopicDelete),
    TopicStats(wire::TopicStatsRequest),
    GroupStats(wire::GroupStatsRequest),
    TopicSubscribe(wire::TopicSubscribe),
    Consumed(wire::Consumed),
    Serve(wire::Serve),
    Unserve(wire::Unserve),
    Services(wire::ServicesRequest),
    Trace(wire::TraceRequest),
    /// A request of durability `disk`, with header block and body.
    Accept(Box<wire::Request>, Bytes),
    Result(wire::ResultRequest),
}

impl Request {
    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut BytesMut, correlation: u64) {
        match self {
            Self::Subscribe(m) => encode(out, FrameType::Subscribe, 0, correlation, m, &[]),
            Self::Unsubscribe(m) => encode(out, FrameType::Unsubscribe, 0, correlation, m, &[]),
            Self::Reserve(m) => encode(out, FrameType::Reserve, 0, correlation, m, &[]),
            Self::QueueStats(m) => encode(out, FrameType::QueueStats, 0, correlation, m, &[]),
            Self::QueuePeek(m) => encode(out, FrameType::QueuePeek, 0, correlation, m, &[]),
            Self::QueuePause(m) => encode(out, FrameType::QueuePause, 0, correlation, m, &[]),
            Self::QueuePurge(m) => encode(out, FrameType::QueuePurge, 0, correlation, m, &[]),
            Self::TopicCreate(m) => encode(out, FrameType::TopicCreate, 0, correlation, m, &[]),
            Self::TopicChange(m) => encode(out, FrameType::TopicChange, 0, correlation, m, &[]),
            Self::TopicDelete(m) => encode(out, FrameType::TopicDelete, 0, correlation, m, &[]),
            Self::TopicStats(m) => encode(out, FrameType::TopicStats, 0, correlation, m, &[]),
            Self::GroupStats(m) => encode(out, FrameType::GroupStats, 0, correlation, m, &[]),
            Self::TopicSubscribe(m) => {
                encode(out, FrameType::TopicSubscribe, 0, correlation, m, &[]);
            }
            Self::Consumed(m) => encode(out, FrameType::Consumed, 0, correlation, m, &[]),
            Self::Serve(m) => encode(out, FrameType::Serve, 0, correlation, m, &[]),
            Self::Unserve(m) => encode(out, FrameType::Unserve, 0, correlation, m, &[]),
            Self::Services(m) => encode(out, FrameType::Services, 0, correlation, m, &[]),
            Self::Trace(m) => encode(out, FrameType::Trace, 0, correlation, m, &[]),
            Self::Accept(m, body) => encode(out, FrameType::Request, 0, correlation, &**m, body),
            Self::Result(m) => encode(out, FrameType::Result, 0, correlation, m, &[]),
            Self::Checkpoint => {
                encode(
                    out,
                    FrameType::Checkpoint,
                    0,
                    correlation,
                    &wire::Checkpoint {},
                    &[],
                );
            }
        }
    }

    /// Those that many may wait for at a time.
    const fn is_about_results(&self) -> bool {
        matches!(self, Self::Accept(..) | Self::Result(_))
    }

    /// What the answer must be.
    pub(crate) fn answer(&self) -> FrameType {
        match self {
            Self::Subscribe(_)
            | Self::Unsubscribe(_)
            | Self::QueuePause(_)
            | Self::TopicCreate(_)
            | Self::TopicChange(_)
            | Self::TopicDelete(_)
            | Self::TopicSubscribe(_)
            | Self::Consumed(_)
            | Self::Serve(_)
            | Self::Unserve(_) => FrameType::Ok,
            Self::Services(_) => FrameType::ServicesReply,
            Self::Trace(_) => FrameType::TraceReply,
            Self::Accept(..) => FrameType::RequestAccepted,
            Self::Result(_) => FrameType::ResultReply,
            Self::TopicStats(_) => FrameType::TopicStatsReply,
            Self::GroupStats(_) => FrameType::GroupStatsReply,
            Self::Reserve(_) => FrameType::Deliver,
            Self::QueueStats(_) => FrameType::QueueStatsReply,
            Self::QueuePeek(_) => FrameType::QueuePeeked,
            Self::QueuePurge(_) => FrameType::QueuePurged,
            Self::Checkpoint => FrameType::CheckpointDone,
        }
    }
}

/// The answer of a call.
#[derive(Debug)]
pub(crate) enum Answer {
    Frame(Frame),
    Lot(Arc<Lot>),
}

/// A request on its way, until it is answered. Sent again on the next connection.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) number: u64,
    pub(crate) request: Request,
    pub(crate) deadline: Option<Instant>,
    pub(crate) limit: Duration,
    pub(crate) what: &'static str,
    /// `None`: nobody waits.
    pub(crate) reply: Option<oneshot::Sender<Result<Answer, ClientError>>>,
}

impl Call {
    /// A call of the driver's own.
    pub(crate) fn unheard(number: u64, request: Request) -> Self {
        Self {
            number,
            request,
            deadline: None,
            limit: Duration::ZERO,
            what: "",
            reply: None,
        }
    }

    /// Gives the answer; hands it back if nobody waits for it.
    pub(crate) fn finish(&mut self, answer: Result<Answer, ClientError>) -> Option<Answer> {
        match self.reply.take() {
            Some(reply) => reply.send(answer).err()?.ok(),
            None => answer.ok(),
        }
    }
}

/// What callers ask of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Call(Call),
    /// The caller has gone.
    Cancel {
        number: u64,
    },
    /// Deliveries of this subscription go there from now on, also after a reconnect.
    Register(Arc<Inbox>),
    /// As above, for records.
    RegisterConsumer(Arc<RecordInbox>),
    /// No more of them.
    Unregister {
        subscription: u64,
    },
    /// About requests to services.
    Wish(Wish),
}

/// A call that is waited for. When its future is dropped the driver is told, and jobs that had
/// arrived for it go back.
struct Waiting<'a> {
    shared: &'a Shared,
    number: u64,
    answer: oneshot::Receiver<Result<Answer, ClientError>>,
    done: bool,
}

impl Waiting<'_> {
    async fn answer(mut self) -> Result<Answer, ClientError> {
        let answer = (&mut self.answer).await;
        self.done = true;
        answer.unwrap_or_else(|_| Err(self.shared.closed()))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        self.answer.close();
        if let Ok(Ok(Answer::Lot(lot))) = self.answer.try_recv() {
            self.shared
                .settle_unheard(SettleKind::Release, lot.leases_from(0));
            return;
        }
        // A client that is closed has cancelled everything.
        let _ = self.shared.command(Command::Cancel {
            number: self.number,
        });
    }
}

impl Shared {
    /// Sends a request and waits for its answer, at most `limit` in all, reconnects included.
    pub(crate) async fn call(
        &self,
        what: &'static str,
        request: Request,
        limit: Duration,
    ) -> Result<Answer, ClientError> {
        let deadline = Instant::now() + limit;
        let calls = if request.is_about_results() {
            &self.results
        } else {
            &self.calls
        };
        let permit = tokio::time::timeout_at(deadline, calls.acquire()).await;
        let _permit = permit
            .map_err(|_| ClientError::Deadline { what, limit })?
            .map_err(|_| self.closed())?;
        let number = self.next_number();
        let (reply, answer) = oneshot::channel();
        let call = Call {
            number,
            request,
            deadline: Some(deadline),
            limit,
            what,
            reply: Some(reply),
        };
        self.command(Command::Call(call))?;
        Waiting {
            shared: self,
            number,
            answer,
            done: false,
        }
        .answer()
        .await
    }

    /// As `call`, for requests that are answered by a frame, whose message it decodes.
    pub(crate) async fn ask<M: prost::Message + Default>(
        &self,
        what: &'static str,
        request: Request,
    ) -> Result<(M, Frame), ClientError> {
        let limit = self.config.request_timeout;
        match self.call(what, request, limit).await? {
            Answer::Frame(frame) => Ok((frame.message()?, frame)),
            Answer::Lot(_) => Err(ClientError::protocol("jobs came where none were asked for")),
        }
    }
}
