//! The route file: TOML, one `[[routes]]` a row. docs/http.md explains every key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use serde::Deserialize;
use toml::Spanned;

use super::default::{Defaults, is_name};
use super::host::HostPattern;
use super::route::{BODY_BYTES_MAX, DEADLINE, RETRIES, Route, STORED_BODY_BYTES_MAX};
use super::table::Table;

/// What the gateway answers itself.
const RESERVED: [&str; 3] = ["/health", "/ready", "/v1"];

/// Most retries that a row may ask for.
const RETRIES_MAX: u32 = 5;

/// As long as an endpoint is at most.
const LABEL_BYTES_MAX: usize = 200;

/// Longest deadline: the broker's.
const DEADLINE_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    default_routes: bool,
    #[serde(default)]
    routes: Vec<Spanned<RouteText>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteText {
    name: Option<String>,
    #[serde(default)]
    methods: Vec<String>,
    host: Option<String>,
    path: String,
    service: String,
    version: Option<String>,
    #[serde(default)]
    versions: BTreeMap<String, u32>,
    deadline_ms: Option<u64>,
    durability: Option<String>,
    body_bytes_max: Option<u64>,
    #[serde(default)]
    content_types: Vec<String>,
    concurrency_max: Option<u32>,
    retries: Option<u32>,
    #[serde(default)]
    strip_prefix: String,
}

/// One thing that is wrong with a route file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteMistake {
    /// Where, from 1 on.
    pub line: usize,
    /// What, and what to write instead.
    pub text: String,
}

/// Everything that is wrong with a route file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RouteFileError {
    /// By line.
    pub mistakes: Vec<RouteMistake>,
}

impl fmt::Display for RouteFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.mistakes.iter();
        let lines: Vec<String> = lines
            .map(|mistake| format!("line {}: {}", mistake.line, mistake.text))
            .collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Table {
    /// Reads a route file.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line.
    pub fn parse(text: &str) -> Result<Self, RouteFileError> {
        let file: FileText = toml::from_str(text).map_err(|error| RouteFileError {
            mistakes: vec![RouteMistake {
                line: line_of(text, error.span().map_or(0, |span| span.start)),
                text: error.message().trim().replace('\n', "; "),
            }],
        })?;
        let mut reading = Reading {
            by_host: BTreeMap::new(),
            names: BTreeMap::new(),
            routes: Vec::new(),
            mistakes: Vec::new(),
        };
        for row in &file.routes {
            reading.row(line_of(text, row.span().start), row.get_ref());
        }
        reading.table(file.default_routes)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.matches('\n').count() + 1
}

/// A path of one host, the line where it stands first, and its rows.
type Paths = BTreeMap<String, (usize, Vec<Arc<Route>>)>;

struct Reading {
    by_host: BTreeMap<HostPattern, Paths>,
    /// With the line of each.
    names: BTreeMap<String, usize>,
    routes: Vec<Arc<Route>>,
    mistakes: Vec<RouteMistake>,
}

impl Reading {
    fn row(&mut self, line: usize, text: &RouteText) {
        let before = self.mistakes.len();
        let host = self.host(line, text.host.as_deref());
        let route = self.route(line, text);
        self.path(line, text);
        if let Some(first) = self.names.insert(route.name.to_string(), line) {
            self.wrong(
                line,
                format!(
                    "the name `{}` stands in line {first}, too; give one a `name`",
                    route.name
                ),
            );
        }
        if self.mistakes.len() > before {
            return;
        }
        let route = Arc::new(route);
        self.routes.push(Arc::clone(&route));
        let paths = self.by_host.entry(host).or_default();
        let (first, rows) = paths.entry(text.path.clone()).or_insert((line, Vec::new()));
        let (first, shadow) = (*first, rows.iter().find(|row| hides(row, &route)).is_some());
        rows.push(route);
        if shadow {
            self.wrong(line, format!("never reached: the row of this path above it (line {first}) takes these methods"));
        }
    }

    fn wrong(&mut self, line: usize, text: impl Into<String>) {
        self.mistakes.push(RouteMistake {
            line,
            text: text.into(),
        });
    }

    fn host(&mut self, line: usize, host: Option<&str>) -> HostPattern {
        let Some(host) = host else {
            return HostPattern::Any;
        };
        HostPattern::parse(host).unwrap_or_else(|| {
            self.wrong(
                line,
                format!("`{host}` is no host; write it like shop.example.org or *.example.org, without a port"),
            );
            HostPattern::Any
        })
    }

    fn path(&mut self, line: usize, text: &RouteText) {
        let path = &text.path;
        let is_reserved = |reserved: &&str| {
            path.strip_prefix(*reserved)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if !path.starts_with('/') {
            self.wrong(line, format!("the path `{path}` does not begin with /"));
        } else if let Some(reserved) = RESERVED.iter().find(|reserved| is_reserved(reserved)) {
            self.wrong(
                line,
                format!("{reserved} is answered by the gateway itself; choose another path"),
            );
        } else if !path.starts_with(&text.strip_prefix) || text.strip_prefix.ends_with('/') {
            let prefix = &text.strip_prefix;
            self.wrong(
                line,
                format!("strip_prefix is `{prefix}`: it must be the front of the path, without a / at its end"),
            );
        } else if text.strip_prefix.contains(['{', '}']) {
            self.wrong(line, "strip_prefix has no parameters");
        } else if path.len() - text.strip_prefix.len() > LABEL_BYTES_MAX - 20 {
            self.wrong(line, "the path has more than 180 bytes");
        }
    }

    fn route(&mut self, line: usize, text: &RouteText) -> Route {
        let methods: Vec<Method> = text
            .methods
            .iter()
            .filter_map(|method| {
                let known = Method::from_bytes(method.as_bytes()).ok();
                let known = known.filter(|_| !method.bytes().any(|b| b.is_ascii_lowercase()));
                if known.is_none() {
                    self.wrong(line, format!("`{method}` is no method; write it like GET"));
                }
                known
            })
            .collect();
        let name = text.name.clone().unwrap_or_else(|| {
            let host = text.host.as_deref().unwrap_or_default();
            let words = [text.methods.join(","), format!("{host}{}", text.path)];
            words.join(" ").trim().to_owned()
        });
        self.service(line, text);
        self.limits(line, text);
        let versions = match &text.version {
            Some(version) => vec![(version.clone(), 1)],
            None => text.versions.clone().into_iter().collect(),
        };
        let path = text
            .path
            .strip_prefix(&text.strip_prefix)
            .unwrap_or(&text.path);
        let on_disk = text.durability.as_deref() == Some("disk");
        let body_bytes_max = if on_disk {
            STORED_BODY_BYTES_MAX
        } else {
            BODY_BYTES_MAX
        };
        Route {
            methods,
            versions,
            deadline: text.deadline_ms.map_or(DEADLINE, Duration::from_millis),
            on_disk,
            body_bytes_max: text.body_bytes_max.unwrap_or(body_bytes_max),
            content_types: text.content_types.clone(),
            concurrency_max: text.concurrency_max,
            retries: text.retries.unwrap_or(RETRIES),
            strip_prefix: text.strip_prefix.clone(),
            endpoint: Some(if path.is_empty() { "/" } else { path }.to_owned()),
            ..Route::to(&text.service, &name)
        }
    }

    fn service(&mut self, line: usize, text: &RouteText) {
        if !is_name(&text.service) {
            let service = &text.service;
            self.wrong(
                line,
                format!("`{service}` is no name of a service: a-z, 0-9, then also . _ -"),
            );
        }
        if text.version.is_some() && !text.versions.is_empty() {
            self.wrong(line, "`version` and `versions` stand together; keep one");
        }
        if !text.versions.is_empty() && text.versions.values().all(|weight| *weight == 0) {
            self.wrong(line, "all weights in `versions` are 0");
        }
        let versions = text.version.iter().chain(text.versions.keys());
        if versions
            .into_iter()
            .any(|v| v.is_empty() || v.len() > LABEL_BYTES_MAX)
        {
            self.wrong(line, format!("a version has 1 to {LABEL_BYTES_MAX} bytes"));
        }
    }

    fn limits(&mut self, line: usize, text: &RouteText) {
        match text.durability.as_deref() {
            None | Some("memory") => {}
            Some("disk") => {
                let most = STORED_BODY_BYTES_MAX;
                if text.body_bytes_max.is_some_and(|bytes| bytes > most) {
                    let text = format!("with durability `disk` a body has at most {most} bytes");
                    self.wrong(line, text);
                }
            }
            Some(other) => self.wrong(
                line,
                format!("durability is `memory` or `disk`, not `{other}`"),
            ),
        }
        if text
            .deadline_ms
            .is_some_and(|ms| ms == 0 || ms > DEADLINE_MAX_MS)
        {
            self.wrong(line, format!("deadline_ms is 1 to {DEADLINE_MAX_MS}"));
        }
        if text.concurrency_max == Some(0) {
            self.wrong(line, "concurrency_max is 0: nothing would pass");
        }
        if text.retries.is_some_and(|retries| retries > RETRIES_MAX) {
            self.wrong(line, format!("retries is at most {RETRIES_MAX}"));
        }
        for kind in &text.content_types {
            if kind.split('/').count() != 2 || kind.contains([';', ' ']) {
                self.wrong(
                    line,
                    format!("`{kind}` is no media type; write it like application/json or image/*"),
                );
            }
        }
    }

    fn table(mut self, default_routes: bool) -> Result<Table, RouteFileError> {
        let mut hosts = Vec::with_capacity(self.by_host.len());
        for (host, paths) in std::mem::take(&mut self.by_host) {
            let mut router = matchit::Router::new();
            for (path, (line, rows)) in paths {
                if let Err(error) = router.insert(&path, rows) {
                    let hint = "parameters are whole segments like {id}, the last one may be {*rest}, \
                                and rows of one place give their parameter one name";
                    self.wrong(line, format!("the path `{path}`: {error}; {hint}"));
                }
            }
            hosts.push((host, router));
        }
        hosts.sort_by_key(|(host, _)| host.rank());
        if !self.mistakes.is_empty() {
            self.mistakes.sort_by_key(|mistake| mistake.line);
            return Err(RouteFileError {
                mistakes: self.mistakes,
            });
        }
        Ok(Table {
            hosts,
            defaults: default_routes.then(Defaults::default),
            routes: self.routes,
        })
    }
}

/// Whether `below` can never be found behind `above`.
fn hides(above: &Route, below: &Route) -> bool {
    above.methods.is_empty()
        || !below.methods.is_empty() && below.methods.iter().all(|method| above.takes(method))
}

#[cfg(test)]
mod tests {
    use super::super::Found;
    use super::*;

    fn mistakes(text: &str) -> Vec<(usize, String)> {
        let error = Table::parse(text).unwrap_err();
        let mistakes = error.mistakes.into_iter();
        mistakes
            .map(|mistake| (mistake.line, mistake.text))
            .collect()
    }

    #[track_caller]
    fn is_wrong(row: &str, what: &str) {
        let text = format!("\n[[routes]]\npath = \"/a\"\nservice = \"s\"\n{row}\n");
        let found = mistakes(&text);
        assert!(
            found
                .iter()
                .any(|(line, text)| *line >= 2 && text.contains(what)),
            "{row}: {found:?}"
        );
    }

    #[test]
    fn each_mistake_is_named_with_its_line() {
        let text = "# routes\n[[routes]]\npath = \"/a\"\nservice = \"Not a name\"\n\n\
                    [[routes]]\npath = \"b\"\nservice = \"s\"\n";
        let found = mistakes(text);
        assert_eq!(
            found.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [2, 6]
        );
        assert!(
            found[0].1.contains("`Not a name`") && found[1].1.contains("`b`"),
            "{found:?}"
        );
        let found = mistakes("[[routes]]\npath = \"/a\"\nservise = \"s\"\n");
        assert_eq!(found[0].0, 3, "{found:?}");
        assert!(found[0].1.contains("servise"), "{found:?}");
        assert_eq!(mistakes("a\nb")[0].0, 1);
    }

    #[test]
    fn values_that_cannot_be_meant() {
        is_wrong("methods = [\"get\"]", "`get`");
        is_wrong("host = \"a:80\"", "`a:80`");
        is_wrong("durability = \"disk\"\nbody_bytes_max = 917505", "917504");
        is_wrong("durability = \"paper\"", "`paper`");
        is_wrong("deadline_ms = 0", "deadline_ms");
        is_wrong("concurrency_max = 0", "nothing would pass");
        is_wrong("retries = 99", "at most");
        is_wrong("content_types = [\"json\"]", "`json`");
        is_wrong("version = \"1\"\nversions = { \"2\" = 1 }", "keep one");
        is_wrong("versions = { \"2\" = 0 }", "0");
        is_wrong("strip_prefix = \"/b\"", "`/b`");
        is_wrong("deadline_ms = -1", "");
        is_wrong(
            "[[routes]]\npath = \"/v1/x\"\nservice = \"s\"",
            "the gateway itself",
        );
        is_wrong("[[routes]]\npath = \"/b/{x\"\nservice = \"s\"", "/b/{x");
        is_wrong(
            "[[routes]]\nname=\"2\"\npath = \"/a\"\nservice = \"t\"",
            "never reached",
        );
        is_wrong("[[routes]]\npath = \"/a\"\nservice = \"t\"", "line 2");
    }

    #[test]
    fn a_request_finds_its_row() {
        let table = Table::parse(
            "default_routes = true\n\
             [[routes]]\npath = \"/shop/{item}\"\nmethods = [\"GET\"]\nservice = \"read\"\n\
             [[routes]]\npath = \"/shop/{item}\"\nmethods = [\"PUT\", \"POST\"]\nservice = \"write\"\n\
             [[routes]]\npath = \"/shop/{item}\"\nhost = \"*.eu.org\"\nservice = \"eu\"\n\
             [[routes]]\npath = \"/files/{*rest}\"\nservice = \"files\"\n",
        )
        .unwrap();
        let find = |method: Method, host: &str, path: &str| match table.find(&method, host, path) {
            Found::Route { route, parameters } => (route.service.to_string(), parameters),
            Found::OtherMethods(methods) => (methods, vec![]),
            Found::Nothing => (String::new(), vec![]),
        };
        let item = |value: &str| vec![("item".to_owned(), value.to_owned())];
        assert_eq!(
            find(Method::GET, "a.org", "/shop/4"),
            ("read".into(), item("4"))
        );
        assert_eq!(
            find(Method::PUT, "a.org", "/shop/4"),
            ("write".into(), item("4"))
        );
        assert_eq!(
            find(Method::DELETE, "a", "/shop/4"),
            ("GET, POST, PUT".into(), vec![])
        );
        assert_eq!(find(Method::DELETE, "A.EU.org:80", "/shop/4").0, "eu");
        assert_eq!(find(Method::GET, "a", "/files/x/y").1[0].1, "x/y");
        assert_eq!(find(Method::GET, "a", "/other/x").0, "other");
        assert_eq!(find(Method::GET, "a", "/").0, "");
    }

    #[test]
    fn a_row_that_stays_keeps_its_count() {
        let text = "[[routes]]\npath = \"/a\"\nservice = \"s\"\nconcurrency_max = 1\n";
        let routes = super::super::Routes::new(Table::parse(text).unwrap());
        let _turn = routes.current().routes[0].turn().unwrap();
        routes.replace(Table::parse(text).unwrap());
        assert!(routes.current().routes[0].turn().is_none());
    }
}
