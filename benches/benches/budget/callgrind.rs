//! Running a path under valgrind and reading what it counted.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use verteilt_benches::program::data_folder;

use crate::paths::PATHS;

/// Calls that are counted of each path; what is not counted comes before.
const CALLS: u64 = 20;
/// Not counted: they fill caches, pools and buffers.
const CALLS_BEFORE: u64 = 5;

/// What callgrind looks for: only what happens inside of this function is counted.
const COUNTED: &str = "*instructions_are_counted_in_here*";

/// Calls a path so often that what it takes is the same from call to call.
pub(crate) fn repeat(mut call: impl FnMut()) {
    for _ in 0..CALLS_BEFORE {
        call();
    }
    for _ in 0..CALLS {
        instructions_are_counted_in_here(&mut call);
    }
}

#[inline(never)]
fn instructions_are_counted_in_here(call: &mut dyn FnMut()) {
    black_box(call)();
}

/// Instructions of one call of each path, in their order.
pub(crate) fn count_all() -> Result<Vec<(String, u64)>> {
    // Kept: `callgrind_annotate` shows where they went.
    let folder = data_folder()?.with_file_name("budget");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let mut counts = Vec::new();
    for path in PATHS {
        let file = path.name.replace([' ', ','], "-");
        let counted = count(path.name, &folder.join(file).with_extension("callgrind"))?;
        counts.push((path.name.to_owned(), counted));
    }
    Ok(counts)
}

fn count(name: &str, out: &Path) -> Result<u64> {
    let program = std::env::current_exe().context("looking for the path of this program")?;
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(out);
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(out_file)
        .arg(program)
        .args(["run", name])
        .stdin(Stdio::null())
        .status()
        .context("running valgrind (make bench-budget installs it where it may)")?;
    ensure!(done.success(), "{name} ended with {done} under valgrind");
    let text = fs::read_to_string(out).with_context(|| format!("reading {}", out.display()))?;
    let summary = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let total: u64 = summary
        .and_then(|count| count.trim().parse().ok())
        .context("callgrind wrote no summary")?;
    ensure!(total > 0, "nothing of {name} was counted");
    Ok(total / CALLS)
}
