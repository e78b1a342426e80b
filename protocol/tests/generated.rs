//! `src/wire.rs` is what `proto/verteilt.proto` generates. No protoc is needed.
//! `VERTEILT_BLESS=1 cargo test -p verteilt-protocol --test generated` writes it anew.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::Path;

use protox::Compiler;

fn generate() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = Compiler::new([root.join("proto")])
        .unwrap()
        .include_source_info(true)
        .open_file("verteilt.proto")
        .unwrap()
        .file_descriptor_set();
    let out = tempfile::tempdir().unwrap();
    prost_build::Config::new()
        .bytes(["."])
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();
    fs::read_to_string(out.path().join("verteilt.v1.rs")).unwrap()
}

#[test]
fn wire_rs_is_generated_from_the_schema() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wire.rs");
    let generated = generate();
    if std::env::var_os("VERTEILT_BLESS").is_some() {
        fs::write(&committed, generated).unwrap();
        return;
    }
    assert!(
        fs::read_to_string(&committed).unwrap() == generated,
        "src/wire.rs is not what proto/verteilt.proto generates; run with VERTEILT_BLESS=1"
    );
}
