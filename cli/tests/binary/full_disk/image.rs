//! A file system of its own for a test: an ext4 image on a loop device, for which it takes root.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Unmounted when dropped.
pub(crate) struct Image {
    folder: TempDir,
}

impl Image {
    /// `None` where nothing can be mounted; that is said so that it is seen.
    pub(crate) fn mount(bytes: u64) -> Option<Self> {
        match Self::try_mount(bytes) {
            Ok(image) => Some(image),
            Err(reason) => {
                // Past the test's own standard error, which is shown only when it fails.
                let _ = writeln!(
                    std::io::stderr(),
                    "SKIPPED the test on a really full disk: {reason}. It takes root, loop devices \
                     and mkfs.ext4; a full disk stays tested in broker/tests/it/full_disk.rs only."
                );
                None
            }
        }
    }

    fn try_mount(bytes: u64) -> Result<Self, String> {
        let image = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let file = image.folder.path().join("image");
        File::create(&file).unwrap().set_len(bytes).unwrap();
        fs::create_dir(image.path()).unwrap();
        // No blocks for root alone: the broker of this test is root, too.
        tool(Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&file))?;
        let options = ["-o", "loop"];
        tool(
            Command::new("mount")
                .args(options)
                .arg(&file)
                .arg(image.path()),
        )?;
        Ok(image)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        free_bytes(&self.path())
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // Never mounted, as a rule, if this fails; lazily, if somebody still uses it.
        let _ = tool(Command::new("umount").arg("-l").arg(self.path()));
    }
}

pub(crate) fn free_bytes(path: &Path) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_bavail * found.f_frsize
}

fn tool(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}", said.trim()))
}
