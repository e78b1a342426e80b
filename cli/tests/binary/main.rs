//! The real binary against a real broker process: what a person at a terminal would see.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backup;
mod bench;
mod braces;
mod configuration;
mod drain;
mod faults;
mod full_disk;
mod gateway;
mod gateways;
mod leases;
mod output;
mod process;
mod push;
mod queue;
mod restarts;
mod result;
mod results;
mod round_trip;
mod serve;
mod service;
mod signals;
mod topic;
mod torture;
mod up;
mod verify;
mod worker;
