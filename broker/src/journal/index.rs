//! What a segment holds, in a few kilobytes of memory: its end, the numbers of each shard, and a
//! point every 64 KiB from which a reader starts to look.

use super::{header::BatchHeader, layout::DATA_OFFSET};

/// At least this many bytes lie between two points.
const POINT_BYTES: u32 = 64 * 1024;

/// The numbers of one shard in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) shard: u16,
    pub(super) first_lsn: u64,
    pub(super) last_lsn: u64,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    shard: u16,
    first_lsn: u64,
    offset: u32,
}

#[derive(Debug)]
pub(super) struct Index {
    /// Where the next batch will stand. Everything before it is durable.
    pub(super) end: u32,
    ranges: Vec<Range>,
    points: Vec<Point>,
}

impl Index {
    /// An empty index with room for all the points of a segment, so that adding never allocates.
    pub(super) fn new(segment_bytes: u32) -> Self {
        let points = (segment_bytes / POINT_BYTES) as usize + 1;
        Self {
            end: DATA_OFFSET,
            ranges: Vec::with_capacity(1),
            points: Vec::with_capacity(points),
        }
    }

    /// Takes in a durable batch that ends before `end`.
    pub(super) fn add(&mut self, header: &BatchHeader, end: u32) {
        self.end = end;
        if header.is_seal() {
            return;
        }
        let last_lsn = header.last_lsn();
        match self
            .ranges
            .iter_mut()
            .find(|range| range.shard == header.shard)
        {
            Some(range) => range.last_lsn = last_lsn,
            None => self.ranges.push(Range {
                shard: header.shard,
                first_lsn: header.first_lsn,
                last_lsn,
            }),
        }
        let last = self.points.last().map_or(0, |point| point.offset);
        if header.offset >= last + POINT_BYTES {
            self.points.push(Point {
                shard: header.shard,
                first_lsn: header.first_lsn,
                offset: header.offset,
            });
        }
    }

    /// The numbers of each shard.
    pub(super) fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    pub(super) fn range(&self, shard: u16) -> Option<Range> {
        self.ranges
            .iter()
            .copied()
            .find(|range| range.shard == shard)
    }

    /// An offset at or before the batch of `shard` that holds `lsn`.
    pub(super) fn offset_before(&self, shard: u16, lsn: u64) -> u32 {
        self.points
            .iter()
            .rev()
            .find(|point| point.shard == shard && point.first_lsn <= lsn)
            .map_or(DATA_OFFSET, |point| point.offset)
    }
}
