//! Routes that nobody wrote: `/<service>/...` goes to the service of that name.

use std::sync::Arc;

use parking_lot::RwLock;
use rustc_hash::FxHashMap;

use super::route::Route;
use crate::meters::Meters;

/// Services that are counted by name; the rest is counted together.
const NAMED_MAX: usize = 1_024;

/// As long as this the name of a service is at most.
const NAME_BYTES_MAX: usize = 200;

/// The name under which requests are counted that reached no service.
const NONE: &str = "none";

/// The routes to services that have answered before.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    known: RwLock<FxHashMap<String, Arc<Route>>>,
}

impl Defaults {
    /// None: the first segment of this path is no name of a service.
    pub(super) fn find(&self, path: &str) -> Option<Arc<Route>> {
        let rest = path.strip_prefix('/')?;
        let service = rest.split('/').next().unwrap_or_default();
        if let Some(route) = self.known.read().get(service) {
            return Some(Arc::clone(route));
        }
        is_name(service).then(|| {
            let route = Route {
                // No label for a name that may be nobody's.
                meters: RwLock::new(Meters::of(NONE, NONE)),
                strip_prefix: format!("/{service}"),
                ..Route::to(service, service)
            };
            Arc::new(route)
        })
    }

    /// Somebody serves it: from now on it is counted by its name, and so is the request with this
    /// route, if there is an answer.
    pub(super) fn remember(&self, route: &Arc<Route>) -> Option<Arc<Meters>> {
        if let Some(known) = self.known.read().get(&*route.service) {
            return (!Arc::ptr_eq(known, route)).then(|| known.meters());
        }
        let mut known = self.known.write();
        if known.len() >= NAMED_MAX {
            return None;
        }
        let known = known.entry(route.service.to_string()).or_insert_with(|| {
            *route.meters.write() = Meters::of(&route.name, &route.service);
            Arc::clone(route)
        });
        Some(known.meters())
    }
}

/// The rule for names: docs/protocol.md.
pub(super) fn is_name(text: &str) -> bool {
    let front = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let inner = |byte: u8| front(byte) || b"._-".contains(&byte);
    text.len() <= NAME_BYTES_MAX
        && text.bytes().next().is_some_and(front)
        && text.bytes().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_segment_is_the_service() {
        let defaults = Defaults::default();
        let route = defaults.find("/cart/items/4").unwrap();
        assert_eq!((&*route.service, &*route.strip_prefix), ("cart", "/cart"));
        assert!(defaults.find("/cart").is_some());
        for path in ["/", "//a", "/Cart", "/a%20b", "*", "/-a"] {
            assert!(defaults.find(path).is_none(), "{path}");
        }
    }

    #[test]
    fn only_a_service_that_was_reached_is_kept() {
        let defaults = Defaults::default();
        let route = defaults.find("/cart").unwrap();
        assert!(!Arc::ptr_eq(&route, &defaults.find("/cart").unwrap()));
        assert!(defaults.remember(&route).is_some());
        assert!(defaults.remember(&route).is_none());
        assert!(Arc::ptr_eq(&route, &defaults.find("/cart/x").unwrap()));
    }
}
