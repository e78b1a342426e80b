//! The services of the shop that run in Node: whether this machine can run them, and which.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Their names, which are those of their folders, and how many processes of each.
pub(super) const SERVICES: [(&str, u32); 5] = [
    ("catalog", 2),
    ("pricing", 1),
    ("orders", 1),
    ("mailer", 1),
    ("analytics", 1),
];

/// The oldest version of Node that runs them.
const MAJOR_MIN: u32 = 20;
/// For `node --version`.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// What this machine has.
#[derive(Debug)]
pub(super) enum Node {
    /// All that is needed, with the folder of the services.
    Ready(PathBuf),
    /// Something is missing; a sentence that says what, and what to do about it.
    Missing(String),
}

/// Looks, and asks nobody but `node` itself: what is missing is told, never fetched.
pub(super) async fn look(folder: &Path) -> Node {
    let shown = folder.display();
    let Ok(full) = folder.canonicalize() else {
        return Node::Missing(format!(
            "no folder {shown}; start it where the sources are, or say --services DIR"
        ));
    };
    if !full.join("package.json").is_file() {
        return Node::Missing(format!("no services in {shown}; say --services DIR"));
    }
    match version().await {
        Some(major) if major >= MAJOR_MIN => {}
        Some(major) => {
            return Node::Missing(format!(
                "Node {major} is too old; install {MAJOR_MIN} or newer"
            ));
        }
        None => return Node::Missing(format!("no `node`; install Node {MAJOR_MIN} or newer")),
    }
    // npm writes it when it has installed everything.
    if !full.join("node_modules/.package-lock.json").is_file() {
        return Node::Missing(format!(
            "its packages are not installed; type `npm ci --prefix {shown}` and start this again"
        ));
    }
    Node::Ready(full)
}

async fn version() -> Option<u32> {
    let mut command = Command::new("node");
    command.arg("--version").stdin(Stdio::null());
    command.kill_on_drop(true);
    let told = tokio::time::timeout(ANSWER_TIME, command.output()).await;
    major(&String::from_utf8_lossy(&told.ok()?.ok()?.stdout))
}

fn major(told: &str) -> Option<u32> {
    told.trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read() {
        assert_eq!(major("v20.11.1\n"), Some(20));
        assert_eq!(major("v8.0.0"), Some(8));
        assert_eq!(major("command not found"), None);
    }
}
