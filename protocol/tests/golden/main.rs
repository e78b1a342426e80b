//! `golden/` holds encoded frames and what they mean, for the clients of all languages; here they
//! are held against this crate, in both directions. See `golden/README.md`.
//! `VERTEILT_BLESS=1 cargo test -p verteilt-protocol --test golden` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod administration;
mod case;
mod connection;
mod jobs;
mod json;
mod malformed;
mod requests;
mod results;
mod services;
mod topics;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use verteilt_protocol::FrameType;

use case::Case;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn bless() -> bool {
    std::env::var_os("VERTEILT_BLESS").is_some()
}

fn cases() -> Vec<Case> {
    let mut cases = connection::cases();
    cases.extend(jobs::pushes());
    cases.extend(jobs::subscriptions());
    cases.extend(jobs::deliveries());
    cases.extend(jobs::settlings());
    cases.extend(administration::cases());
    cases.extend(topics::topics());
    cases.extend(requests::cases());
    cases.extend(results::cases());
    cases.extend(services::cases());
    cases
}

/// The names of the `.bin` files of a folder, without their ends.
fn stems(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let bins = entries.filter(|path| path.extension().is_some_and(|end| end == "bin"));
    bins.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect()
}

fn read_json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn write(path: &Path, bytes: &[u8], meaning: &serde_json::Value) {
    fs::write(path.with_extension("bin"), bytes).unwrap();
    let text = serde_json::to_string_pretty(meaning).unwrap() + "\n";
    fs::write(path.with_extension("json"), text).unwrap();
}

#[test]
fn frames_decode_and_encode_as_their_files_say() {
    let pool = json::descriptors();
    for case in cases() {
        let path = folder().join(case.name);
        let meaning = json::meaning(&pool, &case);
        if bless() {
            write(&path, &case.bytes, &meaning);
        }
        let bytes = fs::read(path.with_extension("bin")).unwrap();
        assert_eq!(case.bytes, bytes, "{}: encoded differently", case.name);
        case.decodes_to_its_message(&bytes);
        let file = read_json(&path.with_extension("json"));
        assert_eq!(meaning, file, "{}: means something else", case.name);
        assert_eq!(
            json::encode_meaning(&pool, &file),
            bytes,
            "{}: the JSON is another frame",
            case.name
        );
    }
}

#[test]
fn every_type_has_a_frame_and_every_file_a_case() {
    let cases = cases();
    for kind in FrameType::ALL {
        assert!(
            cases.iter().any(|case| case.kind == *kind),
            "{kind} has no golden frame"
        );
    }
    let names: BTreeSet<_> = cases.iter().map(|case| case.name.to_owned()).collect();
    assert_eq!(names.len(), cases.len(), "two cases share a name");
    assert_eq!(
        names,
        stems(&folder()),
        "run with VERTEILT_BLESS=1, delete what is left over"
    );
}

#[test]
fn malformed_frames_are_refused_as_their_files_say() {
    let folder = folder().join("malformed");
    let cases = malformed::cases();
    for case in &cases {
        let path = folder.join(case.name);
        let meaning = case.meaning();
        if bless() {
            write(&path, &case.bytes, &meaning);
        }
        let bytes = fs::read(path.with_extension("bin")).unwrap();
        assert_eq!(bytes, case.bytes, "{}", case.name);
        assert_eq!(malformed::judge(&bytes), Some(case.code), "{}", case.name);
        assert_eq!(
            read_json(&path.with_extension("json")),
            meaning,
            "{}",
            case.name
        );
    }
    let names: BTreeSet<_> = cases.iter().map(|case| case.name.to_owned()).collect();
    assert_eq!(
        names,
        stems(&folder),
        "run with VERTEILT_BLESS=1, delete what is left over"
    );
}
