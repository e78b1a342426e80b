//! Requests: stories in `scripts/*.txt` (`play.rs` says how they are written), and whatever happens
//! in whatever order (`whatever.rs`).
//!
//! `VERTEILT_BLESS=1` writes down what comes out of the stories now; read the difference before you
//! keep it.

mod broker;
mod model;
mod play;
mod told;
mod whatever;
mod world;

use std::fs;
use std::path::Path;

#[test]
fn scripts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests/scripts");
    let bless = std::env::var_os("VERTEILT_BLESS").is_some();
    let mut failed = Vec::new();
    let mut paths: Vec<_> = fs::read_dir(folder)
        .expect("the folder of scripts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let script = fs::read_to_string(&path).expect("a script");
        let played = play::play(&script);
        if played != script && bless {
            fs::write(&path, &played).expect("the script is writable");
        } else if played != script {
            failed.push(format!("{}\ncame:\n{played}", path.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
