//! Acks, nacks, releases and touches under construction: single ones of many callers become one
//! frame with parallel lists and one answer.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use rustc_hash::FxHashMap;
use verteilt_protocol::{ErrorCode, FrameType, encode, wire};

use crate::completion::Completion;
use crate::error::ClientError;
use crate::lot::Lease;
use crate::shared::Shared;

/// How many of the newest frames are looked at for one that fits.
const OPEN_LOOKED_AT: usize = 8;

/// What is to become of a leased job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettleKind {
    Ack,
    Release,
    /// `None`: the queue's backoff.
    Nack {
        delay_ms: Option<u64>,
    },
    /// 0: the job's own lease again.
    Touch {
        lease_ms: u64,
    },
}

impl SettleKind {
    /// Whether the lease ends by it.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Touch { .. })
    }
}

/// What the broker said about a frame.
#[derive(Debug)]
pub(crate) enum Settlement {
    Done,
    /// Done but for these ids, each with its code.
    Refused(FxHashMap<(u64, u64), u32>),
    Failed(ClientError),
}

pub(crate) type SettleCompletion = Completion<Settlement>;

/// Settlings of one kind, one frame.
pub(crate) struct SettleBatch {
    pub(crate) kind: SettleKind,
    pub(crate) ids: Vec<u64>,
    pub(crate) tokens: Vec<u64>,
    /// Times that the broker has asked to come again.
    pub(crate) refusals: u32,
    pub(crate) completion: Arc<SettleCompletion>,
}

impl SettleBatch {
    /// The leases it names.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ids.iter().copied().zip(self.tokens.iter().copied())
    }

    pub(crate) fn new(kind: SettleKind) -> Self {
        Self {
            kind,
            ids: Vec::new(),
            tokens: Vec::new(),
            refusals: 0,
            completion: Arc::new(Completion::with_capacity(0)),
        }
    }

    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut BytesMut, correlation: u64) {
        let ids = self.ids.clone();
        let tokens = match self.tokens.first() {
            Some(first) if self.tokens.iter().all(|token| token == first) => vec![*first],
            _ => self.tokens.clone(),
        };
        match self.kind {
            SettleKind::Ack => {
                let message = wire::Settle { ids, tokens };
                encode(out, FrameType::Ack, 0, correlation, &message, &[]);
            }
            SettleKind::Release => {
                let message = wire::Settle { ids, tokens };
                encode(out, FrameType::Release, 0, correlation, &message, &[]);
            }
            SettleKind::Nack { delay_ms } => {
                let message = wire::Nack {
                    ids,
                    tokens,
                    delay_ms,
                };
                encode(out, FrameType::Nack, 0, correlation, &message, &[]);
            }
            SettleKind::Touch { lease_ms } => {
                let message = wire::Touch {
                    ids,
                    tokens,
                    lease_ms,
                };
                encode(out, FrameType::Touch, 0, correlation, &message, &[]);
            }
        }
    }
}

impl Drop for SettleBatch {
    fn drop(&mut self) {
        // A frame that is dropped without an answer (the driver ended) leaves nobody waiting.
        if self.completion.get().is_none() {
            self.completion
                .complete(Settlement::Failed(ClientError::Closed));
        }
    }
}

/// All frames that the driver has not taken yet. Bounded by the jobs that are held.
#[derive(Default)]
pub(crate) struct SettleQueue {
    batches: VecDeque<SettleBatch>,
    pub(crate) jobs: usize,
}

impl SettleQueue {
    /// The leases that are named in it.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.batches.iter().flat_map(SettleBatch::leases)
    }

    /// Appends one settling to the newest frame of its kind, and gives its place.
    pub(crate) fn append(
        &mut self,
        kind: SettleKind,
        id: u64,
        token: u64,
        batch_jobs: usize,
    ) -> (&SettleBatch, u32) {
        self.jobs += 1;
        let newest = self.batches.len().saturating_sub(OPEN_LOOKED_AT);
        let known = (newest..self.batches.len())
            .rev()
            .find(|at| self.batches[*at].kind == kind && self.batches[*at].ids.len() < batch_jobs);
        let at = known.unwrap_or_else(|| {
            self.batches.push_back(SettleBatch::new(kind));
            self.batches.len() - 1
        });
        let batch = &mut self.batches[at];
        batch.ids.push(id);
        batch.tokens.push(token);
        (batch, batch.ids.len() as u32 - 1)
    }

    /// Takes everything. Touches stand first: one for a job that is also acked still counts.
    pub(crate) fn take(&mut self) -> Vec<SettleBatch> {
        self.jobs = 0;
        let mut batches: Vec<_> = self.batches.drain(..).collect();
        batches.sort_by_key(|batch| batch.kind.is_final());
        batches
    }
}

/// The settling of one job, as a future. Made by [`crate::Job::ack`] and its sisters.
///
/// Nothing is sent before the first poll. Dropped after it, the settling takes place all the same
/// and nobody hears of its result.
#[must_use = "a settling does nothing unless it is awaited"]
pub struct Settling {
    lease: Lease,
    kind: SettleKind,
    state: SettlingState,
}

enum SettlingState {
    Start,
    Waiting {
        completion: Arc<SettleCompletion>,
        slot: u32,
    },
}

impl Settling {
    pub(crate) fn new(lease: Lease, kind: SettleKind) -> Self {
        Self {
            lease,
            kind,
            state: SettlingState::Start,
        }
    }
}

impl std::fmt::Debug for Settling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settling")
            .field("id", &self.lease.id())
            .field("kind", &self.kind)
            .finish()
    }
}

impl Future for Settling {
    type Output = Result<(), ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if matches!(this.state, SettlingState::Start) {
            this.lease.begin(this.kind)?;
            let shared = this.lease.shared();
            let (completion, slot) =
                shared.settle(this.kind, this.lease.id(), this.lease.token())?;
            this.state = SettlingState::Waiting { completion, slot };
        }
        let SettlingState::Waiting { completion, slot } = &this.state else {
            return Poll::Pending;
        };
        if completion.get().is_none() && completion.register(*slot, context.waker()) {
            return Poll::Pending;
        }
        let settlement = completion
            .get()
            .expect("register says false only with an answer there");
        Poll::Ready(verdict(settlement, &this.lease))
    }
}

fn verdict(settlement: &Settlement, lease: &Lease) -> Result<(), ClientError> {
    match settlement {
        Settlement::Done => Ok(()),
        Settlement::Failed(error) => Err(error.clone()),
        Settlement::Refused(refused) => match refused.get(&(lease.id(), lease.token())) {
            None => Ok(()),
            Some(code) if *code == ErrorCode::LeaseLost.number() => {
                lease.mark_lost();
                Err(ClientError::LeaseLost { id: lease.id() })
            }
            Some(code) => Err(ClientError::refused_number(*code)),
        },
    }
}

impl Shared {
    /// Puts a settling among those that leave with the driver's next write.
    pub(crate) fn settle(
        &self,
        kind: SettleKind,
        id: u64,
        token: u64,
    ) -> Result<(Arc<SettleCompletion>, u32), ClientError> {
        let mut pending = self.pending.lock();
        if let Some(error) = &pending.closed {
            return Err(error.clone());
        }
        let batch_jobs = pending.pushes.limits.batch_jobs;
        let (batch, slot) = pending.settles.append(kind, id, token, batch_jobs);
        let completion = Arc::clone(&batch.completion);
        pending.wake_driver();
        Ok((completion, slot))
    }

    /// Settles without anybody waiting: leases that nobody is going to use.
    pub(crate) fn settle_unheard(
        &self,
        kind: SettleKind,
        leases: impl Iterator<Item = (u64, u64)>,
    ) {
        let mut pending = self.pending.lock();
        if pending.closed.is_some() {
            return;
        }
        let batch_jobs = pending.pushes.limits.batch_jobs;
        for (id, token) in leases {
            pending.settles.append(kind, id, token, batch_jobs);
        }
        pending.wake_driver();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_a_kind_touches_first() {
        let mut queue = SettleQueue::default();
        for id in 0..3 {
            queue.append(SettleKind::Ack, id, 9, 100);
        }
        queue.append(SettleKind::Nack { delay_ms: None }, 7, 9, 100);
        queue.append(SettleKind::Touch { lease_ms: 0 }, 1, 9, 100);
        let (_, slot) = queue.append(SettleKind::Ack, 5, 9, 100);
        assert_eq!(slot, 3);
        let batches = queue.take();
        let ids: Vec<_> = batches.iter().map(|batch| batch.ids.clone()).collect();
        assert_eq!(ids, [vec![1], vec![0, 1, 2, 5], vec![7]]);
        assert_eq!(queue.jobs, 0);
    }

    #[test]
    fn a_full_frame_is_followed_by_another() {
        let mut queue = SettleQueue::default();
        for id in 0..5 {
            queue.append(SettleKind::Ack, id, id, 2);
        }
        let sizes: Vec<_> = queue.take().iter().map(|batch| batch.ids.len()).collect();
        assert_eq!(sizes, [2, 2, 1]);
    }
}
