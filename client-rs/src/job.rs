//! A leased job in the hands of its worker.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::keep_alive::KeepAlive;
use crate::lot::{Cut, Lease, LotCursor};
use crate::options::{Header, milliseconds};
use crate::settle::{SettleKind, Settling};

/// A job that this client holds a lease on. Settle it by [`Job::ack`], [`Job::nack`] or
/// [`Job::release`] before the lease ends, or lengthen the lease by [`Job::touch`] or
/// [`Job::keep_alive`].
///
/// A job that is dropped unsettled stays leased until the lease ends, then it runs again. The body
/// shares the memory it was received in, up to 1 MiB: copy it before keeping it for long.
pub struct Job {
    lease: Lease,
    headers_block: Bytes,
    headers: OnceLock<Vec<Header>>,
    body: Bytes,
}

impl Job {
    pub(crate) fn new(client: Client, cursor: &LotCursor, cut: Cut) -> Self {
        let lot = std::sync::Arc::clone(&cursor.lot);
        Self {
            lease: Lease {
                client,
                lot,
                index: cut.index,
            },
            headers_block: cut.headers,
            headers: OnceLock::new(),
            body: cut.body,
        }
    }

    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Unique in the broker, growing.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.lease.id()
    }

    /// Which run this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.lease.lot.attempt(self.lease.index)
    }

    /// The queue it was pushed to.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.lease.lot.queue
    }

    /// The fencing token of the lease: it grows with every delivery of the job. Hand it to systems
    /// that can refuse what an earlier holder of the lease still sends.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.lease.token()
    }

    /// How long the lease lasted when the broker sent the job, and lasts again after a touch.
    #[must_use]
    pub fn lease_time(&self) -> Duration {
        Duration::from_millis(self.lease.lot.lease_ms(self.lease.index))
    }

    /// The bytes that were pushed.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The headers that were pushed with it, in their order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        self.headers
            .get_or_init(|| decode_headers(&self.headers_block))
    }

    /// The value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers()
            .iter()
            .find(|header| header.name == name)
            .map(|header| &header.value)
    }

    /// Done: the job never runs again. Answered once that is on the disk.
    ///
    /// Waits through reconnects; the broker then says whether the lease still held.
    ///
    /// # Errors
    /// [`crate::ClientError::LeaseLost`] if the lease had ended: the job runs again elsewhere.
    /// After a lost connection it may also mean that the ack had been done before its answer was
    /// lost.
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the ack takes place all the same.
    pub fn ack(self) -> Settling {
        Settling::new(self.lease, SettleKind::Ack)
    }

    /// Failed: the job runs again after `delay` (at most 366 days), or after the queue's backoff
    /// if `None`, unless its attempts are used up.
    ///
    /// # Errors
    /// [`crate::ClientError::LeaseLost`] if the lease had ended.
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the nack takes place all the same.
    pub fn nack(self, delay: Option<Duration>) -> Settling {
        let delay_ms = delay.map(milliseconds);
        Settling::new(self.lease, SettleKind::Nack { delay_ms })
    }

    /// Not started: the job goes back to its place in the queue.
    ///
    /// # Errors
    /// [`crate::ClientError::LeaseLost`] if the lease had ended.
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the release takes place all the same.
    pub fn release(self) -> Settling {
        Settling::new(self.lease, SettleKind::Release)
    }

    /// Still working: the lease lasts `lease` from now, or its own length again if `None`.
    ///
    /// # Errors
    /// [`crate::ClientError::LeaseLost`] if the lease had ended: stop working.
    ///
    /// # Cancel safety
    /// Dropped after the first poll, the touch takes place all the same.
    pub fn touch(&self, lease: Option<Duration>) -> Settling {
        let lease_ms = lease.map_or(0, milliseconds);
        Settling::new(self.lease.clone(), SettleKind::Touch { lease_ms })
    }

    /// Touches the job at a third of its lease until the guard is dropped. The touches of all jobs
    /// of a client share their frames. Needs [`Job::lost`] to learn of a lease that is lost.
    pub fn keep_alive(&self) -> KeepAlive {
        KeepAlive::new(&self.lease)
    }

    /// Cancelled when the lease is lost: the broker said so, or refused a touch. Stop working then;
    /// the job runs elsewhere.
    #[must_use]
    pub fn lost(&self) -> CancellationToken {
        self.lease.lot.lost_token(self.lease.index)
    }
}

/// The block was checked when its frame came in.
pub(crate) fn decode_headers(block: &Bytes) -> Vec<Header> {
    let entries = verteilt_protocol::decode_headers(block).map(|headers| headers.entries);
    let entries = entries.unwrap_or_default().into_iter();
    entries
        .map(|entry| Header {
            name: entry.name,
            value: entry.value,
        })
        .collect()
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("id", &self.id())
            .field("queue", &self.queue())
            .field("attempt", &self.attempt())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
