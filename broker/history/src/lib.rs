//! The history checker: reads what clients did and saw while a broker was pushed, killed and cut
//! off, and decides whether the promises S1 to S10 of `docs/semantics.md` were kept.
//!
//! A [`History`] is a list of [`Record`]s in the order of real time: operations as they begin and
//! end, deliveries as they are seen, and what was done to the broker meanwhile. A [`Recorder`]
//! collects one inside a test; a file of JSON lines holds one between programs. [`check`] reads it
//! and returns a [`Report`]. A history that is too long for that is cut into sections, each of which
//! ends with all queues empty: [`check_section`] reads one after the other.
//!
//! ```
//! use verteilt_history::{Body, Event, Operation, Options, Push, Pushed, Recorder, check};
//!
//! let recorder = Recorder::default();
//! let push = Push { queue: "mail".into(), bodies: vec![Body::of(b"hello")], ..Push::default() };
//! let operation = recorder.invoke(1, Operation::Push(push));
//! recorder.pushed(operation, Pushed { first_id: 7, ..Pushed::default() });
//! // The broker ends with an empty queue, but nobody ever got job 7: it is lost.
//! recorder.record(Event::Drained { queues: Vec::new() });
//! let report = check(&recorder.finish(), &Options::default());
//! assert!(!report.holds());
//! println!("{report}");
//! ```
//!
//! The checker reports only what is certainly wrong. It knows nothing of the broker's insides: what
//! it concludes follows from the order of the records, from their times within the tolerances of
//! [`Options`], and from the order of lease tokens.
//!
//! Topics have a history of their own, a list of [`TopicRecord`]s, which [`check_topics`] reads, and so
//! have requests: [`RequestRecord`]s and [`check_requests`].
//!
//! Where to start: `record.rs` is what a history says, `facts/` sorts it by job, session and run of
//! the broker, `rules/` has a file for each promise.

mod body;
mod check;
mod facts;
mod findings;
mod history;
mod ids;
mod options;
mod past;
mod record;
mod recorder;
mod report;
mod requests;
mod rule;
mod rules;
mod topics;

pub use body::Body;
pub use check::{check, check_section};
pub use history::{History, ReadError};
pub use options::Options;
pub use past::Past;
pub use record::{
    Delivered, Durability, Event, Operation, Producer, Push, Pushed, QueueEnd, Record,
};
pub use recorder::Recorder;
pub use report::{Counts, Report, Verdict, Violation};
pub use requests::{DurableRecord, RequestOutcome, RequestRecord, check_requests, write_requests};
pub use rule::Rule;
pub use topics::{
    Partition as TopicPartition, Publish as TopicPublish, Read as TopicRead, Start as TopicStart,
    TopicRecord, check_topics, write_topics,
};
