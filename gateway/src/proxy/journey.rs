//! One request from its head to the end of its answer, for metrics and the access log. Whatever ends it
//! (the last byte, a cut connection, a client that has left), it is counted once, when this is dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::request::Parts;
use axum::http::{StatusCode, header};

use super::fields::Remote;
use super::identity::Identity;
use super::upload::Progress;
use crate::access::{AccessLog, Entry};
use crate::meters::Meters;
use crate::routes::{Route, Turn};

/// The client left before there was an answer; as nginx calls it.
const CLIENT_LEFT: u16 = 499;

/// See the module.
#[derive(Debug)]
pub(crate) struct Journey {
    begun: Instant,
    head: Option<Duration>,
    meters: Arc<Meters>,
    status: u16,
    code: Option<&'static str>,
    complete: bool,
    given: u64,
    pub(crate) progress: Arc<Progress>,
    log: Option<Box<Logged>>,
    /// Kept for as long as the request is in flight.
    _turn: Option<Turn>,
}

/// What only the access log wants.
#[derive(Debug)]
struct Logged {
    log: AccessLog,
    method: axum::http::Method,
    host: String,
    path: String,
    remote: Remote,
    route: Arc<str>,
    service: Arc<str>,
    request_id: String,
    trace_id: String,
    user_agent: String,
}

impl Journey {
    pub(crate) fn begin(
        begun: Instant,
        route: Option<&Arc<Route>>,
        turn: Option<Turn>,
        meters: Arc<Meters>,
        logged: impl FnOnce() -> Option<LoggedHead>,
    ) -> Box<Self> {
        meters.begin();
        let log = logged().map(|head| {
            let none: Arc<str> = "-".into();
            Box::new(Logged {
                route: route.map_or_else(|| Arc::clone(&none), |route| Arc::clone(&route.name)),
                service: route.map_or(none, |route| Arc::clone(&route.service)),
                log: head.log,
                method: head.method,
                host: head.host,
                path: head.path,
                remote: head.remote,
                request_id: head.request_id,
                trace_id: head.trace_id,
                user_agent: head.user_agent,
            })
        });
        Box::new(Self {
            begun,
            head: None,
            meters,
            status: CLIENT_LEFT,
            code: None,
            complete: false,
            given: 0,
            progress: Arc::default(),
            log,
            _turn: turn,
        })
    }

    /// The answer begins.
    pub(crate) fn answer(&mut self, status: StatusCode, code: Option<&'static str>) {
        self.head = Some(self.begun.elapsed());
        self.status = status.as_u16();
        self.code = code;
        if let Some(code) = code {
            self.meters.problem(code);
        }
    }

    /// It is counted there, as if it had been from its begin.
    pub(crate) fn count_as(&mut self, meters: Arc<Meters>) {
        self.meters.leave();
        meters.begin();
        self.meters = meters;
    }

    pub(crate) fn meters(&self) -> &Meters {
        &self.meters
    }

    pub(crate) const fn given(&mut self, bytes: u64) {
        self.given += bytes;
    }

    pub(crate) const fn complete(&mut self) {
        self.complete = true;
    }
}

/// What the access log wants of a request's head.
#[derive(Debug)]
pub(crate) struct LoggedHead {
    log: AccessLog,
    method: axum::http::Method,
    host: String,
    path: String,
    remote: Remote,
    request_id: String,
    trace_id: String,
    user_agent: String,
}

impl LoggedHead {
    /// None: nobody writes a log.
    pub(crate) fn of(
        log: &AccessLog,
        parts: &Parts,
        host: &str,
        remote: Remote,
        identity: &Identity,
    ) -> Option<Self> {
        if log.is_off() {
            return None;
        }
        let agent = parts.headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        Some(Self {
            log: log.clone(),
            method: parts.method.clone(),
            host: host.to_owned(),
            path: parts.uri.path().to_owned(),
            remote,
            request_id: identity.id.to_str().unwrap_or_default().to_owned(),
            trace_id: identity.trace_id().to_owned(),
            user_agent: agent.unwrap_or_default().to_owned(),
        })
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        let total = self.begun.elapsed();
        let head = self.head.unwrap_or(total);
        let taken = self.progress.taken();
        let counted = if self.head.is_some() { self.status } else { 0 };
        self.meters.end(counted, head, taken, self.given);
        let Some(logged) = &self.log else {
            return;
        };
        logged.log.write(&Entry {
            method: logged.method.as_str(),
            host: &logged.host,
            path: &logged.path,
            remote: logged.remote.address,
            route: &logged.route,
            service: &logged.service,
            status: self.status,
            code: self.code,
            complete: self.complete,
            request_bytes: taken,
            response_bytes: self.given,
            head,
            total,
            request_id: &logged.request_id,
            trace_id: &logged.trace_id,
            user_agent: &logged.user_agent,
        });
    }
}
