//! One row of the table: which service, and within which limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::Method;
use parking_lot::RwLock;

use crate::meters::Meters;

/// Bytes of a request body where a row says nothing.
pub(crate) const BODY_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// The same of a row of durability `disk`, and the most it may say: header block and body of a request
/// are kept in one piece, of 960 KiB.
pub(crate) const STORED_BODY_BYTES_MAX: u64 = 896 * 1024;
/// For the reply to begin, where a row says nothing.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
/// Further runs of an idempotent request that was lost, where a row says nothing.
pub(super) const RETRIES: u32 = 1;

/// Where a request goes, and what it may take.
#[derive(Debug)]
pub(crate) struct Route {
    /// In metrics and the access log.
    pub(crate) name: Arc<str>,
    /// Empty: all.
    pub(super) methods: Vec<Method>,
    pub(crate) service: Arc<str>,
    /// With their weights; none: whoever serves it.
    pub(super) versions: Vec<(String, u32)>,
    pub(crate) deadline: Duration,
    pub(crate) body_bytes_max: u64,
    /// Media types of bodies, such as `application/json` or `image/*`; empty: all.
    pub(super) content_types: Vec<String>,
    pub(super) concurrency_max: Option<u32>,
    /// Shared with the row of this name before the file changed.
    pub(super) in_flight: RwLock<Arc<AtomicU32>>,
    pub(crate) retries: u32,
    /// Requests are kept on the broker's disk until they are answered, and their results for a time.
    pub(crate) on_disk: bool,
    /// What the service does not see of the path.
    pub(crate) strip_prefix: String,
    /// The pattern behind that prefix, as an endpoint; none: the path itself.
    pub(crate) endpoint: Option<String>,
    pub(crate) meters: RwLock<Arc<Meters>>,
}

/// A request's place among those that a route allows; given back when dropped.
#[derive(Debug)]
pub(crate) struct Turn(Option<Arc<AtomicU32>>);

impl Route {
    pub(super) fn to(service: &str, name: &str) -> Self {
        Self {
            name: name.into(),
            methods: Vec::new(),
            service: service.into(),
            versions: Vec::new(),
            deadline: DEADLINE,
            body_bytes_max: BODY_BYTES_MAX,
            content_types: Vec::new(),
            concurrency_max: None,
            in_flight: RwLock::default(),
            retries: RETRIES,
            on_disk: false,
            strip_prefix: String::new(),
            endpoint: None,
            meters: RwLock::new(Meters::of(name, service)),
        }
    }

    pub(crate) fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    pub(crate) fn meters(&self) -> Arc<Meters> {
        Arc::clone(&self.meters.read())
    }

    /// The version for a request: the same for the same number, over many in proportion to the
    /// weights. Empty: any.
    pub(crate) fn version(&self, number: u64) -> &str {
        let total: u64 = self
            .versions
            .iter()
            .map(|(_, weight)| u64::from(*weight))
            .sum();
        if total == 0 {
            return "";
        }
        let mut place = number % total;
        for (version, weight) in &self.versions {
            match place.checked_sub(u64::from(*weight)) {
                Some(rest) => place = rest,
                None => return version,
            }
        }
        ""
    }

    /// Whether bodies of this type are taken; parameters such as `; charset=utf-8` do not count.
    pub(crate) fn takes_type(&self, content_type: Option<&str>) -> bool {
        if self.content_types.is_empty() {
            return true;
        }
        let Some(found) = content_type else {
            return false;
        };
        let found = found.split(';').next().unwrap_or_default().trim();
        self.content_types
            .iter()
            .any(|wanted| match wanted.strip_suffix('*') {
                Some(front) => found
                    .get(..front.len())
                    .is_some_and(|begin| begin.eq_ignore_ascii_case(front)),
                None => wanted.eq_ignore_ascii_case(found),
            })
    }

    pub(crate) fn content_types(&self) -> String {
        self.content_types.join(", ")
    }

    /// None: as many are in flight as may be.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let Some(most) = self.concurrency_max else {
            return Some(Turn(None));
        };
        let count = Arc::clone(&self.in_flight.read());
        let taken = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
            (count < most).then_some(count + 1)
        });
        taken.ok().map(|_| Turn(Some(count)))
    }

    pub(super) fn share_count_with(&self, before: &Self) {
        *self.in_flight.write() = Arc::clone(&before.in_flight.read());
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_chosen_by_weight_and_always_alike() {
        let mut route = Route::to("cart", "cart");
        assert_eq!(route.version(7), "");
        route.versions = vec![("1".into(), 3), ("2".into(), 1)];
        let chosen: String = (0..8).map(|number| route.version(number)).collect();
        assert_eq!(chosen, "11121112");
    }

    #[test]
    fn types_match_without_parameters_and_by_group() {
        let mut route = Route::to("cart", "cart");
        assert!(route.takes_type(None));
        route.content_types = vec!["application/json".into(), "image/*".into()];
        assert!(route.takes_type(Some("Application/JSON; charset=utf-8")));
        assert!(route.takes_type(Some("image/png")));
        for other in [
            None,
            Some("text/html"),
            Some("image"),
            Some("application/jsonx"),
        ] {
            assert!(!route.takes_type(other), "{other:?}");
        }
    }

    #[test]
    fn a_turn_comes_back_when_it_is_over() {
        let mut route = Route::to("cart", "cart");
        route.concurrency_max = Some(1);
        let turn = route.turn();
        assert!(turn.is_some());
        assert!(route.turn().is_none());
        drop(turn);
        assert!(route.turn().is_some());
    }
}
