//! Power cuts: records every operation of a run, builds what the disk may hold after a cut at any
//! of them (unsynced writes lost, kept or torn at a sector, unsynced names lost), and opens it.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    bench::{Bench, InFiles, append_many, batch, read_all},
    hook::{DiskHook, DiskOperation},
};
use crate::journal::Journal;

#[derive(Debug, Clone)]
enum Entry {
    Create(PathBuf),
    Write(PathBuf, usize, Vec<u8>),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncFolder,
    /// This number was acknowledged.
    Acknowledged(u64),
}

#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Entry>>);

impl DiskHook for Recorder {
    fn before(&self, operation: &DiskOperation<'_>) -> io::Result<()> {
        let name = |path: &Path| PathBuf::from(path.file_name().unwrap());
        let entry = match operation {
            DiskOperation::Create(path) => Entry::Create(name(path)),
            DiskOperation::Write(path, offset, bytes) => Entry::Write(
                name(path),
                usize::try_from(*offset).unwrap(),
                bytes.to_vec(),
            ),
            DiskOperation::Sync(path) => Entry::Sync(name(path)),
            DiskOperation::Rename(from, to) => Entry::Rename(name(from), name(to)),
            DiskOperation::Remove(path) => Entry::Remove(name(path)),
            DiskOperation::SyncFolder => Entry::SyncFolder,
        };
        self.0.lock().push(entry);
        Ok(())
    }
}

#[derive(Debug, Default, Clone)]
struct SimulatedFile {
    durable: Vec<u8>,
    pending: Vec<(usize, Vec<u8>)>,
}

/// A disk with a cache: what is durable, and what may still be lost.
#[derive(Debug, Default, Clone)]
struct SimulatedDisk {
    files: Vec<SimulatedFile>,
    /// Names as the running system sees them.
    names: BTreeMap<PathBuf, usize>,
    /// Names as they were after each change that is not durable yet; the first one is durable.
    versions: Vec<BTreeMap<PathBuf, usize>>,
    acknowledged: u64,
}

impl SimulatedDisk {
    fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::Create(name) => {
                self.names.insert(name.clone(), self.files.len());
                self.files.push(SimulatedFile::default());
            }
            Entry::Write(name, offset, bytes) => {
                self.files[self.names[name]]
                    .pending
                    .push((*offset, bytes.clone()));
            }
            Entry::Sync(name) => {
                let file = &mut self.files[self.names[name]];
                for (offset, bytes) in std::mem::take(&mut file.pending) {
                    put(&mut file.durable, offset, &bytes);
                }
            }
            Entry::Rename(from, to) => {
                let file = self.names.remove(from).unwrap();
                self.names.insert(to.clone(), file);
            }
            Entry::Remove(name) => {
                self.names.remove(name);
            }
            Entry::SyncFolder => self.versions.clear(),
            Entry::Acknowledged(lsn) => self.acknowledged = *lsn,
        }
        if self.versions.last() != Some(&self.names) {
            self.versions.push(self.names.clone());
        }
    }

    /// Writes one of the states that a cut may leave into `folder`.
    fn lay_out(&self, folder: &Path, dice: &mut Dice) {
        for entry in fs::read_dir(folder).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        let version = dice.below(self.versions.len());
        for (name, &file) in &self.versions[version] {
            let file = &self.files[file];
            let mut bytes = file.durable.clone();
            for (offset, written) in &file.pending {
                match dice.below(4) {
                    0 => {}
                    1 => put(&mut bytes, *offset, written),
                    2 => {
                        let kept = dice.below(written.len() + 1) / 512 * 512;
                        put(&mut bytes, *offset, &written[..kept]);
                    }
                    // Sectors reach the disk in any order.
                    _ => {
                        for (index, sector) in written.chunks(512).enumerate() {
                            if dice.below(2) == 0 {
                                put(&mut bytes, offset + index * 512, sector);
                            }
                        }
                    }
                }
            }
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

/// Chance that is the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

const SIZES: [usize; 6] = [100, 8_000, 440, 30_000, 4_024, 20_000];

fn size_of(lsn: u64) -> usize {
    SIZES[usize::try_from(lsn).unwrap() % SIZES.len()]
}

/// A run over several segments with seals, trims, recycling, and an open in the middle.
fn record() -> Vec<Entry> {
    let bench = InFiles::new();
    let recorder = Arc::new(Recorder::default());
    let mut lsn = 0;
    for _ in 0..2 {
        let hook = Arc::clone(&recorder) as Arc<dyn DiskHook>;
        let (mut journal, _) = bench.open_hooked(hook).unwrap();
        for _ in 0..24 {
            lsn += 1;
            journal.append(&batch(0, lsn, 1, size_of(lsn))).unwrap();
            recorder.0.lock().push(Entry::Acknowledged(lsn));
            if lsn.is_multiple_of(5) {
                journal.seal().unwrap();
            }
            if lsn.is_multiple_of(9) {
                journal.log().trim(0, lsn - 2).unwrap();
            }
        }
    }
    std::mem::take(&mut *recorder.0.lock())
}

#[test]
fn every_power_cut_recovers_all_that_was_acknowledged() {
    let entries = record();
    let mut disk = SimulatedDisk {
        versions: vec![BTreeMap::new()],
        ..SimulatedDisk::default()
    };
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let bench = InFiles::new();
    for (at, entry) in entries.iter().enumerate() {
        disk.take(entry);
        let is_zero_filling = matches!(entry, Entry::Write(name, ..)
            if name.to_str().is_some_and(|name| name.starts_with("unfinished-")));
        for cut in 0..if is_zero_filling { 1 } else { 2 } {
            disk.lay_out(bench.path(), &mut dice);
            let (mut journal, recovered) = bench
                .try_open()
                .unwrap_or_else(|error| panic!("cut {cut} after {at} ({entry:?}): {error}"));
            let last = recovered.last_lsn.unwrap_or(0);
            assert!(
                (disk.acknowledged..=disk.acknowledged + 1).contains(&last),
                "cut {cut} after {at}: {} acknowledged, {last} recovered",
                disk.acknowledged
            );
            let log = journal.log();
            let first = recovered.first_lsn.unwrap_or(1);
            for (index, (found, _)) in read_all(&*log, 0, 0).iter().enumerate() {
                let lsn = first + index as u64;
                assert_eq!(
                    *found,
                    batch(0, lsn, 1, size_of(lsn)),
                    "cut {cut} after {at}"
                );
            }
            append_many(&mut journal, last, 2, 9_000);
        }
    }
}
