//! What has been decided. Durable events are journaled and replayed; the rest of the state
//! (who is connected, what is lent to whom in memory) is rebuilt by clients that come back.

mod request;
mod topic;

pub use request::{AcceptedRequest, RequestEvent};
pub use topic::{Published, TopicEvent};

use bytes::Bytes;

use crate::command::Lengths;
use crate::id::{JobId, Millis, ProducerId, QueueId, SessionId, SubscriptionKey};

/// One thing that happened. An event names ids of one kind only: all durable, or all volatile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker started; `epoch` counts the starts of this data folder.
    Started {
        /// Number of this start.
        epoch: u64,
    },
    /// A queue came into being.
    QueueCreated {
        /// Its number: the count of queues before it.
        queue: QueueId,
        /// The namespace it stands in.
        namespace: String,
        /// Its name there.
        name: String,
    },
    /// Jobs were taken in.
    Pushed(Pushed),
    /// One part of a large body was taken in; it has an id of its own and no job yet.
    PartStored {
        /// Whose upload.
        session: SessionId,
        /// Which upload of that session.
        upload: u64,
        /// The part's own id.
        id: JobId,
        /// The bytes.
        payload: Bytes,
    },
    /// An upload that no push completed is given up.
    UploadDropped {
        /// Whose upload.
        session: SessionId,
        /// Which upload of that session.
        upload: u64,
    },
    /// Jobs were lent to a session. The token of the leases is this event's LSN.
    Leased {
        /// To whom.
        session: SessionId,
        /// The lease token.
        token: u64,
        /// Against which credit; not journaled.
        subscription: SubscriptionKey,
        /// The jobs.
        ids: Vec<JobId>,
    },
    /// Jobs are done, and gone.
    Acked {
        /// The jobs.
        ids: Vec<JobId>,
    },
    /// Runs failed; each job runs again at its time.
    Failed {
        /// Job and the time of its next run.
        jobs: Vec<(JobId, Millis)>,
    },
    /// Jobs used up their runs.
    Died {
        /// The jobs.
        ids: Vec<JobId>,
    },
    /// Leases ended without a result; the jobs take their old place in line.
    Requeued {
        /// The jobs.
        ids: Vec<JobId>,
        /// The run does not count, because the worker gave the job back unharmed.
        excused: bool,
    },
    /// Leases were lengthened.
    Touched {
        /// Job and the new end of its lease.
        jobs: Vec<(JobId, Millis)>,
    },
    /// A queue stopped or resumed handing out jobs.
    QueuePaused {
        /// Which.
        queue: QueueId,
        /// Stopped or resumed.
        paused: bool,
    },
    /// Jobs were removed by an operator.
    Purged {
        /// The jobs.
        ids: Vec<JobId>,
    },
    /// Producers were silent for so long that their windows are dropped.
    ProducersForgotten {
        /// The producers.
        producers: Vec<ProducerId>,
    },
    /// About topics.
    Topic(TopicEvent),
    /// About requests of durability `disk`.
    Request(RequestEvent),
}

/// A batch of jobs that was taken in as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Where to.
    pub queue: QueueId,
    /// Who numbered this push, and how.
    pub producer: Option<(ProducerId, u64)>,
    /// The jobs are `first_id`, `first_id + 1`, ...
    pub first_id: JobId,
    /// Higher first.
    pub priority: i32,
    /// When they may run.
    pub due_ms: Millis,
    /// Counted runs in all.
    pub attempts_max: u16,
    /// Milliseconds of a lease.
    pub lease_ms: u32,
    /// Parts that come before the payload in the body of the (single) job, and their bytes.
    pub parts: Vec<JobId>,
    /// Bytes of those parts together.
    pub parts_bytes: u32,
    /// Which upload brought them; 0 for none.
    pub upload: u64,
    /// Whose upload.
    pub session: SessionId,
    /// How the payload divides into jobs.
    pub lengths: Lengths,
    /// Header block and body of each job, one after the other.
    pub payload: Bytes,
}

impl Pushed {
    /// Jobs in the batch.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lengths.count()
    }
}

impl Event {
    /// Whether it has to be on disk before anyone hears of it.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        let first = match self {
            Self::Pushed(pushed) => Some(&pushed.first_id),
            Self::Leased { ids, .. }
            | Self::Acked { ids }
            | Self::Died { ids }
            | Self::Requeued { ids, .. }
            | Self::Purged { ids } => ids.first(),
            Self::Failed { jobs } | Self::Touched { jobs } => jobs.first().map(|(id, _)| id),
            Self::Started { .. }
            | Self::QueueCreated { .. }
            | Self::PartStored { .. }
            | Self::UploadDropped { .. }
            | Self::QueuePaused { .. }
            | Self::ProducersForgotten { .. }
            | Self::Topic(_)
            | Self::Request(_) => None,
        };
        first.is_none_or(|id| !id.is_volatile())
    }

    /// Jobs that have to be there before the event is applied.
    #[must_use]
    pub fn named_jobs(&self) -> Vec<JobId> {
        match self {
            Self::Leased { ids, .. }
            | Self::Acked { ids }
            | Self::Died { ids }
            | Self::Requeued { ids, .. }
            | Self::Purged { ids } => ids.clone(),
            Self::Failed { jobs } | Self::Touched { jobs } => {
                jobs.iter().map(|(id, _)| *id).collect()
            }
            Self::Pushed(_)
            | Self::Started { .. }
            | Self::QueueCreated { .. }
            | Self::PartStored { .. }
            | Self::UploadDropped { .. }
            | Self::QueuePaused { .. }
            | Self::ProducersForgotten { .. }
            | Self::Topic(_)
            | Self::Request(_) => Vec::new(),
        }
    }
}
