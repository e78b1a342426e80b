//! The HTTP door of Verteilt: `POST` a job, look at queues, from any language that speaks HTTP.
//!
//! An ordinary client of the broker: it holds no state of its own, so any number can run.
//!
//! | method and path | what it does |
//! |---|---|
//! | `POST /v1/queues/{queue}/jobs` | pushes the request body as a job; 202 once it is as safe as asked |
//! | `GET /v1/queues` | every queue's jobs, counted by state |
//! | `GET /v1/queues/{queue}` | the same of one queue |
//! | `GET /health` | 200: this process runs |
//! | `GET /ready` | 200: it has its broker; 503: it has not |
//! | `GET /` | what this is |
//!
//! Start with [`Gateway::bind`]. Every refusal is `application/problem+json` (RFC 9457); see
//! [`problem`].

mod config;
mod connections;
mod counts;
mod jobs;
mod origin;
pub mod problem;
mod queues;
mod readiness;
mod routes;
mod server;

pub use config::{GATEWAY_PORT, GatewayConfig};
pub use counts::QueueCounts;
pub use server::{Gateway, GatewayError};
