//! The texts of the repository, as git would commit them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders that hold what was built or fetched; read only where git cannot tell.
const NOT_OURS: &[&str] = &[".git", "target", "node_modules", "verteilt-data"];

/// One text file.
#[derive(Debug, Clone)]
pub struct File {
    /// Path from the root of the repository, with `/`.
    pub path: String,
    /// Its content.
    pub text: String,
}

impl File {
    /// The file's name without folders.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether it is Rust source.
    #[must_use]
    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is only ever compiled for a test: integration tests and `tests.rs` modules.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.name() == "tests.rs"
    }

    /// Whether a generator wrote it; such a file says so in its first lines.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.text
            .lines()
            .take(3)
            .any(|line| line.contains("@generated"))
    }
}

/// All text files of the repository.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// Sorted by path.
    pub files: Vec<File>,
    /// Paths of what is no text: pictures, recorded frames.
    pub others: Vec<String>,
}

impl Tree {
    /// Reads the repository that this crate stands in: what git tracks and what it would add,
    /// or, without git, everything that was not built.
    ///
    /// # Panics
    /// If the repository cannot be read.
    #[must_use]
    pub fn of_repository() -> Self {
        let root = root();
        let paths = listed_by_git(&root).unwrap_or_else(|| walked(&root));
        let mut tree = Self::default();
        for path in paths {
            match fs::read_to_string(root.join(&path)) {
                Ok(text) => tree.files.push(File { path, text }),
                Err(error) if error.kind() == ErrorKind::InvalidData => tree.others.push(path),
                // Git knows of it, and it is gone.
                Err(_) => {}
            }
        }
        tree
    }

    /// A tree of one planted file.
    #[must_use]
    pub fn of(path: &str, text: &str) -> Self {
        Self {
            files: vec![File {
                path: path.into(),
                text: text.into(),
            }],
            others: Vec::new(),
        }
    }

    /// Whether a file or folder of that path is in the tree.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        let texts = self.files.iter().map(|file| &file.path);
        texts
            .chain(&self.others)
            .any(|known| known == path || known.starts_with(&folder))
    }

    /// The Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }
}

/// The root of the repository.
///
/// # Panics
/// If this crate was moved: it expects to stand two folders below the root.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("house-rules stands in cli/")
        .to_path_buf()
}

/// Tracked and addable paths, or `None` where there is no git or no repository.
fn listed_by_git(root: &Path) -> Option<BTreeSet<String>> {
    let listing = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(listing.stdout).ok()?;
    let paths: BTreeSet<String> = text
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(String::from)
        .collect();
    (listing.status.success() && !paths.is_empty()).then_some(paths)
}

fn walked(root: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a folder of the repository can be read");
        for entry in entries.flatten() {
            let path = entry.path();
            let ours = !NOT_OURS.iter().any(|name| entry.file_name() == *name);
            if path.is_dir() && ours {
                folders.push(path);
            } else if path.is_file()
                && let Ok(relative) = path.strip_prefix(root)
            {
                paths.insert(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    paths
}
