//! A request of the queue as an HTTP request: docs/http.md, read backwards.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{Method, Uri};
use verteilt_client::{Header, Request};

use crate::body::RequestBody;

/// Where a request comes from, as the gateway told it. All of it is empty for a request that another
/// service sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin {
    /// The client's address, with its port if that is known.
    pub remote: String,
    /// `http` or `https`.
    pub scheme: String,
    /// What the gateway took off the front of the path.
    pub prefix: String,
    /// Parameters of the gateway's route, by name.
    pub parameters: Vec<(String, String)>,
}

/// What headers with a colon in front say.
#[derive(Default)]
struct Pseudo {
    method: Option<String>,
    path: Option<String>,
    query: Option<String>,
    host: Option<String>,
    origin: Origin,
}

pub(crate) fn to_http(mut request: Request) -> Result<http::Request<RequestBody>, &'static str> {
    let mut pseudo = Pseudo::default();
    let body = request.take_body();
    let mut parts = http::Request::new(()).into_parts().0;
    for header in request.headers() {
        if header.name.starts_with(':') {
            pseudo.take(header);
            continue;
        }
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|_| "a header's name cannot stand in HTTP")?;
        parts.headers.append(name, value(header.value.clone())?);
    }
    // A service that asks another one writes it as the endpoint: `GET /items/4?full=1`.
    let (method, target) = request.endpoint().split_once(' ').unwrap_or(("POST", "/"));
    let method = pseudo.method.as_deref().unwrap_or(method);
    parts.method = Method::from_bytes(method.as_bytes()).map_err(|_| "no HTTP method")?;
    let target = match (&pseudo.path, &pseudo.query) {
        (Some(path), Some(query)) => format!("{path}?{query}"),
        (Some(path), None) => path.clone(),
        (None, _) => target.to_owned(),
    };
    parts.uri = Uri::try_from(target).map_err(|_| "the path is no path")?;
    if let Some(host) = pseudo.host {
        parts.headers.insert(HOST, value(host.into())?);
    }
    let length = parts.headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    parts.extensions.insert(pseudo.origin);
    parts.extensions.insert(request.context());
    Ok(http::Request::from_parts(
        parts,
        RequestBody::new(body, length),
    ))
}

fn value(bytes: Bytes) -> Result<HeaderValue, &'static str> {
    HeaderValue::from_maybe_shared(bytes).map_err(|_| "a header's value cannot stand in HTTP")
}

impl Pseudo {
    fn take(&mut self, header: &Header) {
        let text = || String::from_utf8_lossy(&header.value).into_owned();
        match &*header.name {
            ":method" => self.method = Some(text()),
            ":path" => self.path = Some(text()),
            ":query" => self.query = Some(text()),
            ":host" => self.host = Some(text()),
            ":remote" => self.origin.remote = text(),
            ":scheme" => self.origin.scheme = text(),
            ":prefix" => self.origin.prefix = text(),
            name => {
                // Others are of a newer gateway.
                if let Some(name) = name.strip_prefix(":param.") {
                    self.origin.parameters.push((name.to_owned(), text()));
                }
            }
        }
    }
}
