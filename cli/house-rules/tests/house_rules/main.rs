//! One test a rule. A failure lists the places and says what to do about them.

mod planted;

use verteilt_house_rules::packages::{self, Packages};
use verteilt_house_rules::tree::Tree;
use verteilt_house_rules::{demand_none, layout, sources, supply};

// ------------------------------------------------------------------ who may know whom

#[test]
fn core_reaches_nothing_impure() {
    demand_none(
        &packages::core_reaches_nothing_impure(&Packages::of_workspace()),
        "take the dependency out of broker/core/Cargo.toml; hand the core what it needs as an \
         argument of `decide` (time, entropy), or do the deed in broker/src.",
    );
}

#[test]
fn core_sources_are_pure() {
    demand_none(
        &sources::core_is_pure(&Tree::of_repository()),
        "the same journal must give the same state: pass `now` in, return an effect instead of \
         doing a deed, and use BTreeMap or a map with a fixed hasher.",
    );
}

#[test]
fn dependency_arrows_point_one_way() {
    demand_none(
        &packages::arrows_point_one_way(&Packages::of_workspace()),
        "move the code to the room that may know both, or put what they share into protocol/. \
         A new arrow needs a decision record and a line in ARROWS (packages.rs).",
    );
}

#[test]
fn arrows_behind_features_are_known() {
    demand_none(
        &packages::arrows_behind_features_are_known(&Packages::with_all_features()),
        "an arrow behind a feature is an arrow for whoever asks for it: it needs a decision record \
         and a line in ARROWS_BEHIND_FEATURES (packages.rs).",
    );
}

#[test]
fn sled_is_named_in_the_store_only() {
    demand_none(
        &sources::sled_is_named_in_the_store_only(&Tree::of_repository()),
        "go through the Store trait of broker/src/store, and export what you need from there.",
    );
}

#[test]
fn unsafe_is_in_sled_sync_only() {
    demand_none(
        &sources::unsafe_is_in_sled_sync_only(&Tree::of_repository()),
        "find the safe call (rustix has most system calls); broker/sled-sync is the one exception.",
    );
}

// ------------------------------------------------------------------ what we take from others

#[test]
fn licences_are_allowed() {
    demand_none(
        &supply::licences_are_allowed(&Packages::of_workspace()),
        "use another package. If the licence is fit to ship with Apache-2.0, add it to licence.rs \
         and to deny.toml, and say why in docs/decisions.",
    );
}

#[test]
fn packages_come_from_the_registry() {
    demand_none(
        &supply::sources_are_known(&Packages::of_workspace()),
        "depend on a published version; git and foreign registries cannot be reproduced.",
    );
}

#[test]
fn nothing_is_banned() {
    demand_none(
        &supply::nothing_is_banned(&Packages::of_workspace()),
        "find who pulls it in with `cargo tree -i NAME` and switch that feature off.",
    );
}

#[test]
fn nothing_is_shipped_twice() {
    demand_none(
        &supply::nothing_is_shipped_twice(&Packages::of_workspace()),
        "bring both users to one version (`cargo tree -d`); if one of them cannot move, name it \
         in TWICE (supply.rs) with the reason.",
    );
}

#[test]
fn known_doubles_are_still_doubles() {
    demand_none(
        &supply::known_doubles_are_still_doubles(&Packages::of_workspace()),
        "good news: take it out of TWICE (supply.rs).",
    );
}

// ------------------------------------------------------------------ how we write

#[test]
fn queues_are_bounded() {
    demand_none(
        &sources::queues_are_bounded(&Tree::of_repository()),
        "use a channel with a capacity that protocol/src/limits.rs or the configuration names.",
    );
}

#[test]
fn nothing_is_promised() {
    demand_none(
        &sources::nothing_is_promised(&Tree::of_repository()),
        "do it now, or write it down outside the code.",
    );
}

#[test]
fn modules_are_documented() {
    demand_none(
        &sources::modules_are_documented(&Tree::of_repository()),
        "open the file with a //! comment: what is here, and where to start reading.",
    );
}

#[test]
fn no_machine_paths() {
    demand_none(
        &sources::no_machine_paths(&Tree::of_repository()),
        "use a path relative to the repository, or one that the reader chooses.",
    );
}

// ------------------------------------------------------------------ where things stand

#[test]
fn folders_are_rooms() {
    demand_none(
        &layout::folders_are_rooms(&Tree::of_repository()),
        "put it into the room that it belongs to; a new room needs ARCHITECTURE.md and ROOMS \
         (layout.rs).",
    );
}

#[test]
fn names_say_something() {
    demand_none(
        &layout::names_say_something(&Tree::of_repository()),
        "name it after what it does; if it does several things, split it.",
    );
}

#[test]
fn files_are_small() {
    demand_none(
        &layout::files_are_small(&Tree::of_repository()),
        "split it along its nouns; a generated file says @generated in its first lines.",
    );
}

#[test]
fn decisions_have_their_parts() {
    demand_none(
        &layout::decisions_have_their_parts(&Tree::of_repository()),
        "a record is docs/decisions/NNNN-title.md with the headings Status, Context, Decision, \
         Consequences.",
    );
}

#[test]
fn links_lead_somewhere() {
    demand_none(
        &layout::links_lead_somewhere(&Tree::of_repository()),
        "mend the link, or write the document that it promises.",
    );
}
