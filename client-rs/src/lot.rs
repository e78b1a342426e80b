//! The jobs of one DELIVER frame: they share their fencing token, their lists and the memory of
//! their bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use verteilt_protocol::{decode_headers, split_payload, wire};

use crate::client::Client;
use crate::error::ClientError;
use crate::settle::SettleKind;
use crate::shared::Shared;

const HELD: u8 = 0;
const SETTLED: u8 = 1;
const LOST: u8 = 2;

/// A DELIVER frame whose bodies are complete.
#[derive(Debug)]
pub(crate) struct Lot {
    pub(crate) queue: Arc<str>,
    /// Which connection of the client brought it, counted from 1.
    pub(crate) generation: u64,
    message: wire::Deliver,
    payload: Bytes,
    /// Bodies that came in parts, by the place of their job.
    assembled: Vec<(usize, Bytes)>,
    states: Box<[AtomicU8]>,
    lost: Mutex<Vec<(u32, CancellationToken)>>,
}

impl Lot {
    /// Checks that the lists fit each other and the payload.
    pub(crate) fn new(
        queue: Arc<str>,
        generation: u64,
        message: wire::Deliver,
        payload: Bytes,
        assembled: Vec<(usize, Bytes)>,
    ) -> Result<Self, ClientError> {
        let jobs = message.ids.len();
        let leases = message.lease_ms.len();
        let lists_fit = message.attempts.len() == jobs
            && message.body_lengths.len() == jobs
            && (leases == jobs || leases == 1)
            && [0, jobs].contains(&message.lengths_to_come.len());
        if !lists_fit {
            return Err(ClientError::protocol(
                "the lists of DELIVER differ in length",
            ));
        }
        check_payload(&message, &payload)?;
        let states = (0..jobs).map(|_| AtomicU8::new(HELD)).collect();
        let lost = Mutex::new(Vec::new());
        Ok(Self {
            queue,
            generation,
            message,
            payload,
            assembled,
            states,
            lost,
        })
    }

    pub(crate) fn jobs(&self) -> usize {
        self.message.ids.len()
    }

    pub(crate) fn token(&self) -> u64 {
        self.message.token
    }

    pub(crate) fn id(&self, index: u32) -> u64 {
        self.message.ids[index as usize]
    }

    pub(crate) fn attempt(&self, index: u32) -> u32 {
        self.message.attempts[index as usize]
    }

    pub(crate) fn lease_ms(&self, index: u32) -> u64 {
        let at = (index as usize).min(self.message.lease_ms.len() - 1);
        self.message.lease_ms[at]
    }

    /// The ids of the jobs from `first` on, each with the token.
    pub(crate) fn leases_from(&self, first: usize) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.message.ids[first..]
            .iter()
            .map(|id| (*id, self.message.token))
    }

    /// The leases that have not been lost.
    pub(crate) fn held(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let states = self.message.ids.iter().zip(&self.states);
        let held = states.filter(|(_, state)| state.load(Ordering::Acquire) != LOST);
        held.map(|(id, _)| (*id, self.message.token))
    }

    pub(crate) fn is_lost(&self, index: u32) -> bool {
        self.states[index as usize].load(Ordering::Acquire) == LOST
    }

    pub(crate) fn is_settled(&self, index: u32) -> bool {
        self.states[index as usize].load(Ordering::Acquire) == SETTLED
    }

    /// The lease of this job has ended without its holder. One that was settled has ended by its
    /// holder: a touch that comes late for it is refused, which means nothing.
    fn mark_lost(&self, index: u32) {
        let mut lost = self.lost.lock();
        let state = &self.states[index as usize];
        if state
            .compare_exchange(HELD, LOST, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return;
        }
        Self::cancel(&mut lost, index);
    }

    /// The holder's own settling was refused.
    fn mark_refused(&self, index: u32) {
        let mut lost = self.lost.lock();
        self.states[index as usize].store(LOST, Ordering::Release);
        Self::cancel(&mut lost, index);
    }

    fn cancel(lost: &mut Vec<(u32, CancellationToken)>, index: u32) {
        lost.retain(|(job, token)| {
            if *job == index {
                token.cancel();
            }
            *job != index
        });
    }

    /// As `mark_lost`, for whichever job has this id.
    pub(crate) fn mark_id_lost(&self, id: u64) {
        if let Some(index) = self.message.ids.iter().position(|known| *known == id) {
            self.mark_lost(index as u32);
        }
    }

    /// The token of this job that is cancelled when the lease is lost. Made when it is asked for:
    /// most jobs never need one.
    pub(crate) fn lost_token(&self, index: u32) -> CancellationToken {
        let mut lost = self.lost.lock();
        if let Some((_, token)) = lost.iter().find(|(job, _)| *job == index) {
            return token.clone();
        }
        let token = CancellationToken::new();
        if self.is_lost(index) {
            token.cancel();
        } else {
            lost.push((index, token.clone()));
        }
        token
    }
}

/// Checks the sums; the bodies are cut out one by one as they are handed out.
fn check_payload(message: &wire::Deliver, payload: &Bytes) -> Result<(), ClientError> {
    let (headers, bodies) = (&message.header_lengths, &message.body_lengths);
    let mut slices = split_payload(payload, headers, bodies)?;
    if !headers.is_empty() {
        slices.try_for_each(|job| decode_headers(&job.headers).map(|_| ()))?;
    }
    Ok(())
}

/// Walks a lot, cutting out one job after the other.
#[derive(Debug)]
pub(crate) struct LotCursor {
    pub(crate) lot: Arc<Lot>,
    pub(crate) next: usize,
    offset: usize,
}

/// A job as it is cut out.
pub(crate) struct Cut {
    pub(crate) index: u32,
    pub(crate) headers: Bytes,
    pub(crate) body: Bytes,
}

impl LotCursor {
    pub(crate) fn new(lot: Arc<Lot>) -> Self {
        Self {
            lot,
            next: 0,
            offset: 0,
        }
    }

    /// The next job; the lengths have been checked against the payload.
    pub(crate) fn cut(&mut self) -> Option<Cut> {
        let index = self.next;
        let lot = &*self.lot;
        let body_bytes = *lot.message.body_lengths.get(index)? as usize;
        let header_bytes = lot
            .message
            .header_lengths
            .get(index)
            .map_or(0, |n| *n as usize);
        let body_at = self.offset + header_bytes;
        let end = body_at + body_bytes;
        let headers = match header_bytes {
            0 => Bytes::new(),
            _ => lot.payload.slice(self.offset..body_at),
        };
        let body = match lot.assembled.iter().find(|(job, _)| *job == index) {
            Some((_, body)) => body.clone(),
            None => lot.payload.slice(body_at..end),
        };
        self.next = index + 1;
        self.offset = end;
        Some(Cut {
            index: index as u32,
            headers,
            body,
        })
    }

    /// Jobs not cut out yet, each with its token.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.lot.leases_from(self.next)
    }
}

/// The right to one job: its id and its fencing token.
#[derive(Clone)]
pub(crate) struct Lease {
    pub(crate) client: Client,
    pub(crate) lot: Arc<Lot>,
    pub(crate) index: u32,
}

impl Lease {
    pub(crate) fn id(&self) -> u64 {
        self.lot.id(self.index)
    }

    pub(crate) fn token(&self) -> u64 {
        self.lot.token()
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.client.shared()
    }

    pub(crate) fn mark_lost(&self) {
        self.lot.mark_refused(self.index);
    }

    /// Whether the job is neither settled nor lost.
    pub(crate) fn is_held(&self) -> bool {
        !self.lot.is_lost(self.index) && !self.lot.is_settled(self.index)
    }

    /// Marks the beginning of a settling: only one that ends the lease, and only once.
    pub(crate) fn begin(&self, kind: SettleKind) -> Result<(), ClientError> {
        let state = &self.lot.states[self.index as usize];
        let next = if kind.is_final() { SETTLED } else { HELD };
        match state.compare_exchange(HELD, next, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(LOST) => Err(ClientError::LeaseLost { id: self.id() }),
            Err(_) => Err(ClientError::AlreadySettled { id: self.id() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot() -> Lot {
        let message = wire::Deliver {
            token: 5,
            ids: vec![10, 11, 12],
            attempts: vec![1, 2, 3],
            lease_ms: vec![30_000],
            body_lengths: vec![1, 0, 2],
            ..wire::Deliver::default()
        };
        Lot::new("q".into(), 1, message, Bytes::from_static(b"abc"), vec![]).unwrap()
    }

    #[test]
    fn jobs_are_cut_out_in_order() {
        let mut cursor = LotCursor::new(Arc::new(lot()));
        let bodies: Vec<_> = std::iter::from_fn(|| cursor.cut())
            .map(|cut| cut.body)
            .collect();
        assert_eq!(bodies, [&b"a"[..], &b""[..], &b"bc"[..]]);
        assert_eq!(cursor.rest().count(), 0);
        assert_eq!(
            (
                cursor.lot.id(2),
                cursor.lot.attempt(2),
                cursor.lot.lease_ms(2)
            ),
            (12, 3, 30_000)
        );
    }

    #[test]
    fn a_lost_lease_cancels_its_token_only() {
        let lot = lot();
        let (first, second) = (lot.lost_token(0), lot.lost_token(1));
        lot.mark_id_lost(11);
        assert!(second.is_cancelled() && !first.is_cancelled());
        assert!(lot.lost_token(1).is_cancelled() && lot.is_lost(1));
    }

    #[test]
    fn a_settled_job_is_not_lost_by_a_late_touch() {
        let lot = lot();
        let token = lot.lost_token(1);
        lot.states[1].store(SETTLED, Ordering::Release);
        lot.mark_id_lost(11);
        assert!(lot.is_settled(1) && !token.is_cancelled());
        // Its holder's own settling was refused: that is another matter.
        lot.mark_refused(1);
        assert!(lot.is_lost(1) && token.is_cancelled());
    }

    #[test]
    fn lists_that_do_not_fit_are_refused() {
        let message = wire::Deliver {
            ids: vec![1],
            attempts: vec![1],
            ..Default::default()
        };
        let refused = Lot::new("q".into(), 1, message, Bytes::new(), vec![]);
        assert!(matches!(refused, Err(ClientError::Protocol { .. })));
    }
}
