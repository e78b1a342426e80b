//! The dependency graph, as cargo resolves it, and who may depend on whom.

use crate::{Finding, tree};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// One package of the graph.
#[derive(Debug, Clone, Default)]
pub struct Package {
    /// Its name in the manifest.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its SPDX expression, or empty.
    pub licence: String,
    /// Where it comes from; empty for a package of this workspace.
    pub source: String,
    /// Whether it is a procedural macro, which runs in the compiler only.
    pub is_macro: bool,
    /// The features that are switched on.
    pub features: Vec<String>,
    /// Ids of what is linked into it: normal dependencies, without those of tests and builds.
    pub needs: BTreeSet<String>,
}

/// All packages by id.
#[derive(Debug, Clone, Default)]
pub struct Packages {
    /// Key: cargo's package id.
    pub by_id: BTreeMap<String, Package>,
}

/// Who may import whom among our own packages; what is not named here imports none of ours.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "verteilt-broker",
        &["verteilt-core", "verteilt-protocol", "verteilt-sled-sync"],
    ),
    ("verteilt-client", &["verteilt-protocol"]),
    (
        "verteilt-simulation",
        &["verteilt-broker", "verteilt-client", "verteilt-history"],
    ),
    ("verteilt-gateway", &["verteilt-client"]),
    ("verteilt-tower", &["verteilt-client"]),
    ("verteilt-shop", &["verteilt-client", "verteilt-tower"]),
    (
        "verteilt-cli",
        &[
            "verteilt-benches",
            "verteilt-broker",
            "verteilt-client",
            "verteilt-gateway",
            "verteilt-history",
            "verteilt-protocol",
            "verteilt-shop",
        ],
    ),
    (
        "verteilt-benches",
        &[
            "verteilt-broker",
            "verteilt-client",
            "verteilt-core",
            "verteilt-protocol",
        ],
    ),
];

/// Who may import whom beyond that where a feature is asked for which nobody here asks for.
const ARROWS_BEHIND_FEATURES: &[(&str, &[&str])] = &[("verteilt-client", &["verteilt-broker"])];

/// What the core must not even have in reach.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "sled",
    "rand",
    "rand_core",
    "getrandom",
    "tracing",
    "log",
    "metrics",
    "prost",
    "serde",
];

impl Packages {
    /// Asks cargo, offline and from the lock file, for the graph on this machine's platform.
    ///
    /// # Panics
    /// If cargo cannot answer.
    #[must_use]
    pub fn of_workspace() -> Self {
        Self::resolved(&[])
    }

    /// As [`Self::of_workspace`], with every feature of every package of ours.
    ///
    /// # Panics
    /// If cargo cannot answer.
    #[must_use]
    pub fn with_all_features() -> Self {
        Self::resolved(&["--all-features"])
    }

    fn resolved(more: &[&str]) -> Self {
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let answer = Command::new(cargo)
            .args([
                "metadata",
                "--format-version",
                "1",
                "--locked",
                "--filter-platform",
            ])
            .arg(platform())
            .args(more)
            .current_dir(tree::root())
            .output()
            .expect("cargo can be run");
        let complaint = String::from_utf8_lossy(&answer.stderr);
        assert!(
            answer.status.success(),
            "cargo metadata failed: {complaint}"
        );
        let metadata: Value =
            serde_json::from_slice(&answer.stdout).expect("cargo metadata prints JSON");
        Self::from_metadata(&metadata)
    }

    /// Reads what `cargo metadata` prints.
    #[must_use]
    pub fn from_metadata(metadata: &Value) -> Self {
        let mut by_id = BTreeMap::new();
        for node in list(&metadata["resolve"]["nodes"]) {
            let normal = list(&node["deps"]).iter().filter(|dep| {
                list(&dep["dep_kinds"])
                    .iter()
                    .any(|kind| kind["kind"].is_null())
            });
            let package = Package {
                features: list(&node["features"]).iter().map(text).collect(),
                needs: normal.map(|dep| text(&dep["pkg"])).collect(),
                ..Package::default()
            };
            by_id.insert(text(&node["id"]), package);
        }
        for described in list(&metadata["packages"]) {
            if let Some(package) = by_id.get_mut(&text(&described["id"])) {
                package.name = text(&described["name"]);
                package.version = text(&described["version"]);
                package.licence = text(&described["license"]);
                package.source = text(&described["source"]);
                package.is_macro = list(&described["targets"]).iter().any(|target| {
                    list(&target["kind"])
                        .iter()
                        .any(|kind| kind == "proc-macro")
                });
            }
        }
        let mut packages = Self { by_id };
        for described in list(&metadata["packages"]) {
            packages.forget_what_is_off(described);
        }
        packages
    }

    /// The graph names an optional dependency also where no feature asks for it, if the tests of the
    /// same package need it.
    fn forget_what_is_off(&mut self, described: &Value) {
        let Some(package) = self.by_id.get(&text(&described["id"])) else {
            return;
        };
        let asked = package.features.iter();
        let asked = asked.flat_map(|feature| list(&described["features"][feature.as_str()]));
        let asked: BTreeSet<String> = asked.filter_map(|item| asks_for(&text(item))).collect();
        let normal = list(&described["dependencies"]).iter();
        let normal = normal.filter(|declared| declared["kind"].is_null());
        let (optional, needed): (Vec<_>, Vec<_>) = normal
            .map(|declared| (declared["optional"] == true, text(&declared["name"])))
            .partition(|(optional, _)| *optional);
        let mut off: BTreeSet<String> = optional.into_iter().map(|(_, name)| name).collect();
        off.retain(|name| !asked.contains(name) && !needed.iter().any(|(_, it)| it == name));
        let mut needs = package.needs.clone();
        needs.retain(|id| !off.contains(&self.by_id[id].name));
        if let Some(package) = self.by_id.get_mut(&text(&described["id"])) {
            package.needs = needs;
        }
    }

    /// The packages of this workspace.
    pub fn ours(&self) -> impl Iterator<Item = (&String, &Package)> {
        self.by_id
            .iter()
            .filter(|(_, package)| package.source.is_empty())
    }

    /// Everything that is linked into the named package, itself included; macros are not.
    #[must_use]
    pub fn linked_into(&self, name: &str) -> BTreeSet<&str> {
        let start = self
            .by_id
            .iter()
            .filter(|(_, package)| package.name == name);
        let mut waiting: Vec<&str> = start.map(|(id, _)| id.as_str()).collect();
        let mut seen = BTreeSet::new();
        while let Some(id) = waiting.pop() {
            if !self.by_id[id].is_macro && seen.insert(id) {
                waiting.extend(self.by_id[id].needs.iter().map(String::as_str));
            }
        }
        seen
    }
}

/// Nothing that could make the core impure is within its reach.
#[must_use]
pub fn core_reaches_nothing_impure(packages: &Packages) -> Vec<Finding> {
    packages
        .linked_into("verteilt-core")
        .into_iter()
        .map(|id| packages.by_id[id].name.as_str())
        .filter(|name| NOT_IN_CORE.contains(name))
        .map(|name| Finding::new("verteilt-core", format!("reaches {name}")))
        .collect()
}

/// Our packages import one another in one direction only.
#[must_use]
pub fn arrows_point_one_way(packages: &Packages) -> Vec<Finding> {
    arrows_beyond(packages, &[ARROWS])
}

/// Nor do they with every feature on, but for what `ARROWS_BEHIND_FEATURES` names.
#[must_use]
pub fn arrows_behind_features_are_known(packages: &Packages) -> Vec<Finding> {
    arrows_beyond(packages, &[ARROWS, ARROWS_BEHIND_FEATURES])
}

fn arrows_beyond(packages: &Packages, tables: &[&[(&str, &[&str])]]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (_, package) in packages.ours() {
        let rows = tables.iter().flat_map(|table| table.iter());
        let rows = rows.filter(|(name, _)| *name == package.name);
        let allowed: Vec<&str> = rows.flat_map(|(_, to)| to.iter().copied()).collect();
        for needed in package.needs.iter().map(|id| &packages.by_id[id]) {
            if needed.source.is_empty() && !allowed.contains(&needed.name.as_str()) {
                findings.push(Finding::new(
                    &package.name,
                    format!("imports {}", needed.name),
                ));
            }
        }
    }
    findings
}

/// The triple of the compiler that runs this test.
fn platform() -> String {
    let answer = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc can be run");
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc -vV names its host").to_owned()
}

/// The dependency that an item of a feature switches on, if it is one.
fn asks_for(item: &str) -> Option<String> {
    if let Some(name) = item.strip_prefix("dep:") {
        return Some(name.to_owned());
    }
    let (name, _) = item.split_once('/')?;
    (!name.ends_with('?')).then(|| name.to_owned())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
