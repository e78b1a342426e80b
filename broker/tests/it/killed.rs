//! The folder of a broker as a SIGKILL would leave it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::house::{House, eventually};

/// Copies the folder of a running broker at a moment when nothing is being written, the last batch is
/// sealed and the watermark has followed: no part of it may be taken for a torn write.
pub(crate) fn copy_of_running(house: &House, to: &Path) {
    eventually("the broker is at rest", || {
        replace(house.data(), to);
        is_covered(&to.join("journal")) && is_same(house.data(), to)
    });
}

/// Makes `to` the same as `from`.
pub(crate) fn replace(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    fs::create_dir_all(to).unwrap();
    for name in files(from) {
        fs::create_dir_all(to.join(&name).parent().unwrap()).unwrap();
        // A file that goes while it is copied shows in the comparison.
        let _ = fs::copy(from.join(&name), to.join(&name));
    }
}

/// The files of a folder by their paths in it, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(within) = folders.pop() {
        for entry in fs::read_dir(folder.join(&within)).unwrap() {
            let entry = entry.unwrap();
            let path = within.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn is_same(one: &Path, other: &Path) -> bool {
    let read = |folder: &Path, name: &Path| fs::read(folder.join(name)).ok();
    let names = files(one);
    names == files(other)
        && names
            .iter()
            .all(|name| read(one, name) == read(other, name))
}

/// Whether the last batch of the journal is a seal, and the watermark stands behind it.
fn is_covered(journal: &Path) -> bool {
    let watermark = fs::read(journal.join("watermark")).unwrap();
    let slots = [&watermark[..44], &watermark[4096..4140]];
    let newest = slots.iter().max_by_key(|slot| number(slot, 8)).unwrap();
    let (segment, end) = (number(newest, 16), number(newest, 24) as usize);
    let last = last_batch(journal, segment);
    let has_next = last_batch(journal, segment + 1).is_some();
    last.is_some_and(|last| last.end == end && last.is_seal) && !has_next
}

struct Last {
    end: usize,
    is_seal: bool,
}

fn last_batch(journal: &Path, segment: u64) -> Option<Last> {
    let bytes = fs::read(journal.join(format!("{segment:016}.journal"))).ok()?;
    let mut last = None;
    let mut at = 4096;
    while let Some(header) = bytes.get(at..at + 72) {
        if !header.starts_with(b"VJB\x1A") || number(header, 16) != segment {
            break;
        }
        let (events, payload) = (number(header, 48) as u32, number(header, 52) as u32);
        at = (at + 72 + payload as usize).next_multiple_of(512);
        let is_seal = events == 0;
        last = Some(Last { end: at, is_seal });
    }
    last
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
