//! Tests of the journal. `bench.rs` holds what they build on.

mod bench;
mod conformance;
mod crash_states;
mod damage;
mod faults;
pub(super) mod hook;
mod model;
mod segments;
mod torn;
