//! Jobs of a queue as they come, bounded by credit.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use futures_util::future::poll_fn;
use parking_lot::Mutex;
use verteilt_protocol::wire;

use crate::call::{Call, Command, Request};
use crate::client::Client;
use crate::error::ClientError;
use crate::job::Job;
use crate::lot::{Lot, LotCursor};
use crate::settle::SettleKind;

/// How much unfinished work a subscription may hold: delivered and not yet settled. One job is
/// always allowed, however large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Jobs, at most 65,536. 0 holds the deliveries.
    pub jobs: u32,
    /// Bytes of headers and bodies; 0: the broker's default of 8 MiB.
    pub bytes: u64,
}

impl Credit {
    /// So many jobs, within the default for bytes.
    #[must_use]
    pub const fn jobs(jobs: u32) -> Self {
        Self { jobs, bytes: 0 }
    }
}

/// Where the driver puts the deliveries of a subscription. Bounded by the credit.
pub(crate) struct Inbox {
    pub(crate) subscription: u64,
    pub(crate) queue: Arc<str>,
    credit: Mutex<Credit>,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    lots: VecDeque<LotCursor>,
    waker: Option<Waker>,
    /// Nothing more will come; why, if it was not asked for.
    closed: bool,
    error: Option<ClientError>,
}

impl Inbox {
    pub(crate) fn new(subscription: u64, queue: &str, credit: Credit) -> Self {
        Self {
            subscription,
            queue: queue.into(),
            credit: Mutex::new(credit),
            content: Mutex::new(Content::default()),
        }
    }

    /// The SUBSCRIBE for the credit of now.
    pub(crate) fn request(&self) -> Request {
        let credit = *self.credit.lock();
        Request::Subscribe(wire::Subscribe {
            subscription: self.subscription,
            queue: self.queue.to_string(),
            credit_jobs: credit.jobs,
            credit_bytes: credit.bytes,
        })
    }

    pub(crate) fn put(&self, lot: Arc<Lot>) {
        let waker = {
            let mut content = self.content.lock();
            content.lots.push_back(LotCursor::new(lot));
            content.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn close(&self, error: Option<ClientError>) {
        let waker = {
            let mut content = self.content.lock();
            content.closed = true;
            content.error = content.error.take().or(error);
            content.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}

/// A standing order for the jobs of a queue. Made by [`Client::subscribe`]; also a
/// [`Stream`] of [`Job`].
///
/// It outlives lost connections: the client subscribes again by itself, and jobs that were delivered
/// on the lost connection but not handed out yet go back to the broker. Dropping it unsubscribes
/// and releases what has not been handed out; jobs in hand stay leased.
pub struct Subscription {
    client: Client,
    inbox: Arc<Inbox>,
    local: VecDeque<LotCursor>,
}

impl Subscription {
    pub(crate) fn new(client: Client, inbox: Arc<Inbox>) -> Self {
        Self {
            client,
            inbox,
            local: VecDeque::new(),
        }
    }

    /// The queue it takes from.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.inbox.queue
    }

    /// The next job, waiting for one. `None`: the client is closed, or the broker ended the
    /// subscription; [`Subscription::error`] tells why.
    ///
    /// # Cancel safety
    /// Safe: a job is taken only when it is returned.
    pub async fn next(&mut self) -> Option<Job> {
        poll_fn(|context| self.poll_job(context)).await
    }

    /// At least one job, waiting for it, and up to `max` that are there already. Empty: as `None`
    /// of [`Subscription::next`], or `max` is 0.
    ///
    /// # Cancel safety
    /// Safe: jobs are taken only when they are returned.
    pub async fn next_batch(&mut self, max: usize) -> Vec<Job> {
        let mut jobs = Vec::new();
        if max == 0 {
            return jobs;
        }
        jobs.extend(self.next().await);
        while jobs.len() < max {
            let Some(job) = self.take_ready() else { break };
            jobs.push(job);
        }
        jobs
    }

    /// Why [`Subscription::next`] gives `None`.
    #[must_use]
    pub fn error(&self) -> Option<ClientError> {
        self.inbox.content.lock().error.clone()
    }

    /// Changes the credit; 0 jobs holds the deliveries. Also holds after a reconnect.
    ///
    /// # Errors
    /// What the broker answers; [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Dropped, the change may or may not have reached the broker; it does with the next reconnect.
    pub async fn set_credit(&self, credit: Credit) -> Result<(), ClientError> {
        *self.inbox.credit.lock() = credit;
        let shared = self.client.shared();
        let limit = shared.config.request_timeout;
        shared
            .call("the change of credit", self.inbox.request(), limit)
            .await
            .map(|_| ())
    }

    /// Ends the subscription: releases what was not handed out, and waits for the broker's answer.
    /// Jobs in hand stay leased and can be settled.
    ///
    /// # Errors
    /// What the broker answers; [`ClientError::Deadline`] after the request timeout.
    ///
    /// # Cancel safety
    /// Dropped, the subscription ends all the same.
    pub async fn close(self) -> Result<(), ClientError> {
        self.end().await.1
    }

    /// As `close`, and says how many jobs were released.
    pub(crate) async fn end(mut self) -> (usize, Result<(), ClientError>) {
        let shared = Arc::clone(self.client.shared());
        let subscription = self.inbox.subscription;
        let request = Request::Unsubscribe(wire::Unsubscribe { subscription });
        let limit = shared.config.request_timeout;
        let mut ended = std::pin::pin!(shared.call("the end of a subscription", request, limit));
        // Asked first, released second: the broker must not deliver here what it gets back.
        let early = futures_util::poll!(&mut ended);
        let released = self.release_unstarted();
        let ended = match early {
            Poll::Ready(ended) => ended,
            Poll::Pending => ended.await,
        };
        (released, ended.map(|_| ()))
    }

    /// Gives back what has been delivered and not handed out.
    pub(crate) fn release_unstarted(&mut self) -> usize {
        let mut lots = std::mem::take(&mut self.local);
        lots.append(&mut self.inbox.content.lock().lots);
        let mut released = 0;
        for cursor in lots {
            released += cursor.rest().count();
            self.client
                .shared()
                .settle_unheard(SettleKind::Release, cursor.rest());
        }
        released
    }

    fn poll_job(&mut self, context: &Context<'_>) -> Poll<Option<Job>> {
        loop {
            if let Some(job) = self.take_local() {
                return Poll::Ready(Some(job));
            }
            let mut content = self.inbox.content.lock();
            if content.lots.is_empty() {
                if content.closed {
                    return Poll::Ready(None);
                }
                match &mut content.waker {
                    Some(known) => known.clone_from(context.waker()),
                    none @ None => *none = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            std::mem::swap(&mut self.local, &mut content.lots);
        }
    }

    fn take_ready(&mut self) -> Option<Job> {
        if let Some(job) = self.take_local() {
            return Some(job);
        }
        std::mem::swap(&mut self.local, &mut self.inbox.content.lock().lots);
        self.take_local()
    }

    fn take_local(&mut self) -> Option<Job> {
        let generation = self.client.shared().generation.load(Ordering::Acquire);
        loop {
            let cursor = self.local.front_mut()?;
            if cursor.lot.generation != generation {
                // From a lost connection: most likely somebody else's by now. A release of a
                // lease that has ended is refused, which is no harm.
                self.client
                    .shared()
                    .settle_unheard(SettleKind::Release, cursor.rest());
                self.local.pop_front();
                continue;
            }
            let Some(cut) = cursor.cut() else {
                self.local.pop_front();
                continue;
            };
            if cursor.lot.is_lost(cut.index) {
                continue;
            }
            return Some(Job::new(self.client.clone(), cursor, cut));
        }
    }
}

impl Stream for Subscription {
    type Item = Job;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Job>> {
        self.get_mut().poll_job(context)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.release_unstarted();
        let shared = self.client.shared();
        let subscription = self.inbox.subscription;
        // A closed client has no subscriptions. After `close` the broker hears it twice, which
        // the second time only says that it knows.
        let _ = shared.command(Command::Unregister { subscription });
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("queue", &self.queue())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(crate) async fn subscribe_to(
        &self,
        queue: &str,
        credit: Credit,
    ) -> Result<Subscription, ClientError> {
        crate::batch::check_name(queue)?;
        let shared = self.shared();
        let inbox = Arc::new(Inbox::new(shared.next_number(), queue, credit));
        shared.command(Command::Register(Arc::clone(&inbox)))?;
        // From here on dropping it unsubscribes.
        let subscription = Subscription::new(self.clone(), Arc::clone(&inbox));
        let limit = shared.config.request_timeout;
        shared
            .call("the subscription", inbox.request(), limit)
            .await?;
        Ok(subscription)
    }
}

impl Call {
    pub(crate) fn subscribe(number: u64, inbox: &Inbox) -> Self {
        Self::unheard(number, inbox.request())
    }
}
