//! Which pages and blocks there are, about ten bytes each, written anew by every checkpoint: for
//! ten million jobs it stays near one megabyte.
//!
//! ```text
//! generation                                          all varints
//! pages:  count, then each: number, gap, span, records, parts
//! blocks: count, then each: number, gap, span, entries, live, bytes, parts
//! freed pages:  count, then each: number, parts
//! freed blocks: count, then each: number, parts
//! records: count, then each: number, topic, partition, first offset, span, time, bytes
//! freed records: count, then each: number, bytes
//! ```
//! The last two lists are there if either has an entry.
//!
//! `gap` is how far the first id lies behind the last of the one before, `span` how far the last id
//! behind the first. What was freed is listed because its deletion comes after the manifest and may
//! be lost: the next start deletes it again, without searching the store for it.

use std::collections::BTreeMap;

use super::snapshot::{BlockMeta, PageMeta, RecordBlockMeta};
use super::varint::{put, take, take_as};

/// What exists at one moment, by number: shared by the catalog, which changes it at each commit,
/// and the readers, who ask it whether a missing value is a loss.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) pages: BTreeMap<u64, PageMeta>,
    pub(super) blocks: BTreeMap<u64, BlockMeta>,
    pub(super) records: BTreeMap<u64, RecordBlockMeta>,
}

/// What a checkpoint writes down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) generation: u64,
    /// In ascending order of id, disjoint.
    pub(super) pages: Vec<PageMeta>,
    /// In ascending order of id, disjoint.
    pub(super) blocks: Vec<BlockMeta>,
    /// Numbers and parts.
    pub(super) freed_pages: Vec<(u64, u16)>,
    /// Numbers and parts.
    pub(super) freed_blocks: Vec<(u64, u16)>,
    /// In the order of [`RecordBlockMeta::place`], disjoint.
    pub(super) records: Vec<RecordBlockMeta>,
    /// Numbers and bytes.
    pub(super) freed_records: Vec<(u64, u32)>,
}

impl Listing {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + 12 * self.pages.len() + 16 * self.blocks.len());
        put(&mut out, &[self.generation, self.pages.len() as u64]);
        let mut last = 0;
        for page in &self.pages {
            let span = page.last_id - page.first_id;
            put(
                &mut out,
                &[page.number, page.first_id - last, span, page.records.into()],
            );
            put(&mut out, &[page.parts.into()]);
            last = page.last_id;
        }
        put(&mut out, &[self.blocks.len() as u64]);
        last = 0;
        for block in &self.blocks {
            let span = block.last_id - block.first_id;
            put(
                &mut out,
                &[
                    block.number,
                    block.first_id - last,
                    span,
                    block.entries.into(),
                ],
            );
            put(
                &mut out,
                &[block.live.into(), block.bytes.into(), block.parts.into()],
            );
            last = block.last_id;
        }
        for freed in [&self.freed_pages, &self.freed_blocks] {
            put(&mut out, &[freed.len() as u64]);
            for (number, parts) in freed {
                put(&mut out, &[*number, u64::from(*parts)]);
            }
        }
        self.encode_records(&mut out);
        out
    }

    fn encode_records(&self, out: &mut Vec<u8>) {
        if self.records.is_empty() && self.freed_records.is_empty() {
            return;
        }
        put(out, &[self.records.len() as u64]);
        for block in &self.records {
            let span = block.next_offset - block.first_offset;
            put(
                out,
                &[
                    block.number,
                    block.topic.into(),
                    block.partition.into(),
                    block.first_offset,
                ],
            );
            put(out, &[span, block.time_ms, block.bytes.into()]);
        }
        put(out, &[self.freed_records.len() as u64]);
        for (number, bytes) in &self.freed_records {
            put(out, &[*number, u64::from(*bytes)]);
        }
    }

    fn decode_records(&mut self, from: &mut &[u8]) -> Result<(), &'static str> {
        for _ in 0..take(from)? {
            let number = take(from)?;
            let (topic, partition) = (take_as(from)?, take_as(from)?);
            let first_offset = take(from)?;
            let next_offset = first_offset.checked_add(take(from)?);
            let block = RecordBlockMeta {
                number,
                topic,
                partition,
                first_offset,
                next_offset: next_offset.ok_or("an offset in it is out of range")?,
                time_ms: take(from)?,
                bytes: take_as(from)?,
            };
            self.records.push(block);
        }
        if !disjoint(&self.records) {
            return Err("two ranges of offsets in it overlap");
        }
        for _ in 0..take(from)? {
            self.freed_records.push((take(from)?, take_as(from)?));
        }
        Ok(())
    }

    pub(super) fn decode(mut from: &[u8]) -> Result<Self, &'static str> {
        let from = &mut from;
        let mut listing = Self {
            generation: take(from)?,
            ..Self::default()
        };
        let mut range = Range::default();
        for _ in 0..take(from)? {
            let number = take(from)?;
            let (first_id, last_id) = range.take(from)?;
            listing.pages.push(PageMeta {
                number,
                first_id,
                last_id,
                records: take_as(from)?,
                parts: take_as(from)?,
            });
        }
        range = Range::default();
        for _ in 0..take(from)? {
            let number = take(from)?;
            let (first_id, last_id) = range.take(from)?;
            listing.blocks.push(BlockMeta {
                number,
                first_id,
                last_id,
                entries: take_as(from)?,
                live: take_as(from)?,
                bytes: take_as(from)?,
                parts: take_as(from)?,
            });
        }
        for _ in 0..take(from)? {
            listing.freed_pages.push((take(from)?, take_as(from)?));
        }
        for _ in 0..take(from)? {
            listing.freed_blocks.push((take(from)?, take_as(from)?));
        }
        if !from.is_empty() {
            listing.decode_records(from)?;
        }
        if from.is_empty() {
            Ok(listing)
        } else {
            Err("it is longer than its fields")
        }
    }
}

/// Whether record blocks stand in order, none empty and no two with the same offset.
pub(super) fn disjoint(records: &[RecordBlockMeta]) -> bool {
    let of = |block: &RecordBlockMeta| (block.topic, block.partition);
    let has_any = |block: &RecordBlockMeta| block.first_offset < block.next_offset;
    records.iter().all(has_any)
        && records.is_sorted_by(|a, b| {
            of(a) < of(b) || (of(a) == of(b) && a.next_offset <= b.first_offset)
        })
}

/// The generation at the start of a directory's first part, which is all that is read of one that
/// no manifest names.
pub(super) fn generation(mut first_part: &[u8]) -> Result<u64, &'static str> {
    take(&mut first_part)
}

#[derive(Default)]
struct Range {
    last: Option<u64>,
}

impl Range {
    fn take(&mut self, from: &mut &[u8]) -> Result<(u64, u64), &'static str> {
        let gap = take(from)?;
        if gap == 0 && self.last.is_some() {
            return Err("two id ranges in it overlap");
        }
        let first = self.last.unwrap_or(0).checked_add(gap);
        let first = first.ok_or("an id in it is out of range")?;
        let last = first
            .checked_add(take(from)?)
            .ok_or("an id in it is out of range")?;
        self.last = Some(last);
        Ok((first, last))
    }
}
