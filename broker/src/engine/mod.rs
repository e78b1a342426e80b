//! One shard's loop: take everything that waits, decide it, append what follows to the journal in
//! one batch, and once that is on disk tell everyone concerned.
//!
//! | file | what stands there |
//! |---|---|
//! | `step.rs` | [`Engine`]: the broker without threads, sockets and clocks; simulations drive this |
//! | `appending.rs` | who appends to the journal |
//! | `backup.rs` | a backup on its way out |
//! | `batch.rs` | the journal batch that is being gathered |
//! | `bodies.rs` | where each body lies: memory, journal or store |
//! | `busy_poll.rs` | how long the loop looks for news before it sleeps |
//! | `records.rs` | where each record of a topic lies: the same three |
//! | `reader.rs` | one subscription of a topic: how far it is, what is on its way |
//! | `reading.rs` | who is woken by which partition, and records on their way out |
//! | `requests.rs` | requests to services, which never touch the journal |
//! | `parcels.rs` | answers that wait for bodies to be read |
//! | `peer.rs` | one connection as the loop sees it |
//! | `streams.rs` | bodies too large for one frame |
//! | `run.rs` | the loop that joins the engine to its threads and to connections |
//! | `intake.rs`, `telling.rs` | its two halves: what comes in, what goes out |
//! | `room.rs` | how full the disk is, and what is done about it |
//! | `workers.rs` | the threads that may block, and who may stand in for them |
//! | `disk_work.rs` | what they do: append to the journal, read bodies |
//! | `inbox.rs` | what reaches the loop, and the bound on it |

mod appending;
mod backup;
mod batch;
mod bodies;
mod busy_poll;
mod disk_work;
mod failure;
mod inbox;
mod intake;
mod parcels;
mod peer;
mod reader;
mod reading;
mod records;
mod requests;
mod room;
mod run;
mod settings;
mod step;
mod streams;
mod telling;
#[cfg(test)]
mod tests;
mod workers;

pub(crate) use bodies::{Bodies, Found, Loaded, Source};
pub(crate) use disk_work::read;
pub use failure::Failure;
pub(crate) use inbox::{EngineHandle, Inbound, Request};
pub(crate) use reader::RecordFrame;
pub(crate) use records::Records;
pub(crate) use room::RoomParts;
pub(crate) use run::{EngineParts, run};
pub(crate) use settings::Settings;
pub(crate) use step::Engine;
pub use workers::{Chore, ChoreDone, Workers, Workshop};
