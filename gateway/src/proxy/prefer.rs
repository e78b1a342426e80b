//! What a client says about how its request of durability `disk` is to be taken: `Prefer` (RFC 7240)
//! and `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use verteilt_client::RequestId;

use crate::problem::Problem;

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Longest key.
const KEY_BYTES_MAX: usize = 255;

/// `Prefer`, as far as it is honoured here. What else is in it is passed over, as the standard asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prefer {
    /// 202 at once.
    pub(crate) respond_async: bool,
    /// 202 if there is no answer by then.
    pub(crate) wait: Option<Duration>,
}

impl Prefer {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let fields = headers.get_all("prefer").iter();
        let texts = fields.filter_map(|field| field.to_str().ok());
        for preference in texts.flat_map(|text| text.split(',')) {
            let preference = preference.split(';').next().unwrap_or_default();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                prefer.wait = value.parse().ok().map(Duration::from_secs);
            }
        }
        prefer
    }

    /// What of it was heeded, for `Preference-Applied`.
    pub(crate) fn applied(self) -> Option<String> {
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        match (self.respond_async, wait) {
            (true, Some(wait)) => Some(format!("respond-async, {wait}")),
            (true, None) => Some("respond-async".to_owned()),
            (false, wait) => wait,
        }
    }
}

/// The key, if the client gave one.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<&[u8]>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    let key = key.as_bytes().trim_ascii();
    let key = match key {
        [b'"', quoted @ .., b'"'] => quoted,
        plain => plain,
    };
    let is_visible = key.iter().all(|byte| (b' '..=b'~').contains(byte));
    if given.next().is_some() || !(1..=KEY_BYTES_MAX).contains(&key.len()) || !is_visible {
        let detail = format!("one Idempotency-Key of 1 to {KEY_BYTES_MAX} visible characters");
        let code = "IDEMPOTENCY_KEY_INVALID";
        return Err(Problem::new(StatusCode::BAD_REQUEST, code, detail));
    }
    Ok(Some(key))
}

/// The id of the request that a key stands for: of this row, from this client. Nobody finds it who does
/// not know all of them.
pub(super) fn id_of(key: &[u8], route: &str, headers: &HeaderMap) -> RequestId {
    let asks = headers.get(header::AUTHORIZATION);
    let hash = hash_of([b"key" as &[u8], key, route.as_bytes(), bytes_of(asks)]);
    let (half, _) = hash.split_at(16);
    RequestId(u128::from_be_bytes(half.try_into().unwrap_or_default()))
}

/// What makes a request another one, though it has the same key.
pub(super) fn fingerprint(parts: &axum::http::request::Parts, body: &[u8]) -> [u8; 32] {
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let kind = bytes_of(parts.headers.get(header::CONTENT_TYPE));
    hash_of([
        parts.method.as_str().as_bytes(),
        path.as_bytes(),
        kind,
        body,
    ])
}

fn bytes_of(field: Option<&axum::http::HeaderValue>) -> &[u8] {
    field.map_or(b"", |value| value.as_bytes())
}

fn hash_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update((piece.len() as u64).to_be_bytes());
        hash.update(piece);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn preferences_are_found_in_any_writing() {
        let told = fields(&[
            ("prefer", "return=minimal, Respond-Async; x=1"),
            ("prefer", "wait = 7"),
        ]);
        let prefer = Prefer::of(&told);
        assert!(prefer.respond_async);
        assert_eq!(prefer.wait, Some(Duration::from_secs(7)));
        assert_eq!(prefer.applied().unwrap(), "respond-async, wait=7");
        let none = Prefer::of(&fields(&[("prefer", "wait=soon")]));
        assert_eq!((none, none.applied()), (Prefer::default(), None));
    }

    #[test]
    fn a_key_is_one_and_visible() {
        let one = fields(&[(IDEMPOTENCY_KEY, "\"a b\"")]);
        assert_eq!(key(&one).unwrap(), Some(b"a b" as &[u8]));
        assert_eq!(key(&HeaderMap::new()).unwrap(), None);
        let mut two = fields(&[(IDEMPOTENCY_KEY, "a")]);
        two.append(IDEMPOTENCY_KEY, "b".parse().unwrap());
        assert!(key(&two).is_err());
        assert!(key(&fields(&[(IDEMPOTENCY_KEY, "\"\"")])).is_err());
    }

    #[test]
    fn a_key_is_another_one_for_others() {
        let (a, b) = (
            fields(&[("authorization", "a")]),
            fields(&[("authorization", "b")]),
        );
        let id = id_of(b"k", "row", &a);
        assert_eq!(id, id_of(b"k", "row", &a));
        for other in [
            id_of(b"k", "row", &b),
            id_of(b"k", "ro", &a),
            id_of(b"kr", "ow", &a),
        ] {
            assert_ne!(id, other);
        }
    }
}
