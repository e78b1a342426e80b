//! The broker as its clients see it: real sockets, real files, raw frames.
//!
//! | file | what it is about |
//! |---|---|
//! | `house.rs` | a broker in a folder of its own: start, stop, drop, start again |
//! | `peer.rs`, `job.rs` | a client that speaks in frames and checks every answer |
//! | `handshake.rs`, `malformed.rs`, `heartbeats.rs` | what is said first, what is said wrong, what is not said |
//! | `pushes.rs`, `producers.rs`, `uploads.rs` | jobs in |
//! | `subscriptions.rs`, `reserves.rs`, `settles.rs`, `sessions.rs` | jobs out |
//! | `topics.rs`, `topic_peer.rs` | topics, and what a peer says about them |
//! | `administration.rs` | stats, peek, pause, purge, checkpoint |
//! | `restarts.rs`, `checkpoints.rs`, `backlog.rs` | what survives, against a model |
//! | `slow.rs`, `fairness.rs`, `journal_full.rs`, `full_disk.rs` | who waits for whom |
//! | `folders.rs`, `stopping.rs`, `failures.rs` | refusing to start, and ending |
//! | `fixtures.rs`, `formats.rs` | folders of earlier builds, and of later ones |
//! | `furnish.rs`, `inventory.rs`, `killed.rs` | a folder with one of everything; what is in a folder; one as a kill leaves it |
//! | `verify.rs`, `backups.rs`, `topic_backups.rs` | the offline check; backups and what is made from them |
//! | `corruption.rs`, `damage.rs`, `verdict.rs` | any file damaged anywhere, and what the broker makes of it |

#![allow(clippy::unwrap_used)] // whatever is not as it should be ends the test

mod administration;
mod backlog;
mod backups;
mod checkpoints;
mod corruption;
mod damage;
mod failures;
mod fairness;
mod fixtures;
mod folders;
mod formats;
mod full_disk;
mod furnish;
mod handshake;
mod heartbeats;
mod house;
mod inventory;
mod job;
mod journal_full;
mod killed;
mod malformed;
mod peer;
mod producers;
mod pushes;
mod reserves;
mod restarts;
mod sessions;
mod settles;
mod slow;
mod stopping;
mod subscriptions;
mod topic_backups;
mod topic_peer;
mod topics;
mod uploads;
mod verdict;
mod verify;
