//! Requests to services, and serving them.
//!
//! | file | what stands there |
//! |---|---|
//! | `id` | the names of requests and inboxes |
//! | `body` | a body: bytes that are there, or a stream |
//! | `inlet`, `outlet` | the two ends of a body that goes in parts, under credit |
//! | `sending` | [`crate::Client::request`] |
//! | `response` | the answer |
//! | `incoming` | [`Request`]: what a handler gets |
//! | `forward` | passing a request on |
//! | `serving`, `service` | [`crate::Client::serve`] |
//! | `result` | requests of durability `disk` and what came of them |
//! | `registry` | who serves what, and the ways of requests |
//! | `wish` | what all of these ask of the driver |

mod body;
mod forward;
mod id;
mod incoming;
mod inlet;
mod outlet;
mod registry;
mod response;
mod result;
mod sending;
mod service;
mod serving;
mod wish;

pub use self::body::Body;
pub use self::forward::Forwarding;
pub use self::id::{GatewayId, RequestId};
pub use self::incoming::{Request, RequestContext};
pub use self::registry::{InstanceStats, ServiceStats, TraceKind, TraceStep, TracedRequest};
pub use self::response::Response;
pub use self::result::{Accepted, RequestResult};
pub use self::sending::Sending;
pub use self::serving::{Health, ServeOptions, Serving};

pub(crate) use self::inlet::Inlet;
pub(crate) use self::outlet::Outlet;
pub(crate) use self::sending::{Outgoing, Replied};
pub(crate) use self::service::{Delivered, Service};
pub(crate) use self::wish::{Side, Wish};
