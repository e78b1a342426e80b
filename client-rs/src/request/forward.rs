//! A request that goes on to another service.

use std::sync::Arc;

use tokio::sync::oneshot;
use verteilt_protocol::wire;

use super::body::Body;
use super::incoming::Request;
use super::outlet::Outlet;
use super::response::{Response, frame_of};
use super::sending::check_label;
use super::wish::{Side, Wish};
use crate::batch::check_name;
use crate::error::ClientError;
use crate::options::Header;

/// A request that is about to go on. Made by [`Request::forward`].
#[derive(Debug)]
#[must_use = "nothing is forwarded until `send`"]
pub struct Forwarding<'a> {
    request: &'a mut Request,
    service: String,
    version: String,
    endpoint: Option<String>,
    headers: Option<Vec<Header>>,
    body: Option<Body>,
}

impl<'a> Forwarding<'a> {
    pub(super) const fn new(request: &'a mut Request, service: String) -> Self {
        Self {
            request,
            service,
            version: String::new(),
            endpoint: None,
            headers: None,
            body: None,
        }
    }

    /// Only workers of this version. Default: any.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// Another operation. Default: the same.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Other headers. Default: the same.
    pub fn headers(mut self, headers: Vec<Header>) -> Self {
        self.headers = Some(headers);
        self
    }

    /// Another body. Default: the request's own, as far as it was not read. Where nothing was read
    /// beyond the part that came with the request, the rest goes from the caller straight to the
    /// next service.
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Passes it on. The response that this gives is not one: returned by the handler it says that
    /// somebody else answers. It comes as soon as the broker has taken the request; a body that is a
    /// stream is read and sent on in the background.
    ///
    /// # Errors
    /// The request is then still this handler's to answer, with its body as it was:
    /// [`crate::ErrorCode::NoWorker`], [`crate::ErrorCode::ForwardLimit`], and as
    /// [`super::Sending::send`]. After [`crate::ErrorCode::LeaseLost`] no answer of this handler
    /// reaches anybody; where the connection was lost, the request may have been passed on.
    ///
    /// # Cancel safety
    /// Dropped, it may or may not have been passed on.
    pub async fn send(self) -> Result<Response, ClientError> {
        let request = self.request;
        check_name(&self.service)?;
        check_label(&self.version, "a version")?;
        let endpoint = self.endpoint.unwrap_or_else(|| request.endpoint.clone());
        check_label(&endpoint, "an endpoint")?;
        let headers = self.headers.unwrap_or_else(|| request.headers.clone());
        let mut body = self.body.unwrap_or_else(|| request.take_body());
        let (header_length, payload) = frame_of(headers, &mut body)?;
        let token = request.token;
        let rest_from_caller = body.is_rest_of(token);
        let more = !rest_from_caller && !body.is_at_end();
        let outlet = more.then(|| Arc::new(Outlet::new(0)));
        let forward = wire::Forward {
            token,
            service: self.service,
            version: self.version,
            endpoint,
            header_length,
            more,
            rest_from_caller,
        };
        let shared = Arc::clone(request.client.shared());
        let (taken, answer) = oneshot::channel();
        shared.wish(Wish::Forward {
            forward: Box::new(forward),
            payload: payload.clone(),
            outlet: outlet.clone(),
            taken,
        })?;
        let answer = answer.await.unwrap_or_else(|_| Err(shared.closed()));
        if let Err(error) = answer {
            request.body = body.behind(payload.slice(header_length as usize..));
            return Err(error);
        }
        if let Some(outlet) = outlet {
            // Ends with the body, or when the driver closes the outlet: with the request.
            tokio::spawn(async move {
                let _ = outlet.pump(&shared, Side::Worker(token), body).await;
            });
        }
        Ok(Response::forwarded())
    }
}
