//! The gateway as an HTTP client sees it, in front of a real broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod limits;
mod push;
mod queues;
mod site;
