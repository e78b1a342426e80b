//! The task behind a client: connects, speaks with the broker, connects again. It owns everything
//! that is on its way; callers leave their wishes in [`Shared::pending`].
//!
//! | file | what it knows |
//! |---|---|
//! | `handshake` | from nothing to a connection |
//! | `session` | one connection: reads, writes, heartbeats |
//! | `collect` | from callers' wishes to frames; everything with a time |
//! | `answers` | what each frame of the broker means |
//! | `pushes`, `settles`, `calls` | what is unanswered, and its repetition |
//! | `requests` | requests that are waited for or served |
//! | `deliveries` | jobs on their way in |
//! | `reader`, `writer`, `timer` | the tools |

mod answers;
mod calls;
mod collect;
mod deliveries;
mod handshake;
mod pushes;
mod reader;
mod requests;
mod session;
mod settles;
mod timer;
mod writer;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::calls::CallLedger;
use self::deliveries::Deliveries;
use self::handshake::{Connection, connect, frame_limits};
use self::pushes::PushLedger;
use self::requests::RequestLedger;
use self::session::{Parting, Session};
use self::settles::SettleLedger;
use self::timer::Timer;
use crate::batch::PushBatch;
use crate::call::{Call, Command};
use crate::error::ClientError;
use crate::events::ConnectionEvent;
use crate::reconnect::backoff;
use crate::settle::Settlement;
use crate::shared::Shared;

/// A connection that lasted this long was a good one: the waits start anew.
const GOOD_CONNECTION: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    /// The caller of `connect`.
    ready: Option<oneshot::Sender<Result<(), ClientError>>>,
    connected_before: bool,
    pushes: PushLedger,
    settles: SettleLedger,
    calls: CallLedger,
    deliveries: Deliveries,
    requests: RequestLedger,
    timer: Timer,
    /// Callers that were answered or given a job since frames were last taken from them: so many
    /// are likely to ask for something next.
    expected: usize,
    /// Until when `close` waits.
    closing: Option<Instant>,
    /// Why the client has ended, for those who still wait.
    end: ClientError,
}

impl Driver {
    pub(crate) fn new(
        shared: Arc<Shared>,
        ready: oneshot::Sender<Result<(), ClientError>>,
    ) -> Self {
        Self {
            pushes: PushLedger::new(Arc::clone(&shared)),
            settles: SettleLedger::new(Arc::clone(&shared.config.random)),
            calls: CallLedger::new(shared.config.request_timeout),
            deliveries: Deliveries::new(),
            requests: RequestLedger::new(shared.config.gateway),
            timer: Timer::default(),
            ready: Some(ready),
            connected_before: false,
            expected: 0,
            closing: None,
            end: ClientError::Closed,
            shared,
        }
    }

    /// Runs until the client ends. Dropped earlier, it cleans up all the same.
    pub(crate) async fn run(mut self) {
        self.end = self.live().await;
        tracing::debug!(reason = %self.end, "the client has ended");
    }

    async fn live(&mut self) -> ClientError {
        let mut attempt = 0;
        let mut without_since = Instant::now();
        loop {
            let shared = Arc::clone(&self.shared);
            let held = self.held();
            let connecting = connect(&shared, &held);
            let (reason, in_handshake) = match self.meanwhile(connecting).await {
                Err(end) => return end,
                Ok(Ok(connection)) => {
                    let begun = Instant::now();
                    match self.connected(connection).await {
                        Parting::Closed => return ClientError::Closed,
                        Parting::Lost(error) => {
                            self.disconnected(&error);
                            without_since = Instant::now();
                            if begun.elapsed() >= GOOD_CONNECTION {
                                attempt = 0;
                            }
                            (error, false)
                        }
                    }
                }
                Ok(Err(error)) => (error, true),
            };
            if let Some(end) = self.final_reason(&reason, in_handshake, without_since) {
                return end;
            }
            let policy = &shared.config.reconnect;
            let delay = backoff(
                policy.delay_first,
                policy.delay_max,
                attempt,
                &shared.config.random,
            );
            attempt = attempt.saturating_add(1);
            tracing::debug!(%reason, attempt, ?delay, "connecting again");
            shared.tell(ConnectionEvent::Reconnecting { attempt, delay });
            if let Err(end) = self.meanwhile(tokio::time::sleep(delay)).await {
                return end;
            }
        }
    }

    /// The leases that jobs in somebody's hands or unanswered settlings stand for: the broker ends
    /// the others, whose DELIVER never arrived.
    fn held(&self) -> Vec<(u64, u64)> {
        let mut held = self.deliveries.held();
        held.extend(self.settles.leases());
        held.extend(self.shared.pending.lock().settles.leases());
        held.sort_unstable();
        held.dedup();
        held
    }

    /// Whether it makes no sense to connect again.
    fn final_reason(
        &self,
        reason: &ClientError,
        in_handshake: bool,
        without_since: Instant,
    ) -> Option<ClientError> {
        if reason.ends_client(in_handshake) {
            return Some(reason.clone());
        }
        if let Some(reason) = self.shared.config.connector.ended() {
            return Some(ClientError::BrokerEnded { reason });
        }
        let after = without_since.elapsed();
        let config = &self.shared.config;
        if !self.connected_before {
            return (after >= config.connect_wait).then(|| reason.clone());
        }
        let deadline = config.reconnect.deadline?;
        let reason = reason.to_string();
        (after >= deadline).then_some(ClientError::ReconnectGaveUp { after, reason })
    }

    /// Waits for something while there is no connection; deadlines go on. Err: the client ends.
    async fn meanwhile<F: Future>(&mut self, future: F) -> Result<F::Output, ClientError> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.poll_offline(context)? {
                return Poll::Ready(Err(ClientError::Closed));
            }
            future.as_mut().poll(context).map(Ok)
        })
        .await
    }

    /// True: the client was asked to close and may.
    fn poll_offline(&mut self, context: &mut Context<'_>) -> Result<bool, ClientError> {
        loop {
            let (commands, closes) = {
                let mut pending = self.shared.pending.lock();
                self.timer.lower(pending.due);
                let closes = self.closing.is_none() && pending.closing.is_some();
                self.closing = pending.closing;
                pending.park_driver(context.waker(), false);
                pending.wishes = 0;
                (std::mem::take(&mut pending.commands), closes)
            };
            for command in commands {
                self.obey(command, None);
            }
            if closes {
                self.begin_closing(None);
            }
            self.lower_timer();
            if self.may_leave()? {
                return Ok(true);
            }
            if self.timer.poll(context).is_pending() {
                return Ok(false);
            }
            self.sweep(None)?;
        }
    }

    async fn connected(&mut self, connection: Connection) -> Parting {
        let (now, shared) = (Instant::now(), Arc::clone(&self.shared));
        let welcome = &connection.welcome;
        let resumed = std::mem::replace(&mut self.connected_before, true);
        tracing::debug!(
            epoch = welcome.epoch,
            resumed,
            leases_held = welcome.leases_held,
            "connected"
        );
        shared.generation.fetch_add(1, Ordering::AcqRel);
        {
            let mut pending = shared.pending.lock();
            pending.pushes.limits = frame_limits(welcome);
            pending.touch_all_now(now);
        }
        self.pushes.reconnected(welcome.push_credit);
        self.settles.reconnected();
        self.calls.reconnected();
        self.deliveries.reconnected();
        let subscriptions: Vec<_> = self
            .deliveries
            .inboxes()
            .map(|inbox| inbox.subscription)
            .chain(self.deliveries.consumers().map(|inbox| inbox.subscription))
            .chain(self.requests.services())
            .collect();
        for subscription in subscriptions {
            self.subscribe_again(subscription);
        }
        shared.tell(ConnectionEvent::Connected {
            epoch: welcome.epoch,
            resumed,
        });
        if let Some(ready) = self.ready.take() {
            // A caller who has gone takes the client with it.
            let _ = ready.send(Ok(()));
        }
        let mut session = Session::new(connection, now);
        self.requests
            .reconnected(&mut session.outbox, &mut session.correlation);
        match self.handle_frames(&mut session) {
            Ok(()) => self.serve(&mut session).await,
            Err(error) => Parting::Lost(error),
        }
    }

    fn disconnected(&mut self, error: &ClientError) {
        // Jobs of this connection that nobody has begun are not handed out any more.
        self.shared.generation.fetch_add(1, Ordering::AcqRel);
        self.requests.disconnected();
        let reason = error.to_string();
        tracing::warn!(%reason, "the connection to the broker is lost");
        self.shared.tell(ConnectionEvent::Disconnected { reason });
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let error = self.end.clone();
        let shared = Arc::clone(&self.shared);
        let (commands, settles, batches) = {
            let mut pending = shared.pending.lock();
            pending.closed = Some(error.clone());
            pending.kept.clear();
            let batches: Vec<PushBatch> = std::iter::from_fn(|| pending.pushes.take()).collect();
            (
                std::mem::take(&mut pending.commands),
                pending.settles.take(),
                batches,
            )
        };
        shared.budget.close();
        shared.calls.close();
        shared.results.close();
        for command in commands {
            match command {
                Command::Call(mut call) => drop(Call::finish(&mut call, Err(error.clone()))),
                Command::Register(inbox) => inbox.close(Some(error.clone())),
                Command::RegisterConsumer(inbox) => inbox.close(Some(error.clone())),
                Command::Cancel { .. } | Command::Unregister { .. } => {}
                Command::Wish(wish) => wish.fail(&error),
            }
        }
        for batch in batches {
            batch.completion.complete(Err(error.clone()));
        }
        for batch in settles {
            batch.completion.complete(Settlement::Failed(error.clone()));
        }
        self.pushes.fail_all(&error);
        self.settles.fail_all(&error);
        self.calls.fail_all(&error);
        self.requests.fail_all(&error);
        let by_wish = matches!(error, ClientError::Closed);
        self.deliveries.close_all((!by_wish).then_some(&error));
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(Err(error));
        }
        shared.tell(ConnectionEvent::Closed);
        shared.finished.cancel();
    }
}
