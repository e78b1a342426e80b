//! The HTTP gateway of Verteilt: requests from outside go to services over the queue, and their answers
//! come back, both piece by piece where they are large. It also pushes jobs and shows queues.
//!
//! An ordinary client of the broker: it holds no state of its own, so any number can run.
//!
//! | method and path | what it does |
//! |---|---|
//! | `/{service}/...`, or what a route file says | passes the request on to that service |
//! | `POST /v1/queues/{queue}/jobs` | pushes the request body as a job; 202 once it is as safe as asked |
//! | `GET /v1/queues` | every queue's jobs, counted by state |
//! | `GET /v1/queues/{queue}` | the same of one queue |
//! | `GET /v1/requests/{id}` | what came of a request of durability `disk` |
//! | `GET /health` | 200: this process runs |
//! | `GET /ready` | 200: it has its broker; 503: it has not |
//! | `GET /` | what this is, if no route says otherwise |
//!
//! Start with [`Gateway::bind`]; `entrance.rs` has the first look at every request, `proxy/` is the way
//! to a service, `routes/` knows which. Every refusal is `application/problem+json` (RFC 9457); see
//! [`problem`].

mod access;
mod answer;
mod api;
mod config;
mod connections;
mod counts;
mod entrance;
mod jobs;
mod meters;
mod network;
mod origin;
mod patience;
pub mod problem;
mod proxy;
mod queues;
mod readiness;
mod requests;
pub mod routes;
mod server;

pub use access::{AccessFormat, AccessLog, AccessWriter};
pub use config::{GATEWAY_PORT, GatewayConfig};
pub use counts::QueueCounts;
pub use network::{Network, NetworkError};
pub use routes::{Routes, Table};
pub use server::{Gateway, GatewayError};
