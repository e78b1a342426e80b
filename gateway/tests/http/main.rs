//! The gateway as an HTTP client sees it, in front of a real broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod fields;
mod limits;
mod log;
mod passing;
mod push;
mod queues;
mod routes;
mod site;
mod smuggling;
mod stored;
mod streams;
mod talk;
