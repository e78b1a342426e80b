//! Header fields on their way through: what stays on one connection, what is added.
//! docs/http.md is the contract; workers in every language read it.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use bytes::Bytes;
use verteilt_client::Header;

use super::identity::{Identity, REQUEST_ID, TRACEPARENT, TRACESTATE};
use crate::network::Network;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What only a proxy may say.
const FORWARDED: [&str; 7] = [
    FORWARDED_FOR,
    FORWARDED_PROTO,
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-real-ip",
];

/// Who asks, as far as that can be believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote {
    pub(crate) address: IpAddr,
    /// Of the connection; 0 where a proxy speaks for somebody.
    port: u16,
    is_proxy: bool,
    peer: IpAddr,
    is_https: bool,
}

impl Remote {
    pub(crate) fn of(headers: &HeaderMap, peer: SocketAddr, trusted: &[Network]) -> Self {
        let trusts = |address: IpAddr| trusted.iter().any(|network| network.has(address));
        let own = peer.ip().to_canonical();
        let mut remote = Self {
            address: own,
            port: peer.port(),
            is_proxy: trusts(own),
            peer: own,
            is_https: false,
        };
        if !remote.is_proxy {
            return remote;
        }
        let proto = headers.get(FORWARDED_PROTO);
        remote.is_https =
            proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
        let chain = headers.get_all(FORWARDED_FOR).iter();
        let chain = chain.filter_map(|value| value.to_str().ok());
        let chain: Vec<&str> = chain
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .collect();
        // From the nearest on: each was added by the one behind it.
        for hop in chain.iter().rev() {
            let Ok(address) = hop.parse::<IpAddr>() else {
                break;
            };
            (remote.address, remote.port) = (address.to_canonical(), 0);
            if !trusts(remote.address) {
                break;
            }
        }
        remote
    }

    const fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }

    fn text(&self) -> String {
        match self.port {
            0 => self.address.to_string(),
            port => SocketAddr::new(self.address, port).to_string(),
        }
    }
}

/// What a service is told of a request, beside its header fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pseudo<'a> {
    pub(crate) host: &'a str,
    /// As the service sees it.
    pub(crate) path: &'a str,
    /// What was taken off the front of it.
    pub(crate) prefix: &'a str,
    pub(crate) parameters: &'a [(String, String)],
    pub(crate) remote: Remote,
}

/// The header block of a request.
pub(crate) fn of_request(parts: &Parts, pseudo: Pseudo<'_>, identity: &Identity) -> Vec<Header> {
    let fields = &parts.headers;
    let mut block = Vec::with_capacity(fields.len() + 10);
    let mut add = |name: &str, value: &str| {
        block.push(Header::new(name, Bytes::copy_from_slice(value.as_bytes())));
    };
    add(":method", parts.method.as_str());
    add(":path", pseudo.path);
    if let Some(query) = parts.uri.query() {
        add(":query", query);
    }
    add(":host", pseudo.host);
    add(":scheme", pseudo.remote.scheme());
    add(":remote", &pseudo.remote.text());
    if !pseudo.prefix.is_empty() {
        add(":prefix", pseudo.prefix);
    }
    for (name, value) in pseudo.parameters {
        add(&format!(":param.{name}"), value);
    }
    add(TRACEPARENT, &identity.traceparent);
    block.push(field(REQUEST_ID, &identity.id));
    let named = named_by_connection(fields);
    for (name, value) in fields {
        let text = name.as_str();
        let own = *name == header::HOST
            || *name == header::EXPECT
            || text == REQUEST_ID
            || text == TRACEPARENT
            || (text == TRACESTATE && !identity.is_continued)
            || (!pseudo.remote.is_proxy && FORWARDED.contains(&text));
        if !own && !stays_here(name) && !named.contains(&text) {
            block.push(field(text, value));
        }
    }
    if pseudo.remote.is_proxy {
        block.push(Header::new(FORWARDED_FOR, pseudo.remote.peer.to_string()));
    }
    block
}

/// The header fields of a response. None: the service answered something that is no header field.
pub(crate) fn of_response(headers: Vec<Header>) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(headers.len() + 2);
    for entry in headers {
        if entry.name.starts_with(':') {
            continue;
        }
        let name = HeaderName::from_bytes(entry.name.as_bytes()).ok()?;
        let value = HeaderValue::from_maybe_shared(entry.value).ok()?;
        fields.append(name, value);
    }
    let named: Vec<String> = named_by_connection(&fields)
        .into_iter()
        .map(str::to_owned)
        .collect();
    for name in named {
        fields.remove(name);
    }
    for name in HOP_BY_HOP {
        fields.remove(name);
    }
    Some(fields)
}

fn field(name: &str, value: &HeaderValue) -> Header {
    Header::new(name, Bytes::copy_from_slice(value.as_bytes()))
}

/// RFC 9110, 7.6.1, and what its predecessors named.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

fn stays_here(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// What `Connection` says is for this connection only.
fn named_by_connection(fields: &HeaderMap) -> Vec<&str> {
    let values = fields.get_all(header::CONNECTION).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    // Names in a HeaderMap are in lower case; those here seldom are anything else.
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    let known = names.filter_map(|name| {
        fields
            .keys()
            .find(|key| name.eq_ignore_ascii_case(key.as_str()))
    });
    known
        .map(HeaderName::as_str)
        .filter(|name| *name != "content-length")
        .collect()
}
