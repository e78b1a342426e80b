//! Settle frames until they are answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;
use verteilt_protocol::{ErrorCode, wire};

use super::writer::Outbox;
use crate::error::ClientError;
use crate::randomness::Randomness;
use crate::reconnect::backoff;
use crate::settle::{SettleBatch, SettleCompletion, SettleKind, Settlement};

const RETRY_DELAY_FIRST: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct SettleLedger {
    random: Arc<Randomness>,
    queue: VecDeque<SettleBatch>,
    /// By correlation.
    sent: VecDeque<(u64, SettleBatch)>,
    hold_until: Option<Instant>,
    /// The touches of kept leases that are on their way.
    keeping: Option<Arc<SettleCompletion>>,
}

/// Leases that the broker says have ended: id and token.
pub(super) type LostLeases = Vec<(u64, u64)>;

impl SettleLedger {
    pub(super) fn new(random: Arc<Randomness>) -> Self {
        Self {
            random,
            queue: VecDeque::new(),
            sent: VecDeque::new(),
            hold_until: None,
            keeping: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.sent.is_empty()
    }

    pub(super) fn add(&mut self, batches: impl IntoIterator<Item = SettleBatch>) {
        self.queue.extend(batches);
    }

    /// The leases that unanswered settlings name.
    pub(super) fn leases(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let sent = self.sent.iter().map(|(_, batch)| batch);
        self.queue.iter().chain(sent).flat_map(SettleBatch::leases)
    }

    /// Whether the last touches of kept leases have been answered.
    pub(super) fn may_keep(&self) -> bool {
        self.keeping
            .as_ref()
            .is_none_or(|keeping| keeping.get().is_some())
    }

    /// Touches leases without anybody waiting.
    pub(super) fn keep(&mut self, leases: &[(u64, u64)], batch_jobs: usize) {
        for some in leases.chunks(batch_jobs) {
            let mut batch = SettleBatch::new(SettleKind::Touch { lease_ms: 0 });
            (batch.ids, batch.tokens) = some.iter().copied().unzip();
            self.keeping = Some(Arc::clone(&batch.completion));
            self.queue.push_back(batch);
        }
    }

    pub(super) fn write(&mut self, outbox: &mut Outbox, correlation: &mut u64) {
        if self.hold_until.is_some() {
            return;
        }
        while let Some(batch) = self.queue.pop_front() {
            *correlation += 1;
            outbox.frames(|out| batch.encode(out, *correlation));
            self.sent.push_back((*correlation, batch));
        }
    }

    /// OK with the cumulative flag: everything up to here is done. Gives the number of jobs.
    pub(super) fn done_up_to(&mut self, correlation: u64) -> usize {
        let mut jobs = 0;
        while self
            .sent
            .front()
            .is_some_and(|(sent, _)| *sent <= correlation)
        {
            if let Some((_, batch)) = self.sent.pop_front() {
                jobs += batch.ids.len();
                batch.completion.complete(Settlement::Done);
            }
        }
        jobs
    }

    /// OK for one frame, with its number of jobs; `None`: it is none of these.
    pub(super) fn done(&mut self, correlation: u64) -> Option<usize> {
        let batch = self.take_sent(correlation)?;
        batch.completion.complete(Settlement::Done);
        Some(batch.ids.len())
    }

    fn take_sent(&mut self, correlation: u64) -> Option<SettleBatch> {
        let at = self
            .sent
            .binary_search_by_key(&correlation, |(sent, _)| *sent)
            .ok()?;
        self.sent.remove(at).map(|(_, batch)| batch)
    }

    /// SETTLED: some of it was refused.
    pub(super) fn settled(
        &mut self,
        correlation: u64,
        settled: &wire::Settled,
    ) -> Result<LostLeases, ClientError> {
        let count = settled.refused_ids.len();
        if count != settled.refused_codes.len() || count != settled.refused_tokens.len() {
            return Err(ClientError::protocol(
                "the lists of SETTLED differ in length",
            ));
        }
        let Some(batch) = self.take_sent(correlation) else {
            return Ok(Vec::new());
        };
        let refused: FxHashMap<(u64, u64), u32> = settled
            .refused_ids
            .iter()
            .copied()
            .zip(settled.refused_tokens.iter().copied())
            .zip(settled.refused_codes.iter().copied())
            .collect();
        let is_lost =
            |lease: &(u64, u64)| refused.get(lease) == Some(&ErrorCode::LeaseLost.number());
        let leases = batch.ids.iter().copied().zip(batch.tokens.iter().copied());
        let lost = leases.filter(is_lost).collect();
        batch.completion.complete(Settlement::Refused(refused));
        Ok(lost)
    }

    /// ERROR for a whole frame; false: it is none of these.
    pub(super) fn refused(&mut self, correlation: u64, error: &ClientError) -> bool {
        let Some(mut batch) = self.take_sent(correlation) else {
            return false;
        };
        if !error.is_retryable() {
            batch.completion.complete(Settlement::Failed(error.clone()));
            return true;
        }
        let delay = backoff(
            RETRY_DELAY_FIRST,
            RETRY_DELAY_MAX,
            batch.refusals,
            &self.random,
        );
        batch.refusals += 1;
        self.hold_until = Some(Instant::now() + delay);
        self.queue.push_front(batch);
        true
    }

    /// A new connection: everything unanswered goes again, in order.
    pub(super) fn reconnected(&mut self) {
        self.hold_until = None;
        for (_, batch) in std::mem::take(&mut self.sent).into_iter().rev() {
            self.queue.push_front(batch);
        }
    }

    /// The end of a pause.
    pub(super) fn resume(&mut self, now: Instant) -> Option<Instant> {
        self.hold_until = self.hold_until.filter(|until| *until > now);
        self.hold_until
    }

    pub(super) fn held_until(&self) -> Option<Instant> {
        self.hold_until
    }

    /// The client has ended.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        self.reconnected();
        for batch in self.queue.drain(..) {
            batch.completion.complete(Settlement::Failed(error.clone()));
        }
    }
}
