//! A rule that cannot fail holds nothing: each finds the offence that is planted for it, and
//! leaves alone what only looks like one.

use serde_json::{Value, json};
use verteilt_house_rules::packages::{self, Packages};
use verteilt_house_rules::tree::Tree;
use verteilt_house_rules::{Finding, code, layout, licence, sources, supply};

type TextRule = fn(&Tree) -> Vec<Finding>;

/// How many offences the rule finds in a tree of one file.
fn found(rule: TextRule, path: &str, text: &str) -> usize {
    rule(&Tree::of(path, text)).len()
}

#[test]
fn comments_and_strings_are_not_code() {
    let source = "let a = \"tokio // no\"; // tokio\n/* rand /* */ rand */ let b = '\"'; b\n";
    let code = code::only(source);
    assert_eq!(code.lines().count(), 2);
    assert!(!code::has_word(&code, "tokio") && !code::has_word(&code, "rand"));
    assert!(code.contains("let b = '\"'; b"));
    let raw = code::only("r#\"sled \" sled\"# + sled; fn f<'a>(x: &'a str) {} \"sled\"");
    assert_eq!(raw.matches("sled").count(), 1);
}

#[test]
fn core_purity() {
    let here = "broker/core/src/job.rs";
    let impure = "use std::time::Instant;\nfn f() { println!(); }\nlet m = HashMap::new();\n";
    assert_eq!(found(sources::core_is_pure, here, impure), 3);
    assert_eq!(
        found(
            sources::core_is_pure,
            here,
            "struct S { m: HashMap<u64, (u8, u8)> }"
        ),
        1
    );
    assert_eq!(
        found(
            sources::core_is_pure,
            here,
            "m: HashMap<u64, Vec<u8>, Fixed>,"
        ),
        0
    );
    assert_eq!(
        found(
            sources::core_is_pure,
            here,
            "// no Instant here\nlet operand = 1;"
        ),
        0
    );
    assert_eq!(
        found(sources::core_is_pure, "broker/src/net/mod.rs", impure),
        0
    );
}

#[test]
fn words_in_their_place() {
    let uses = "let tree = sled::open(path);";
    assert_eq!(
        found(
            sources::sled_is_named_in_the_store_only,
            "broker/src/lib.rs",
            uses
        ),
        1
    );
    assert_eq!(
        found(
            sources::sled_is_named_in_the_store_only,
            "broker/src/store/sled.rs",
            uses
        ),
        0
    );
    let shim = "use verteilt_sled_sync::counter;";
    assert_eq!(
        found(
            sources::sled_is_named_in_the_store_only,
            "broker/src/lib.rs",
            shim
        ),
        0
    );
    assert_eq!(
        found(
            sources::unsafe_is_in_sled_sync_only,
            "cli/src/main.rs",
            "unsafe { x() }"
        ),
        1
    );
    assert_eq!(
        found(
            sources::unsafe_is_in_sled_sync_only,
            "cli/src/main.rs",
            "unsafe_code"
        ),
        0
    );
    assert_eq!(
        found(
            sources::queues_are_bounded,
            "a/b.rs",
            "mpsc::unbounded_channel()"
        ),
        1
    );
    assert_eq!(
        found(sources::nothing_is_promised, "a/b.rs", "// TODO: later"),
        1
    );
    assert_eq!(
        found(sources::modules_are_documented, "a/src/b.rs", "use x;"),
        1
    );
    assert_eq!(
        found(
            sources::modules_are_documented,
            "a/src/b.rs",
            "#![no_main]\n//! B."
        ),
        0
    );
}

#[test]
fn machine_paths() {
    assert_eq!(
        found(sources::no_machine_paths, "a.rs", "open(\"/root/x\")"),
        1
    );
    assert_eq!(found(sources::no_machine_paths, "a.md", "see /tmp/x"), 1);
    assert_eq!(
        found(
            sources::no_machine_paths,
            "a.rs",
            "https://example.org/home/x"
        ),
        0
    );
}

#[test]
fn layout_rules() {
    assert_eq!(found(layout::folders_are_rooms, "stuff/a.rs", ""), 1);
    assert_eq!(
        found(layout::names_say_something, "broker/src/utils.rs", ""),
        1
    );
    assert_eq!(
        found(
            layout::names_say_something,
            "client-rs/tests/common/mod.rs",
            ""
        ),
        1
    );
    assert_eq!(
        found(
            layout::files_are_small,
            "broker/src/a.rs",
            &"x\n".repeat(801)
        ),
        1
    );
    let generated = format!("// @generated\n{}", "x\n".repeat(801));
    assert_eq!(
        found(layout::files_are_small, "protocol/src/wire.rs", &generated),
        0
    );
    assert_eq!(
        found(
            layout::decisions_have_their_parts,
            "docs/decisions/a.md",
            "# A"
        ),
        2
    );
    let links = "[a](b.md) [c](https://example.org) [d](a.md#part) [e](../docs/a.md)";
    assert_eq!(found(layout::links_lead_somewhere, "docs/a.md", links), 1);
}

#[test]
fn licence_expressions() {
    for good in [
        "MIT",
        "MIT OR GPL-3.0",
        "GPL-2.0/MIT",
        "(MIT OR X) AND Zlib",
        "X OR MIT AND ISC",
    ] {
        assert!(licence::is_allowed(good), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR X) AND X",
        "MIT WITH X",
        "(MIT",
    ] {
        assert!(!licence::is_allowed(bad), "{bad}");
    }
}

/// A graph in which every package rule has something to find.
fn rotten() -> Packages {
    let dep = |id: &str| json!({ "pkg": id, "dep_kinds": [{ "kind": null }] });
    let node = |id: &str, deps: Vec<Value>, features: &[&str]| json!({ "id": id, "deps": deps, "features": features });
    let registry = "registry+https://github.com/rust-lang/crates.io-index";
    let package = |id: &str, name: &str, licence: &str, source: Option<&str>| json!({ "id": id, "name": name, "version": id, "license": licence, "source": source });
    Packages::from_metadata(&json!({
        "resolve": { "nodes": [
            node("core", vec![dep("tokio"), dep("protocol")], &[]),
            node("protocol", vec![], &[]),
            node("cli", vec![dep("tokio"), dep("tokio-0")], &[]),
            node("tokio", vec![], &[]),
            node("tokio-0", vec![], &[]),
            node("sled", vec![], &["compression"]),
            node("ssl", vec![], &[]),
        ]},
        "packages": [
            package("core", "verteilt-core", "Apache-2.0", None),
            package("protocol", "verteilt-protocol", "Apache-2.0", None),
            package("cli", "verteilt-cli", "Apache-2.0", None),
            package("tokio", "tokio", "MIT", Some(registry)),
            package("tokio-0", "tokio", "MIT", Some("git+https://example.org/tokio")),
            package("sled", "sled", "MIT", Some(registry)),
            package("ssl", "openssl-sys", "OpenSSL", Some(registry)),
        ],
    }))
}

#[test]
fn package_rules() {
    let rotten = rotten();
    assert_eq!(packages::core_reaches_nothing_impure(&rotten).len(), 1);
    assert_eq!(packages::arrows_point_one_way(&rotten).len(), 1);
    assert_eq!(supply::licences_are_allowed(&rotten).len(), 1);
    assert_eq!(supply::sources_are_known(&rotten).len(), 1);
    assert_eq!(supply::nothing_is_banned(&rotten).len(), 2);
    assert_eq!(supply::nothing_is_shipped_twice(&rotten).len(), 1);
    assert!(!supply::known_doubles_are_still_doubles(&rotten).is_empty());
}

/// A client whose tests need the broker, and which needs it itself only behind a feature; and a
/// gateway that always does.
fn behind_a_feature(features: &[&str]) -> Packages {
    let needs = |kinds: &[Value]| json!([{ "pkg": "broker", "dep_kinds": kinds.iter().map(|kind| json!({ "kind": kind })).collect::<Vec<_>>() }]);
    let package = |name: &str, features: Value, dependencies: Value| json!({ "id": name, "name": format!("verteilt-{name}"), "features": features, "dependencies": dependencies });
    let declared = |kind: Value, optional: bool| json!({ "name": "verteilt-broker", "kind": kind, "optional": optional });
    let optional = json!([declared(Value::Null, true), declared(json!("dev"), false)]);
    let offered = json!({
        "default": ["sync"],
        "sync": ["verteilt-broker?/sync"],
        "embedded": ["dep:verteilt-broker"],
        "implied": ["verteilt-broker/sync"],
    });
    Packages::from_metadata(&json!({
        "resolve": { "nodes": [
            { "id": "client", "deps": needs(&[Value::Null, json!("dev")]), "features": features },
            { "id": "gateway", "deps": needs(&[Value::Null]), "features": [] },
            { "id": "broker", "deps": [], "features": [] },
        ]},
        "packages": [
            package("client", offered, optional),
            package("gateway", json!({}), json!([declared(Value::Null, false)])),
            package("broker", json!({}), json!([])),
        ],
    }))
}

#[test]
fn arrows_behind_features() {
    let gateway_alone = |findings: Vec<Finding>| {
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].place, "verteilt-gateway");
    };
    let off = behind_a_feature(&["default", "sync"]);
    gateway_alone(packages::arrows_point_one_way(&off));
    for feature in ["embedded", "implied"] {
        let on = behind_a_feature(&["default", "sync", feature]);
        assert_eq!(packages::arrows_point_one_way(&on).len(), 2, "{feature}");
        gateway_alone(packages::arrows_behind_features_are_known(&on));
    }
}
