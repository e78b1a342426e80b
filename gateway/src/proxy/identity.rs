//! The names of a request: its id, and its place in a trace (W3C Trace Context).

use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderValue};
use verteilt_client::RequestId;

/// Longest `X-Request-Id` that is taken over.
const ID_BYTES_MAX: usize = 128;

pub(super) const REQUEST_ID: &str = "x-request-id";
pub(super) const TRACEPARENT: &str = "traceparent";
pub(super) const TRACESTATE: &str = "tracestate";

/// Gives numbers that nobody gives again: a random front for each gateway, and a counter.
#[derive(Debug)]
pub(crate) struct Numbers {
    front: u64,
    next: AtomicU64,
}

/// What a request is called.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Of the first time it is sent.
    pub(crate) number: RequestId,
    /// What `X-Request-Id` says: the client's, or ours.
    pub(crate) id: HeaderValue,
    pub(crate) traceparent: String,
    /// Whether the client gave the trace: then its state goes with it.
    pub(crate) is_continued: bool,
    /// What depends on the request's id alone.
    pub(crate) hash: u64,
}

impl Numbers {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            front: getrandom::u64()?,
            next: AtomicU64::new(getrandom::u64()?),
        })
    }

    pub(crate) fn next(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        RequestId(u128::from(self.front) << 64 | u128::from(mix(count)))
    }
}

impl Identity {
    pub(crate) fn of(headers: &HeaderMap, numbers: &Numbers) -> Self {
        let number = numbers.next();
        let own = number.to_string();
        let given = headers.get(REQUEST_ID).filter(|value| {
            let bytes = value.as_bytes();
            (1..=ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic)
        });
        let hash = given.map_or(number.0 as u64, |value| {
            let bytes = value.as_bytes().iter();
            mix(bytes.fold(0, |hash, byte| mix(hash ^ u64::from(*byte))))
        });
        let parent = headers
            .get(TRACEPARENT)
            .and_then(|value| value.to_str().ok());
        let parent = parent.and_then(known_parent);
        // The low half: the front is the same in all of this gateway.
        let span = own.get(16..).unwrap_or_default();
        let traceparent = match parent {
            Some((trace, flags)) => format!("00-{trace}-{span}-{flags}"),
            None => format!("00-{own}-{span}-00"),
        };
        let id = given.cloned().or_else(|| HeaderValue::from_str(&own).ok());
        Self {
            number,
            id: id.unwrap_or(HeaderValue::from_static("")),
            traceparent,
            is_continued: parent.is_some(),
            hash,
        }
    }

    /// It is sent under another number, which is its id unless the client gave one.
    pub(crate) fn rename(&mut self, number: RequestId) {
        let is_own = self.id.as_bytes() == self.number.to_string().as_bytes();
        self.number = number;
        if let Ok(id) = HeaderValue::from_str(&number.to_string())
            && is_own
        {
            self.id = id;
        }
    }

    pub(crate) fn trace_id(&self) -> &str {
        self.traceparent.get(3..35).unwrap_or_default()
    }
}

/// Trace id and flags of a `traceparent` that can be continued.
fn known_parent(text: &str) -> Option<(&str, &str)> {
    let is_hex = |text: &str, length: usize| {
        text.len() == length
            && text
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let mut fields = text.split('-');
    let (version, trace) = (fields.next()?, fields.next()?);
    let (span, flags) = (fields.next()?, fields.next()?);
    // Later versions may have more fields; version 0 has none.
    let is_known = is_hex(version, 2) && version != "ff";
    let is_whole = version != "00" || fields.next().is_none();
    let not_zero = |text: &str| text.bytes().any(|byte| byte != b'0');
    let is_valid = is_hex(trace, 32) && not_zero(trace) && is_hex(span, 16) && not_zero(span);
    (is_known && is_whole && is_valid && is_hex(flags, 2)).then_some((trace, flags))
}

/// Spreads a number over all 64 bits, each to another (splitmix64).
const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(entries: &[(&'static str, &'static str)]) -> Identity {
        let entries = entries.iter();
        let headers =
            entries.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
        Identity::of(&headers.collect(), &Numbers::new().unwrap())
    }

    #[test]
    fn an_id_is_taken_over_if_it_can_be_one() {
        assert_eq!(of(&[("x-request-id", "order-7")]).id, "order-7");
        for bad in ["", "a b", "\u{1}"] {
            if let Ok(value) = HeaderValue::from_str(bad) {
                let mut headers = HeaderMap::new();
                headers.insert(REQUEST_ID, value);
                let identity = Identity::of(&headers, &Numbers::new().unwrap());
                assert_eq!(identity.id.len(), 32);
            }
        }
        assert_eq!(
            of(&[("x-request-id", "7")]).hash,
            of(&[("x-request-id", "7")]).hash
        );
        assert_ne!(of(&[]).hash, of(&[]).hash);
    }

    #[test]
    fn a_trace_is_continued_with_a_span_of_its_own() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let identity = of(&[("traceparent", given)]);
        assert_eq!(identity.trace_id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(identity.traceparent.ends_with("-01") && identity.is_continued);
        assert_ne!(identity.traceparent, given);
        for bad in [
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            let identity = of(&[("traceparent", bad)]);
            assert!(!identity.is_continued, "{bad}");
            assert!(known_parent(&identity.traceparent).is_some());
        }
    }
}
