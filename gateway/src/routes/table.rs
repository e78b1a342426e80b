//! Finding the row of a request.

use std::sync::Arc;

use axum::http::Method;

use super::default::Defaults;
use super::host::{HostPattern, without_port};
use super::route::Route;
use crate::meters::Meters;

/// All routes of a gateway. Made of a route file by [`Table::parse`]; the default has none but
/// `/<service>/...` for every service.
#[derive(Debug)]
pub struct Table {
    /// By host, the more exact first; each with the rows of a path in the order of the file.
    pub(super) hosts: Vec<(HostPattern, matchit::Router<Vec<Arc<Route>>>)>,
    pub(super) defaults: Option<Defaults>,
    pub(super) routes: Vec<Arc<Route>>,
}

/// What a table says to a request.
#[derive(Debug)]
pub(crate) enum Found {
    Route {
        route: Arc<Route>,
        /// Parameters of the path, by name.
        parameters: Vec<(String, String)>,
    },
    /// There is such a path, but only for these methods.
    OtherMethods(String),
    Nothing,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            defaults: Some(Defaults::default()),
            routes: Vec::new(),
        }
    }
}

impl Table {
    /// Rows written out; `/<service>/...` is not among them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether no row is written out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    pub(crate) fn find(&self, method: &Method, host: &str, path: &str) -> Found {
        if !self.hosts.is_empty()
            && let Some(found) = self.written(method, host, path)
        {
            return found;
        }
        let route = self
            .defaults
            .as_ref()
            .and_then(|defaults| defaults.find(path));
        route.map_or(Found::Nothing, |route| Found::Route {
            route,
            parameters: Vec::new(),
        })
    }

    fn written(&self, method: &Method, host: &str, path: &str) -> Option<Found> {
        let host = without_port(host).to_ascii_lowercase();
        let mut of_host = self.hosts.iter().filter(|(pattern, _)| pattern.fits(&host));
        let found = of_host.find_map(|(_, paths)| paths.at(path).ok())?;
        let Some(route) = found.value.iter().find(|route| route.takes(method)) else {
            let mut methods: Vec<&str> = found
                .value
                .iter()
                .flat_map(|route| route.methods.iter().map(Method::as_str))
                .collect();
            methods.sort_unstable();
            methods.dedup();
            return Some(Found::OtherMethods(methods.join(", ")));
        };
        let parameters = found.params.iter();
        Some(Found::Route {
            route: Arc::clone(route),
            parameters: parameters
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        })
    }

    /// Whether some row is for the path `/`.
    pub(crate) fn has_front(&self) -> bool {
        self.hosts.iter().any(|(_, paths)| paths.at("/").is_ok())
    }

    /// A service has answered. Where its request is counted from now on, if that is elsewhere.
    pub(crate) fn remember(&self, route: &Arc<Route>) -> Option<Arc<Meters>> {
        let defaults = self.defaults.as_ref()?;
        let is_default = route.endpoint.is_none();
        is_default.then(|| defaults.remember(route)).flatten()
    }

    /// Rows that stay under their name go on counting where they were.
    pub(super) fn take_counts_of(&mut self, old: &Self) {
        for route in &self.routes {
            let before = old.routes.iter().find(|before| before.name == route.name);
            if let Some(before) = before {
                route.share_count_with(before);
            }
        }
    }
}
