//! The records of topics in a checkpoint: every block, that the records of a partition follow one
//! another without a gap, and that those it keeps are all there.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use verteilt_core::{Ledger, Offset, PartitionId, RecordRun, RecordTables, TopicId};

use super::VerifyError;
use super::state::Look;
use crate::store::{BlockReader, RecordBlockMeta};

impl Look<'_> {
    /// Every record block: its records, of the partition and with the offsets that the directory
    /// says. And all blocks of a partition together.
    pub(super) fn records(
        &mut self,
        reader: &BlockReader,
        blocks: &[RecordBlockMeta],
        ledger: &Ledger,
    ) -> Result<(), VerifyError> {
        for block in blocks {
            let number = block.number;
            let Some(bytes) = self.at(reader.read_records(number, block.bytes))? else {
                continue;
            };
            let Some(runs) = self.at(RecordRun::scan_records(&bytes))? else {
                continue;
            };
            if !is_as_named(block, &bytes, &runs) {
                self.wrong(format!(
                    "record block {number}: it does not hold what the directory says"
                ));
            }
        }
        self.partitions(blocks, ledger);
        Ok(())
    }

    /// Whether the blocks hold what the ledger says is kept. A block may begin before it.
    fn partitions(&mut self, blocks: &[RecordBlockMeta], ledger: &Ledger) {
        let mut found: BTreeMap<PartitionId, Range<Offset>> = BTreeMap::new();
        for block in blocks {
            let (partition, first) = (partition_of(block), block.first_offset);
            let range = found.entry(partition).or_insert(first..first);
            if range.end != first {
                let named = named(partition);
                self.wrong(format!(
                    "{named}: the records {}..{first} are missing",
                    range.end
                ));
            }
            range.end = block.next_offset;
        }
        for (partition, kept) in ledger.kept_records() {
            let range = found.remove(&partition).unwrap_or(kept.end..kept.end);
            if range.start > kept.start || range.end != kept.end {
                let named = named(partition);
                self.wrong(format!(
                    "{named}: the records {kept:?} are kept, and the blocks hold {range:?}"
                ));
            }
        }
        for partition in found.keys() {
            let named = named(*partition);
            self.wrong(format!("{named}: it is gone, and its records are there"));
        }
    }
}

fn partition_of(block: &RecordBlockMeta) -> PartitionId {
    PartitionId {
        topic: TopicId(block.topic),
        number: block.partition,
    }
}

fn named(partition: PartitionId) -> String {
    let (topic, number) = (partition.topic.0, partition.number);
    format!("partition {number} of topic number {topic}")
}

fn is_as_named(block: &RecordBlockMeta, bytes: &Bytes, runs: &[(Range<usize>, RecordRun)]) -> bool {
    let (mut at, mut next) = (0, block.first_offset);
    for (place, run) in runs {
        let follows = place.start == at && run.first_offset == next;
        if !follows || run.partition != partition_of(block) || !is_whole(run, bytes, place.end) {
            return false;
        }
        (at, next) = (place.end, run.next_offset());
    }
    let time_ms = runs.first().map(|(_, run)| run.time_ms);
    (at, next, time_ms) == (bytes.len(), block.next_offset, Some(block.time_ms))
}

/// Whether the lengths of its keys, header blocks and values are those of its bytes, which reach to
/// `end`.
fn is_whole(run: &RecordRun, bytes: &Bytes, end: usize) -> bool {
    let mut tables = RecordTables::default();
    let all = (run.count, u64::MAX);
    let Some(payload) = run.take(bytes, run.first_offset, all, true, &mut tables) else {
        return false;
    };
    let lengths = tables.values.iter().chain(&tables.keys);
    let lengths = lengths.chain(&tables.headers).copied().map(u64::from);
    let payload_at = payload.as_ptr() as usize - bytes.as_ptr() as usize;
    tables.count() == run.count as usize
        && payload_at + payload.len() == end
        && lengths.sum::<u64>() == payload.len() as u64
}
