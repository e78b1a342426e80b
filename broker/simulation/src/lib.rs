//! Deterministic simulation of the whole broker: the real engine, follower and recovery on a journal
//! and a store in memory, the real connections and the real client, on virtual time. The network,
//! the disk, the clock and the processes fail as the seed says; in the end the history checker
//! decides whether the promises of `docs/semantics.md` were kept.
//!
//! One seed is one run, the same one each time, byte for byte. The idea and its name are
//! FoundationDB's.
//!
//! | file | what stands there |
//! |---|---|
//! | `plan.rs` | what happens in a run, drawn from its seed |
//! | `run.rs` | one run, from the plan to the verdict |
//! | `topic_plan.rs`, `topic_stage.rs` | the same for topics |
//! | `request_plan.rs`, `request_stage.rs` | the same for requests |
//! | `durable_plan.rs` | and to requests of durability `disk` |
//! | `campaign.rs` | many seeds |
//! | `shrink.rs` | from a run that went wrong to a small one |
//! | `house.rs`, `ground.rs` | the broker's process and its disk |
//! | `workshop.rs`, `baton.rs` | its blocking work, step by step on virtual time |
//! | `restless.rs` | finds a broker that goes round without waiting |
//! | `network.rs`, `pipe.rs` | connections |
//! | `producer.rs`, `worker.rs`, `client.rs`, `body.rs` | the load |
//! | `publisher.rs`, `reader.rs` | the load of topics |
//! | `caller.rs`, `durable_caller.rs`, `server.rs` | the load of requests |
//! | `world.rs`, `chronicle.rs`, `request_book.rs` | what all of them share |

mod baton;
mod body;
mod caller;
mod campaign;
mod chronicle;
mod client;
mod dice;
mod durable_caller;
mod durable_plan;
mod ground;
mod house;
mod network;
mod panics;
mod pipe;
mod plan;
mod producer;
mod publisher;
mod reader;
mod request_book;
mod request_plan;
mod request_stage;
mod restless;
mod room;
mod run;
mod server;
mod shrink;
mod topic_plan;
mod topic_stage;
mod trace;
mod worker;
mod workshop;
mod world;

pub use campaign::{Campaign, Discovery, Totals};
pub use plan::Plan;
pub use run::{Outcome, run};
pub use shrink::shrink;
