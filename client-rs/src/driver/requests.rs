//! Requests that this client waits for, and those that it serves.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use verteilt_protocol::{ErrorCode, Frame, FrameType, limits, wire};

use super::writer::Outbox;
use crate::error::ClientError;
use crate::request::{
    Delivered, GatewayId, Inlet, Outgoing, Outlet, Replied, RequestId, Service, Side, Wish,
};

/// A request that is not answered to its end.
#[derive(Debug)]
struct Open {
    /// Under which it was sent on this connection; 0: on an earlier one.
    correlation: u64,
    /// Until its reply has begun.
    reply: Option<oneshot::Sender<Result<Replied, ClientError>>>,
    /// The reply's body goes on.
    inlet: Option<Arc<Inlet>>,
    /// The request's body goes on.
    outlet: Option<Arc<Outlet>>,
}

/// A request that is being served, or was passed on and its body goes on.
#[derive(Debug)]
struct Held {
    cancelled: CancellationToken,
    inlet: Option<Arc<Inlet>>,
    outlet: Option<Arc<Outlet>>,
}

type Taken = oneshot::Sender<Result<(), ClientError>>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RequestLedger {
    gateway: u128,
    /// This connection has the inbox.
    has_inbox: bool,
    queue: VecDeque<Outgoing>,
    open: FxHashMap<RequestId, Open>,
    held: FxHashMap<u64, Held>,
    /// Forwards that are not answered: by correlation.
    forwards: FxHashMap<u64, (u64, Taken, Option<Arc<Outlet>>)>,
    services: FxHashMap<u64, Arc<Service>>,
}

impl RequestLedger {
    pub(super) fn new(session: [u8; 16]) -> Self {
        Self {
            gateway: u128::from_be_bytes(session),
            ..Self::default()
        }
    }

    /// Nothing is under way, in neither direction.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.open.is_empty() && self.held.is_empty()
    }

    pub(super) fn service(&self, subscription: u64) -> Option<&Arc<Service>> {
        self.services.get(&subscription)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = u64> {
        self.services.keys().copied()
    }

    pub(super) fn register(&mut self, service: Arc<Service>) {
        self.services.insert(service.subscription, service);
    }

    pub(super) fn unregister(&mut self, subscription: u64) -> Option<Arc<Service>> {
        self.services.remove(&subscription)
    }

    /// A request waits for the next connection, or for its turn on this one.
    pub(super) fn add(&mut self, outgoing: Outgoing) {
        self.queue.push_back(outgoing);
    }

    /// Sends what waits.
    pub(super) fn write(&mut self, out: &mut Outbox, correlation: &mut u64) {
        if self.queue.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(outgoing) = self.queue.pop_front() {
            if outgoing.reply.is_closed() {
                continue;
            }
            // There was no connection for all that time: nobody is to begin with it now.
            if outgoing.deadline <= now {
                let error = ClientError::Deadline {
                    what: "the request",
                    limit: outgoing.deadline - outgoing.made,
                };
                outgoing.fail(&error);
                continue;
            }
            self.open_inbox(out, correlation);
            *correlation += 1;
            self.send(outgoing, now, out, *correlation);
        }
    }

    /// Once a connection, before its first request.
    fn open_inbox(&mut self, out: &mut Outbox, correlation: &mut u64) {
        if std::mem::replace(&mut self.has_inbox, true) {
            return;
        }
        *correlation += 1;
        let message = wire::Inbox {
            gateway_id: GatewayId(self.gateway).to_wire(),
            request_ids: self.open.keys().map(|request| request.to_wire()).collect(),
        };
        out.with_payload(FrameType::Inbox, *correlation, &message, &Bytes::new());
    }

    fn send(&mut self, mut outgoing: Outgoing, now: Instant, out: &mut Outbox, correlation: u64) {
        let message = outgoing.message(now);
        out.with_payload(FrameType::Request, correlation, &message, &outgoing.payload);
        let open = Open {
            correlation,
            reply: Some(outgoing.reply),
            inlet: None,
            outlet: outgoing.outlet,
        };
        self.open.insert(outgoing.id, open);
    }

    /// Does what somebody wants of a connection that is there; without one only what can wait is
    /// kept.
    pub(super) fn obey(&mut self, wish: Wish, session: Option<(&mut Outbox, &mut u64)>) {
        match (wish, session) {
            (Wish::Send(outgoing), _) => self.add(*outgoing),
            (Wish::Cancel(request), session) => self.cancel(request, session.map(|(out, _)| out)),
            (
                Wish::Part {
                    side,
                    payload,
                    more,
                    broken,
                },
                Some((out, _)),
            ) => {
                self.part(side, &payload, more, broken, out);
            }
            (Wish::Credit { side, bytes }, Some((out, _))) => {
                if self.knows(side) {
                    let (request_id, token) = side.to_wire();
                    let message = wire::StreamCredit {
                        request_id,
                        token,
                        bytes,
                    };
                    out.with_payload(FrameType::StreamCredit, 0, &message, &Bytes::new());
                }
            }
            (
                Wish::Reply {
                    reply,
                    payload,
                    outlet,
                },
                Some((out, _)),
            ) => {
                self.reply(&reply, &payload, outlet, out);
            }
            (
                Wish::Forward {
                    forward,
                    payload,
                    outlet,
                    taken,
                },
                Some((out, correlation)),
            ) => {
                if self.held.contains_key(&forward.token) {
                    *correlation += 1;
                    out.with_payload(FrameType::Forward, *correlation, &*forward, &payload);
                    self.forwards
                        .insert(*correlation, (forward.token, taken, outlet));
                } else {
                    let _ = taken.send(Err(lease_lost()));
                }
            }
            (Wish::Forward { taken, .. }, None) => {
                let _ = taken.send(Err(lease_lost()));
            }
            // Leases and streams end with their connection.
            (Wish::Part { side, broken, .. }, None) => self.end_in_line(side, broken),
            (Wish::Credit { .. } | Wish::Reply { .. }, None) => {}
            (Wish::Register(_) | Wish::Unregister(_) | Wish::Update(_), _) => {}
        }
    }

    fn cancel(&mut self, request: RequestId, out: Option<&mut Outbox>) {
        self.queue.retain(|outgoing| outgoing.id != request);
        let Some(open) = self.open.remove(&request) else {
            return;
        };
        open.close();
        if let Some(out) = out {
            let request_id = request.to_wire();
            let message = wire::RequestCancel { request_id };
            out.with_payload(FrameType::RequestCancel, 0, &message, &Bytes::new());
        }
    }

    fn knows(&self, side: Side) -> bool {
        match side {
            Side::Caller(request) => self.open.contains_key(&request),
            Side::Worker(token) => self.held.contains_key(&token),
        }
    }

    fn part(&mut self, side: Side, payload: &Bytes, more: bool, broken: bool, out: &mut Outbox) {
        if !self.knows(side) {
            return self.end_in_line(side, broken);
        }
        let (request_id, token) = side.to_wire();
        let message = wire::BodyPart {
            request_id,
            token,
            more,
            abort_code: u32::from(broken) * ErrorCode::BodyBroken.number(),
        };
        out.with_payload(FrameType::BodyPart, 0, &message, payload);
        if more {
            return;
        }
        match side {
            Side::Caller(request) => {
                if let Some(open) = self.open.get_mut(&request) {
                    open.outlet = None;
                }
            }
            // A reply, or a body that was passed on, is whole: the lease is over.
            Side::Worker(token) => self.release(token),
        }
    }

    /// The body of a request that has not been sent yet is at its end: a stream without a piece, for a
    /// piece would need credit.
    fn end_in_line(&mut self, side: Side, broken: bool) {
        let Side::Caller(request) = side else {
            return;
        };
        let waits = |outgoing: &Outgoing| outgoing.id == request;
        let Some(at) = self.queue.iter().position(waits) else {
            return;
        };
        if !broken {
            self.queue[at].outlet = None;
        } else if let Some(outgoing) = self.queue.remove(at) {
            outgoing.fail(&ClientError::refused_number(ErrorCode::BodyBroken.number()));
        }
    }

    fn reply(
        &mut self,
        reply: &wire::Reply,
        payload: &Bytes,
        outlet: Option<Arc<Outlet>>,
        out: &mut Outbox,
    ) {
        let Some(held) = self.held.get_mut(&reply.token) else {
            // Ended meanwhile: whoever sends its body must not wait.
            if let Some(outlet) = outlet {
                outlet.close();
            }
            return;
        };
        out.with_payload(FrameType::Reply, 0, reply, payload);
        match outlet {
            Some(outlet) => held.outlet = Some(outlet),
            None => self.release(reply.token),
        }
    }

    /// The lease is over, as its worker wanted. What is still read of the request does not come.
    fn release(&mut self, token: u64) {
        if let Some(held) = self.held.remove(&token) {
            held.close_body();
        }
    }

    /// A frame about requests has come. Gives whether a caller or a handler was woken.
    pub(super) fn handle(&mut self, kind: FrameType, frame: &Frame) -> Result<bool, ClientError> {
        match kind {
            FrameType::Request => return self.delivered(frame.message()?, frame.payload.clone()),
            FrameType::Reply => return self.replied(&frame.message()?, frame.payload.clone()),
            FrameType::BodyPart => self.came(&frame.message()?, frame.payload.clone())?,
            FrameType::StreamCredit => self.granted(&frame.message()?)?,
            _ => self.ended(frame.message()?)?,
        }
        Ok(false)
    }

    fn delivered(&mut self, message: wire::Request, payload: Bytes) -> Result<bool, ClientError> {
        let Some(service) = self.services.get(&message.subscription) else {
            // It is ending: the broker hears of that before long, and tells the caller.
            return Ok(false);
        };
        let token = message.token;
        let inlet = message
            .more
            .then(|| Arc::new(Inlet::new(Side::Worker(token), 0)));
        let held = Held {
            cancelled: CancellationToken::new(),
            inlet: inlet.clone(),
            outlet: None,
        };
        let delivered = Delivered {
            message,
            payload,
            cancelled: held.cancelled.clone(),
            inlet,
        };
        self.held.insert(token, held);
        service.start(delivered)?;
        Ok(true)
    }

    fn replied(&mut self, reply: &wire::Reply, mut payload: Bytes) -> Result<bool, ClientError> {
        let id = request_id(&reply.request_id)?;
        let Some(open) = self.open.get_mut(&id) else {
            // Its caller has gone.
            return Ok(false);
        };
        if reply.header_length as usize > payload.len() {
            return Err(ClientError::protocol("a REPLY is shorter than its headers"));
        }
        let headers = payload.split_to(reply.header_length as usize);
        let credit = limits::REPLY_CREDIT_BYTES;
        let inlet = reply
            .more
            .then(|| Arc::new(Inlet::new(Side::Caller(id), credit)));
        open.inlet.clone_from(&inlet);
        let replied = Replied {
            status: reply.status,
            headers,
            body: payload,
            inlet,
        };
        if let Some(reply) = open.reply.take() {
            // If its caller has just gone, it has told so itself.
            let _ = reply.send(Ok(replied));
        }
        if !reply.more
            && let Some(open) = self.open.remove(&id)
        {
            open.close();
        }
        Ok(true)
    }

    fn came(&mut self, part: &wire::BodyPart, payload: Bytes) -> Result<(), ClientError> {
        if part.request_id.is_empty() {
            let held = self.held.get(&part.token);
            if let Some(inlet) = held.and_then(|held| held.inlet.as_ref()) {
                inlet.put(payload, part.more);
            }
            return Ok(());
        }
        let id = request_id(&part.request_id)?;
        if let Some(inlet) = self.open.get(&id).and_then(|open| open.inlet.as_ref()) {
            inlet.put(payload, part.more);
        }
        if !part.more
            && let Some(open) = self.open.remove(&id)
        {
            open.close();
        }
        Ok(())
    }

    fn granted(&self, credit: &wire::StreamCredit) -> Result<(), ClientError> {
        let outlet = if credit.request_id.is_empty() {
            let held = self.held.get(&credit.token);
            held.and_then(|held| held.outlet.as_ref())
        } else {
            let open = self.open.get(&request_id(&credit.request_id)?);
            open.and_then(|open| open.outlet.as_ref())
        };
        if let Some(outlet) = outlet {
            outlet.grant(credit.bytes);
        }
        Ok(())
    }

    fn ended(&mut self, ended: wire::RequestEnded) -> Result<(), ClientError> {
        if ended.request_id.is_empty() {
            if let Some(held) = self.held.remove(&ended.token) {
                held.end(&refused(ended));
            }
            return Ok(());
        }
        let id = request_id(&ended.request_id)?;
        if let Some(open) = self.open.remove(&id) {
            open.fail(&refused(ended));
        }
        Ok(())
    }

    /// A forward was taken.
    pub(super) fn forwarded(&mut self, correlation: u64) -> bool {
        let Some((token, taken, outlet)) = self.forwards.remove(&correlation) else {
            return false;
        };
        match (outlet, self.held.get_mut(&token)) {
            // What this worker still reads of the body may go into what it sends on.
            (Some(outlet), Some(held)) => held.outlet = Some(outlet),
            _ => drop(self.held.remove(&token)),
        }
        // A handler that has been dropped meanwhile does not mind.
        let _ = taken.send(Ok(()));
        true
    }

    /// A request or a forward was refused as a frame.
    pub(super) fn refused(&mut self, correlation: u64, error: &ClientError) -> bool {
        if let Some((_, taken, _)) = self.forwards.remove(&correlation) {
            let _ = taken.send(Err(error.clone()));
            return true;
        }
        let mut open = self.open.iter();
        let found = open.find(|(_, open)| open.correlation == correlation);
        let Some(id) = found.map(|(id, _)| *id) else {
            return false;
        };
        if let Some(open) = self.open.remove(&id) {
            open.fail(error);
        }
        true
    }

    /// The connection is gone: leases and half-sent bodies with it. Whole requests without a reply
    /// may still be answered, on the next connection.
    pub(super) fn disconnected(&mut self) {
        self.has_inbox = false;
        let lost = ClientError::refused_number(ErrorCode::RequestLost.number());
        for (_, held) in self.held.drain() {
            held.end(&lost);
        }
        for (_, (_, taken, _)) in self.forwards.drain() {
            let _ = taken.send(Err(lease_lost()));
        }
        let torn = self
            .open
            .iter()
            .filter(|(_, open)| open.outlet.is_some() || open.reply.is_none());
        for id in torn.map(|(id, _)| *id).collect::<Vec<_>>() {
            if let Some(open) = self.open.remove(&id) {
                open.fail(&lost);
            }
        }
        self.open.values_mut().for_each(|open| open.correlation = 0);
    }

    /// A new connection: whoever still waits asks what has become of its request.
    pub(super) fn reconnected(&mut self, out: &mut Outbox, correlation: &mut u64) {
        if !self.open.is_empty() {
            self.open_inbox(out, correlation);
        }
    }

    /// The client has ended.
    pub(super) fn fail_all(&mut self, error: &ClientError) {
        for outgoing in self.queue.drain(..) {
            outgoing.fail(error);
        }
        for (_, open) in self.open.drain() {
            open.fail(error);
        }
        for (_, held) in self.held.drain() {
            held.end(error);
        }
        self.forwards.clear();
        for (_, service) in self.services.drain() {
            service.close(Some(error.clone()));
        }
    }
}

impl Open {
    /// Nothing more of its body is wanted.
    fn close(&self) {
        if let Some(outlet) = &self.outlet {
            outlet.close();
        }
    }

    fn fail(self, error: &ClientError) {
        self.close();
        if let Some(inlet) = &self.inlet {
            inlet.fail(error.clone());
        }
        if let Some(reply) = self.reply {
            // Its caller may have gone.
            let _ = reply.send(Err(error.clone()));
        }
    }
}

impl Held {
    /// Whoever still reads the body of the request is told that no more of it comes.
    fn close_body(&self) {
        if let Some(inlet) = &self.inlet {
            let code = ErrorCode::BodyBroken.number();
            inlet.fail(ClientError::refused_number(code));
        }
    }

    fn end(self, error: &ClientError) {
        if let Some(outlet) = &self.outlet {
            outlet.close();
        }
        if let Some(inlet) = &self.inlet {
            inlet.fail(error.clone());
        }
        self.cancelled.cancel();
    }
}

fn request_id(bytes: &[u8]) -> Result<RequestId, ClientError> {
    let id = RequestId::from_wire(bytes);
    id.ok_or_else(|| ClientError::protocol("a request id is not 16 bytes"))
}

fn refused(ended: wire::RequestEnded) -> ClientError {
    let code = ErrorCode::from_number(ended.code);
    ClientError::refused(wire::Error {
        code: ended.code,
        message: ended.message,
        retryable: code.is_some_and(ErrorCode::is_retryable),
        retry_after_ms: 0,
    })
}

fn lease_lost() -> ClientError {
    ClientError::refused_number(ErrorCode::LeaseLost.number())
}
