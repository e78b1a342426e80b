//! The handle that programs hold.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use verteilt_protocol::{limits, wire};

use crate::batch::check_name;
use crate::builder::{ClientBuilder, Config};
use crate::call::{Answer, Request};
use crate::driver::Driver;
use crate::error::ClientError;
use crate::events::ConnectionEvent;
use crate::job::Job;
use crate::lot::LotCursor;
use crate::options::{PushOptions, milliseconds};
use crate::push::Pushing;
use crate::settle::Settling;
use crate::shared::Shared;
use crate::subscription::{Credit, Subscription};
use crate::worker::Worker;

/// A connection to a broker that mends itself. Cloning is cheap and gives another handle to the
/// same connection; one client serves a whole program, from any number of tasks.
///
/// The work is done by one task on the runtime that [`Client::connect`] was called on. It ends when
/// the last handle is gone (subscriptions and jobs hold one too) or by [`Client::close`], which
/// unlike dropping waits for what is unanswered.
#[derive(Clone)]
pub struct Client {
    handle: Arc<Handle>,
}

/// Knows a client without keeping it alive.
#[derive(Clone)]
pub(crate) struct WeakClient {
    handle: Weak<Handle>,
}

impl WeakClient {
    pub(crate) fn upgrade(&self) -> Option<Client> {
        let handle = self.handle.upgrade()?;
        Some(Client { handle })
    }
}

/// The last one takes the driver with it.
struct Handle {
    shared: Arc<Shared>,
    driver: AbortHandle,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Client {
    /// Connects with the defaults; the url is `verteilt://host[:port][/namespace]`.
    ///
    /// # Errors
    /// As [`ClientBuilder::connect`].
    ///
    /// # Cancel safety
    /// Dropped, no client and no connection remain.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        Self::builder().url(url).connect().await
    }

    /// Everything that can be chosen.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub(crate) async fn start(config: Config) -> Result<Self, ClientError> {
        let shared = Shared::new(config);
        let (ready, connected) = oneshot::channel();
        let driver = Driver::new(Arc::clone(&shared), ready);
        let driver = tokio::spawn(driver.run()).abort_handle();
        let client = Self {
            handle: Arc::new(Handle { shared, driver }),
        };
        connected.await.unwrap_or(Err(ClientError::Closed))?;
        Ok(client)
    }

    pub(crate) fn downgrade(&self) -> WeakClient {
        WeakClient {
            handle: Arc::downgrade(&self.handle),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Pushes a job and waits until the broker has it on its disk (unless the queue is set
    /// otherwise). Pushes that run at the same time share frames, so many at once are fast: spawn
    /// tasks or join futures rather than awaiting one after the other.
    ///
    /// Waits through lost connections and repeats what was unanswered without making doubles; waits
    /// also while the broker is full, and while more than the client's budget of bytes is
    /// unanswered. Pushes to the same queue with the same options keep the order of their first
    /// poll. Bodies that do not fit into a frame go in parts.
    ///
    /// # Errors
    /// [`ClientError::BodyTooLarge`] (64 MiB), [`ClientError::BadName`], [`ClientError::Deadline`]
    /// if a deadline is set, what the broker refused for good, [`ClientError::Closed`].
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the job is pushed all the same: dropping does not cancel.
    pub fn push<'a>(&'a self, queue: &'a str, body: impl Into<Bytes>) -> Pushing<'a> {
        Pushing::new(self, queue, body.into(), None)
    }

    /// As [`Client::push`], with options.
    ///
    /// # Errors
    /// As [`Client::push`]; [`ClientError::BadArgument`] and [`ClientError::HeadersTooLarge`] for
    /// options out of their bounds.
    ///
    /// # Cancel safety
    /// As [`Client::push`].
    pub fn push_with<'a>(
        &'a self,
        queue: &'a str,
        body: impl Into<Bytes>,
        options: &'a PushOptions,
    ) -> Pushing<'a> {
        Pushing::new(self, queue, body.into(), Some(options))
    }

    /// Pushes many jobs with the same options; their ids come back in order. Up to 256 KiB and
    /// 16,384 jobs go as a whole or not at all; a larger batch is split, and an error then does not
    /// say that none of it was taken.
    ///
    /// # Errors
    /// As [`Client::push_with`].
    ///
    /// # Cancel safety
    /// Dropped, the part that was handed over so far is pushed all the same.
    pub async fn push_batch(
        &self,
        queue: &str,
        bodies: Vec<Bytes>,
        options: &PushOptions,
    ) -> Result<Vec<u64>, ClientError> {
        self.shared().push_batch(queue, &bodies, options).await
    }

    /// Takes jobs of a queue as they come.
    ///
    /// # Errors
    /// [`ClientError::BadName`], what the broker answers, [`ClientError::Deadline`] after the
    /// request timeout.
    ///
    /// # Cancel safety
    /// Dropped, there is no subscription.
    pub async fn subscribe(
        &self,
        queue: &str,
        credit: Credit,
    ) -> Result<Subscription, ClientError> {
        self.subscribe_to(queue, credit).await
    }

    /// Takes up to `jobs_max` jobs (1 to 16,384) at once, waiting up to `wait` (at most an hour) for
    /// the first. Empty when there was none.
    ///
    /// # Errors
    /// [`ClientError::BadName`], [`ClientError::BadArgument`], what the broker answers,
    /// [`ClientError::Deadline`] after `wait` and the request timeout.
    ///
    /// # Cancel safety
    /// Dropped, the broker is told, and jobs that were on their way are released.
    pub async fn reserve(
        &self,
        queue: &str,
        jobs_max: u32,
        wait: Duration,
    ) -> Result<Vec<Job>, ClientError> {
        check_name(queue)?;
        if jobs_max == 0 || jobs_max as usize > limits::BATCH_JOBS_MAX {
            let reason = format!("a reserve takes 1 to {} jobs", limits::BATCH_JOBS_MAX);
            return Err(ClientError::BadArgument { reason });
        }
        let wait = wait.min(Duration::from_millis(limits::RESERVE_WAIT_MS_MAX));
        let reserve = wire::Reserve {
            queue: queue.to_owned(),
            jobs_max,
            wait_ms: milliseconds(wait),
        };
        let limit = wait + self.shared().config.request_timeout;
        let answer = self
            .shared()
            .call("the reserve", Request::Reserve(reserve), limit)
            .await?;
        let Answer::Lot(lot) = answer else {
            return Err(ClientError::protocol("a reserve was not answered by jobs"));
        };
        let mut cursor = LotCursor::new(lot);
        let cuts = std::iter::from_fn(|| cursor.cut()).collect::<Vec<_>>();
        Ok(cuts
            .into_iter()
            .map(|cut| Job::new(self.clone(), &cursor, cut))
            .collect())
    }

    /// Acks many jobs in one go, and gives the result of each, in order.
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the acks take place all the same.
    pub async fn ack_all(
        &self,
        jobs: impl IntoIterator<Item = Job>,
    ) -> Vec<Result<(), ClientError>> {
        let settlings: Vec<Settling> = jobs.into_iter().map(Job::ack).collect();
        futures_util::future::join_all(settlings).await
    }

    /// Runs a handler on the jobs of a queue; see [`Worker`].
    pub fn worker(&self, queue: impl Into<String>) -> Worker {
        Worker::new(self.clone(), queue.into())
    }

    /// What happens to the connection from now on. A receiver that is slow misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<ConnectionEvent> {
        self.shared().events.subscribe()
    }

    /// Closes the client for all its handles: takes no more pushes, waits for everything that is
    /// unanswered (at most the close timeout), and says goodbye. The broker then releases the jobs
    /// that are still held.
    ///
    /// # Errors
    /// [`ClientError::Deadline`] if something was still unanswered after the close timeout; its
    /// caller has had [`ClientError::Closed`] then. Or why the client had ended before.
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the client closes all the same.
    pub async fn close(&self) -> Result<(), ClientError> {
        let shared = self.shared();
        let limit = shared.config.close_timeout;
        let deadline = Instant::now() + limit;
        {
            let mut pending = shared.pending.lock();
            match &pending.closed {
                Some(ClientError::Closed) => return Ok(()),
                Some(error) => return Err(error.clone()),
                None => {}
            }
            pending.closing.get_or_insert(deadline);
            pending.wake_driver();
        }
        shared.finished.cancelled().await;
        match shared.closed() {
            ClientError::Closed if shared.close_overdue.load(Ordering::Acquire) => {
                Err(ClientError::Deadline {
                    what: "the close",
                    limit,
                })
            }
            ClientError::Closed => Ok(()),
            error => Err(error),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.shared().config.connector.address())
            .finish_non_exhaustive()
    }
}
