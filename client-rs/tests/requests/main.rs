//! Requests and services, over real sockets and a real broker.
#![allow(clippy::unwrap_used)]

mod house;
mod round_trip;
