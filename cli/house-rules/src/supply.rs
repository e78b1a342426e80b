//! Rules about what we take from others: licences, origin, bans, and one version of each.

use crate::packages::{Package, Packages};
use crate::{Finding, licence};
use std::collections::BTreeMap;

/// The only place that packages come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What must not be in the graph at all, and why. The same list stands in deny.toml.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "a C library at run time; rustls will do"),
    ("native-tls", "a C library at run time; rustls will do"),
    ("async-std", "a second runtime beside tokio"),
    ("protobuf-src", "builds protoc; generated code is committed"),
];

/// Features of sled that lose data or were never tested with our use of it.
const SLED_FEATURES_BANNED: &[&str] = &["io_uring", "compression", "zstd", "testing"];

/// Packages that stand twice in the shipped binary today, and who holds the older one.
const TWICE: &[(&str, &str)] = &[
    ("getrandom", "metrics-exporter-prometheus 0.18 by rand 0.9"),
    (
        "hashbrown",
        "metrics-exporter-prometheus 0.18 by metrics-util",
    ),
    ("parking_lot", "sled 0.34.7"),
    ("parking_lot_core", "sled 0.34.7 by parking_lot 0.11"),
    ("rand_core", "metrics-exporter-prometheus 0.18 by rand 0.9"),
];

/// Every licence in the graph can be shipped with ours.
#[must_use]
pub fn licences_are_allowed(packages: &Packages) -> Vec<Finding> {
    packages
        .by_id
        .values()
        .filter(|package| !licence::is_allowed(&package.licence))
        .map(|package| Finding::new(named(package), format!("licence '{}'", package.licence)))
        .collect()
}

/// Everything comes from the registry or from this repository.
#[must_use]
pub fn sources_are_known(packages: &Packages) -> Vec<Finding> {
    packages
        .by_id
        .values()
        .filter(|package| !package.source.is_empty() && package.source != REGISTRY)
        .map(|package| Finding::new(named(package), format!("comes from {}", package.source)))
        .collect()
}

/// Nothing banned is in the graph, and sled is used the way it was tested.
#[must_use]
pub fn nothing_is_banned(packages: &Packages) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages.by_id.values() {
        if let Some((_, why)) = BANNED.iter().find(|(name, _)| *name == package.name) {
            findings.push(Finding::new(named(package), *why));
        }
        let features = package.features.iter().map(String::as_str);
        for feature in features.filter(|feature| SLED_FEATURES_BANNED.contains(feature)) {
            if package.name == "sled" {
                findings.push(Finding::new(
                    named(package),
                    format!("feature {feature} is on"),
                ));
            }
        }
    }
    findings
}

/// The binary holds each package once, apart from the known ones; and those are still known.
#[must_use]
pub fn nothing_is_shipped_twice(packages: &Packages) -> Vec<Finding> {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages
        .linked_into("verteilt-cli")
        .into_iter()
        .map(|id| &packages.by_id[id])
    {
        versions
            .entry(&package.name)
            .or_default()
            .push(&package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let is_known = |name: &str| TWICE.iter().any(|(known, _)| *known == name);
    let strangers = versions.iter().filter(|(name, _)| !is_known(name));
    strangers
        .map(|(name, versions)| Finding::new(*name, format!("in versions {}", versions.join(", "))))
        .collect()
}

/// What `TWICE` names is still there twice: the list only ever shrinks with its reasons.
#[must_use]
pub fn known_doubles_are_still_doubles(packages: &Packages) -> Vec<Finding> {
    let linked = packages.linked_into("verteilt-cli");
    let copies = |name: &str| {
        linked
            .iter()
            .filter(|id| packages.by_id[**id].name == name)
            .count()
    };
    TWICE
        .iter()
        .filter(|(name, _)| copies(name) < 2)
        .map(|(name, holder)| Finding::new(*name, format!("stands once; was held by {holder}")))
        .collect()
}

fn named(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}
