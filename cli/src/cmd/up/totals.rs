//! What came out of the work, for people.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use crate::failure::Failure;
use crate::output;

/// Files shown one by one.
const LARGEST: usize = 3;

/// One file's result.
#[derive(Debug)]
pub(super) struct Summed {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

/// All results.
#[derive(Debug, Default)]
pub(super) struct Totals {
    files: u64,
    bytes: u64,
    unreadable: u64,
    /// Largest first.
    largest: Vec<Summed>,
    pub(super) took: Duration,
}

impl Totals {
    pub(super) fn add(&mut self, result: io::Result<Summed>) {
        let Ok(summed) = result else {
            self.unreadable += 1;
            return;
        };
        self.files += 1;
        self.bytes += summed.bytes;
        let place = self
            .largest
            .partition_point(|other| other.bytes >= summed.bytes);
        self.largest.insert(place, summed);
        self.largest.truncate(LARGEST);
    }

    pub(super) fn jobs(&self) -> u64 {
        self.files + self.unreadable
    }

    pub(super) fn tell(&self) -> Result<(), Failure> {
        let seconds = self.took.as_secs_f64().max(f64::MIN_POSITIVE);
        let per_second = |amount: u64| (amount as f64 / seconds) as u64;
        output::line(&format!(
            "summed {} files, {} in {:.2?}: {} jobs/s, {}/s, every one acknowledged on disk",
            HumanCount(self.files),
            HumanBytes(self.bytes),
            self.took,
            HumanCount(per_second(self.jobs())),
            HumanBytes(per_second(self.bytes)),
        ))?;
        if self.unreadable > 0 {
            output::line(&format!(
                "{} could not be read",
                HumanCount(self.unreadable)
            ))?;
        }
        if !self.largest.is_empty() {
            output::line("the largest:")?;
        }
        for Summed {
            path,
            bytes,
            sha256,
        } in &self.largest
        {
            let start: String = sha256[..8]
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let size = HumanBytes(*bytes).to_string();
            output::line(&format!("  {start}...  {size:>12}  {}", path.display()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_come_first_and_are_few() {
        let mut totals = Totals::default();
        for bytes in [3, 1, 9, 4, 9] {
            totals.add(Ok(Summed {
                path: PathBuf::from("f"),
                bytes,
                sha256: [0; 32],
            }));
        }
        totals.add(Err(io::ErrorKind::NotFound.into()));
        let sizes: Vec<u64> = totals.largest.iter().map(|summed| summed.bytes).collect();
        assert_eq!(sizes, [9, 9, 4]);
        assert_eq!((totals.files, totals.bytes, totals.jobs()), (5, 26, 6));
    }
}
