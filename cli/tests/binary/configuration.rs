//! Where `serve` gets its options from, and what it refuses.

use std::fs;

use crate::process::{run, stderr, stdout, verteilt};

fn print_config(dir: &std::path::Path) -> std::process::Command {
    let mut command = verteilt(["serve", "--print-config"]);
    command.current_dir(dir);
    command
}

#[test]
fn flags_over_environment_over_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let toml = "grace = \"1s\"\n[journal]\nbytes_max = \"2GiB\"\n[connections]\nmax = 7\n";
    fs::write(folder.path().join("verteilt.toml"), toml).unwrap();
    let mut command = print_config(folder.path());
    let shown = stdout(&run(command
        .env("VERTEILT_CONNECTIONS__MAX", "8")
        .env("VERTEILT_GRACE", "2s")
        .args(["--grace", "3s"])));
    assert!(shown.contains("grace = \"3s\""), "{shown}");
    assert!(shown.contains("max = 8"), "{shown}");
    assert!(shown.contains("bytes_max = \"2GiB\""), "{shown}");
    assert!(shown.contains("listen = \"127.0.0.1:7450\""), "{shown}");
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("verteilt.toml"),
        "[journal]\nmaximum = 1\n",
    )
    .unwrap();
    let refused = run(&mut print_config(folder.path()));
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("`journal.maximum`"),
        "{}",
        stderr(&refused)
    );

    fs::remove_file(folder.path().join("verteilt.toml")).unwrap();
    let refused = run(print_config(folder.path()).env("VERTEILT_LISTNE", "127.0.0.1:1"));
    assert_eq!(refused.status.code(), Some(2));
    let told = stderr(&refused);
    assert!(
        told.contains("VERTEILT_LISTNE") && told.contains("`listen`"),
        "{told}"
    );
}

#[test]
fn the_variables_of_others_do_not_disturb() {
    let folder = tempfile::tempdir().unwrap();
    let shown = run(print_config(folder.path())
        .env("VERTEILT_URL", "verteilt://127.0.0.1:7450")
        .env("VERTEILT_SERVICE_HOST", "10.0.0.1")
        .env("VERTEILT_PORT_7450_TCP_ADDR", "10.0.0.1")
        .env("VERTEILT_METRICS", ""));
    assert!(shown.status.success(), "{}", stderr(&shown));
}

#[test]
fn other_machines_are_kept_out_unless_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut serve = verteilt(["serve", "--listen", "0.0.0.0:0", "--data"]);
    let refused = run(serve.arg(&data));
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr(&refused).contains("--allow-unauthenticated"),
        "{}",
        stderr(&refused)
    );
    assert!(!data.exists());
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&mut verteilt(["completions", shell]));
        assert!(stdout(&script).contains("verteilt"), "{shell}");
    }
}

#[test]
fn help_tells_the_exit_codes() {
    let help = stdout(&run(&mut verteilt(["--help"])));
    assert!(help.contains("no broker could be reached"), "{help}");
}
