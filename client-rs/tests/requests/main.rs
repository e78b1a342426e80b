//! Requests and services, over real sockets and a real broker.
#![allow(clippy::unwrap_used)]

mod endings;
mod house;
mod lost;
mod registry;
mod round_trip;
mod streams;
