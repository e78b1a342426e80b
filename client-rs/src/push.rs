//! A push from the caller's side: into the open frame, then waiting for the frame's answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::poll_fn;
use prost::Message;
use tokio::time::Instant;
use verteilt_protocol::{limits, wire};

use crate::batch::{FrameLimits, JOB_OVERHEAD_BYTES, Taken, Ticket};
use crate::client::Client;
use crate::error::ClientError;
use crate::options::{BatchKey, Header, PushOptions, Pushed};
use crate::shared::{Pending, Shared};
use crate::topic::Published;

/// Permits that a batch takes from the budget at one time at most: a frame's worth.
const CHUNK_BYTES: usize = 256 * 1024;

/// A push, as a future. Made by [`Client::push`] and [`Client::push_with`].
///
/// Nothing is sent before the first poll. Dropped after it, the job is pushed all the same and
/// nobody hears its id: dropping does not cancel a push.
#[must_use = "a push does nothing unless it is awaited"]
pub struct Pushing<'a> {
    client: &'a Client,
    state: State<'a>,
}

enum State<'a> {
    Start {
        queue: &'a str,
        body: Bytes,
        options: Option<&'a PushOptions>,
    },
    /// The budget is used up, or the body is large.
    Slow(Pin<Box<dyn Future<Output = Result<Pushed, ClientError>> + Send + 'a>>),
    Waiting(Ticket),
    Done,
}

impl<'a> Pushing<'a> {
    pub(crate) fn new(
        client: &'a Client,
        queue: &'a str,
        body: Bytes,
        options: Option<&'a PushOptions>,
    ) -> Self {
        Self {
            client,
            state: State::Start {
                queue,
                body,
                options,
            },
        }
    }
}

impl std::fmt::Debug for Pushing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Start { .. } => "not begun",
            State::Slow(_) | State::Waiting(_) => "waiting",
            State::Done => "done",
        };
        f.debug_tuple("Pushing").field(&state).finish()
    }
}

impl Future for Pushing<'_> {
    type Output = Result<Pushed, ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let result = match &mut this.state {
            State::Waiting(ticket) => std::task::ready!(ticket.poll(context)),
            State::Slow(slow) => std::task::ready!(slow.as_mut().poll(context)),
            State::Start { .. } => match this.start(context) {
                Ok(true) => return Poll::Pending,
                // The slow way has to be polled once.
                Ok(false) => return self.poll(context),
                Err(error) => Err(error),
            },
            State::Done => return Poll::Pending,
        };
        this.state = State::Done;
        Poll::Ready(result)
    }
}

impl Pushing<'_> {
    /// True: the job is in a frame and the waker is left there.
    fn start(&mut self, context: &Context<'_>) -> Result<bool, ClientError> {
        let State::Start {
            queue,
            body,
            options,
        } = std::mem::replace(&mut self.state, State::Done)
        else {
            return Ok(false);
        };
        let shared = self.client.shared();
        let job = JobToPush::new(shared, queue, body, options)?;
        let cost_bytes = job.cost_bytes();
        let fits = job.fits_frame(&FrameLimits::PROTOCOL);
        let permit = if fits {
            shared.budget.try_acquire_many(cost_bytes as u32).ok()
        } else {
            None
        };
        let Some(permit) = permit else {
            let client = self.client;
            self.state = State::Slow(Box::pin(job.push_slowly(client)));
            return Ok(false);
        };
        let ticket = job.append(shared)?;
        // Given back by the driver with the answer.
        permit.forget();
        let waits = ticket.completion.register(ticket.slot, context.waker());
        self.state = State::Waiting(ticket);
        if !waits {
            // Answered already: by another thread, between the lock and here.
            context.waker().wake_by_ref();
        }
        Ok(true)
    }
}

impl Ticket {
    /// Waits for the answer of the frame.
    pub(crate) fn poll(&self, context: &Context<'_>) -> Poll<Result<Pushed, ClientError>> {
        let taken = std::task::ready!(self.poll_taken(context));
        Poll::Ready(taken.map(|taken| Pushed {
            id: taken.first_id + u64::from(self.slot),
            durability: taken.durability,
            duplicate: taken.duplicate,
        }))
    }

    /// As `poll`, for a record.
    pub(crate) fn poll_published(
        &self,
        context: &Context<'_>,
    ) -> Poll<Result<Published, ClientError>> {
        let taken = std::task::ready!(self.poll_taken(context));
        Poll::Ready(taken.map(|taken| Published {
            partition: taken.partition,
            offset: taken.first_id + u64::from(self.slot),
            duplicate: taken.duplicate,
        }))
    }

    fn poll_taken(&self, context: &Context<'_>) -> Poll<Result<Taken, ClientError>> {
        let completion = &self.completion;
        if completion.get().is_none() && completion.register(self.slot, context.waker()) {
            return Poll::Pending;
        }
        let taken = completion
            .get()
            .expect("register says false only with an answer there");
        Poll::Ready(taken.clone())
    }
}

/// A record whose options have been checked.
pub(crate) struct RecordToPublish<'a> {
    topic: &'a str,
    batch: BatchKey,
    key: Option<&'a [u8]>,
    value: &'a [u8],
    headers: Option<wire::Headers>,
    bytes: usize,
}

impl<'a> RecordToPublish<'a> {
    pub(crate) fn new(
        topic: &'a str,
        batch: BatchKey,
        key: Option<&'a [u8]>,
        headers: &[Header],
        value: &'a [u8],
    ) -> Result<Self, ClientError> {
        let headers = to_wire(headers);
        let header_bytes = headers.as_ref().map_or(0, Message::encoded_len);
        let bytes = key.map_or(0, <[u8]>::len) + header_bytes + value.len();
        let limit = limits::RECORD_BYTES_MAX as u64;
        if bytes as u64 > limit {
            let bytes = bytes as u64;
            return Err(ClientError::BodyTooLarge { bytes, limit });
        }
        check_sizes(&FrameLimits::PROTOCOL, value.len(), header_bytes)?;
        Ok(Self {
            topic,
            batch,
            key,
            value,
            headers,
            bytes,
        })
    }

    pub(crate) fn cost_bytes(&self) -> usize {
        self.bytes + JOB_OVERHEAD_BYTES
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.batch.deadline
    }

    /// Puts the record into the open frame. Its budget has been taken.
    pub(crate) fn append(self, shared: &Shared) -> Result<Ticket, ClientError> {
        let mut pending = shared.pending.lock();
        pending.check_open()?;
        let pushes = &mut pending.pushes;
        let batch = pushes.batch_for(self.topic, &self.batch, 1, self.bytes)?;
        let slot = batch.jobs() as u32;
        batch.append_record(self.key, self.value, self.headers.as_ref());
        let ticket = Ticket {
            completion: Arc::clone(&batch.completion),
            slot,
        };
        shared.wake_for_push(pending, self.batch.deadline);
        Ok(ticket)
    }
}

/// A job whose options have been checked.
struct JobToPush<'a> {
    queue: &'a str,
    body: Bytes,
    key: BatchKey,
    headers: Option<wire::Headers>,
    header_bytes: usize,
}

impl<'a> JobToPush<'a> {
    fn new(
        shared: &Shared,
        queue: &'a str,
        body: Bytes,
        options: Option<&PushOptions>,
    ) -> Result<Self, ClientError> {
        let key = shared.key_of(options)?;
        let headers = options.and_then(|options| to_wire(&options.headers));
        let header_bytes = headers.as_ref().map_or(0, Message::encoded_len);
        Ok(Self {
            queue,
            body,
            key,
            headers,
            header_bytes,
        })
    }

    fn cost_bytes(&self) -> usize {
        self.body.len() + self.header_bytes + JOB_OVERHEAD_BYTES
    }

    fn fits_frame(&self, limits: &FrameLimits) -> bool {
        self.body.len() + self.header_bytes <= limits.single_bytes()
    }

    /// Puts the job into the open frame. Its budget has been taken.
    fn append(self, shared: &Shared) -> Result<Ticket, ClientError> {
        let mut pending = shared.pending.lock();
        pending.check_open()?;
        let limits = pending.pushes.limits;
        check_sizes(&limits, self.body.len(), self.header_bytes)?;
        if !self.fits_frame(&limits) {
            let headers = self.headers.as_ref();
            let ticket = pending.pushes.append_upload(
                self.queue,
                &self.key,
                self.body,
                headers,
                shared.config.push_bytes_max as usize,
            )?;
            shared.wake_for_push(pending, self.key.deadline);
            return Ok(ticket);
        }
        let bytes = self.body.len() + self.header_bytes;
        let batch = pending.pushes.batch_for(self.queue, &self.key, 1, bytes)?;
        let slot = batch.jobs() as u32;
        batch.append(&self.body, self.headers.as_ref());
        let ticket = Ticket {
            completion: Arc::clone(&batch.completion),
            slot,
        };
        shared.wake_for_push(pending, self.key.deadline);
        Ok(ticket)
    }

    async fn push_slowly(self, client: &Client) -> Result<Pushed, ClientError> {
        let shared = client.shared();
        check_sizes(&FrameLimits::PROTOCOL, self.body.len(), self.header_bytes)?;
        let deadline = self.key.deadline;
        let permit = shared.take_budget(self.cost_bytes(), deadline).await?;
        let ticket = self.append(shared)?;
        permit.forget();
        poll_fn(|context| ticket.poll(context)).await
    }
}

fn check_sizes(limits: &FrameLimits, body: usize, headers: usize) -> Result<(), ClientError> {
    // The limit holds for both together.
    let bytes = body as u64 + headers as u64;
    if bytes > limits.body_bytes {
        return Err(ClientError::BodyTooLarge {
            bytes,
            limit: limits.body_bytes,
        });
    }
    if headers > limits.header_bytes {
        let limit = limits.header_bytes as u64;
        return Err(ClientError::HeadersTooLarge {
            bytes: headers as u64,
            limit,
        });
    }
    Ok(())
}

fn to_wire(headers: &[Header]) -> Option<wire::Headers> {
    if headers.is_empty() {
        return None;
    }
    let entry = |header: &Header| wire::Header {
        name: header.name.clone(),
        value: header.value.clone(),
    };
    Some(wire::Headers {
        entries: headers.iter().map(entry).collect(),
    })
}

impl Pending {
    fn check_open(&self) -> Result<(), ClientError> {
        match &self.closed {
            Some(error) => Err(error.clone()),
            None if self.closing.is_some() => Err(ClientError::Closed),
            None => Ok(()),
        }
    }
}

impl Shared {
    fn key_of(&self, options: Option<&PushOptions>) -> Result<BatchKey, ClientError> {
        let deadline = self.config.push_deadline;
        match options {
            Some(options) => BatchKey::of(options, deadline),
            None => Ok(BatchKey {
                deadline,
                ..BatchKey::default()
            }),
        }
    }

    /// Lets the driver know, outside of the lock.
    fn wake_for_push(
        &self,
        mut pending: parking_lot::MutexGuard<'_, Pending>,
        deadline: Option<Duration>,
    ) {
        if let Some(after) = deadline {
            pending.lower_due(Instant::now() + after);
        }
        let driver = pending.driver_for_push();
        drop(pending);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// Waits until so many bytes more may be unanswered. A single body larger than the whole budget
    /// waits for all of it.
    pub(crate) async fn take_budget(
        &self,
        bytes: usize,
        deadline: Option<Duration>,
    ) -> Result<tokio::sync::SemaphorePermit<'_>, ClientError> {
        let bytes = bytes.min(self.config.push_bytes_max as usize) as u32;
        let acquire = self.budget.acquire_many(bytes);
        let permit =
            match deadline {
                None => acquire.await,
                Some(limit) => tokio::time::timeout(limit, acquire).await.map_err(|_| {
                    ClientError::Deadline {
                        what: "the push",
                        limit,
                    }
                })?,
            };
        permit.map_err(|_| self.closed())
    }

    /// Pushes many jobs: as one frame if they fit, which is then taken as a whole or not at all.
    pub(crate) async fn push_batch(
        &self,
        queue: &str,
        bodies: &[Bytes],
        options: &PushOptions,
    ) -> Result<Vec<u64>, ClientError> {
        let key = self.key_of(Some(options))?;
        let headers = to_wire(&options.headers);
        let header_bytes = headers.as_ref().map_or(0, Message::encoded_len);
        let mut tickets = Vec::new();
        let mut rest = bodies;
        while !rest.is_empty() {
            let limits = self.pending.lock().pushes.limits;
            let (jobs, bytes) = chunk(rest, header_bytes, &limits)?;
            let cost_bytes = bytes + jobs * JOB_OVERHEAD_BYTES;
            let permit = self.take_budget(cost_bytes, key.deadline).await?;
            let (now, later) = rest.split_at(jobs);
            tickets.push((
                self.append_chunk(queue, &key, now, headers.as_ref(), bytes)?,
                jobs,
            ));
            permit.forget();
            rest = later;
        }
        let mut ids = Vec::with_capacity(bodies.len());
        for (ticket, jobs) in &tickets {
            let first = poll_fn(|context| ticket.poll(context)).await?.id;
            ids.extend(first..first + *jobs as u64);
        }
        Ok(ids)
    }

    fn append_chunk(
        &self,
        queue: &str,
        key: &BatchKey,
        bodies: &[Bytes],
        headers: Option<&wire::Headers>,
        bytes: usize,
    ) -> Result<Ticket, ClientError> {
        let mut pending = self.pending.lock();
        pending.check_open()?;
        let limits = pending.pushes.limits;
        if let [body] = bodies
            && bytes > limits.single_bytes()
        {
            let body = body.clone();
            let budget = self.config.push_bytes_max as usize;
            let ticket = pending
                .pushes
                .append_upload(queue, key, body, headers, budget)?;
            self.wake_for_push(pending, key.deadline);
            return Ok(ticket);
        }
        let batch = pending.pushes.batch_for(queue, key, bodies.len(), bytes)?;
        let slot = batch.jobs() as u32;
        for body in bodies {
            batch.append(body, headers);
        }
        let ticket = Ticket {
            completion: Arc::clone(&batch.completion),
            slot,
        };
        self.wake_for_push(pending, key.deadline);
        Ok(ticket)
    }
}

/// How many of these jobs go into one frame, and their bytes. At least one.
fn chunk(
    bodies: &[Bytes],
    header_bytes: usize,
    limits: &FrameLimits,
) -> Result<(usize, usize), ClientError> {
    let mut bytes = 0;
    for (count, body) in bodies.iter().enumerate() {
        check_sizes(limits, body.len(), header_bytes)?;
        let with = bytes + body.len() + header_bytes;
        if count == limits.batch_jobs || (count > 0 && with > CHUNK_BYTES) {
            return Ok((count, bytes));
        }
        bytes = with;
    }
    Ok((bodies.len(), bytes))
}
