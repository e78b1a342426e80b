//! Bodies: those of new jobs that survive are copied out of the journal, so that trimming it never
//! waits for an old job; blocks that are worn or small are rewritten. Ranges of blocks never
//! overlap, so only neighbours are joined.

use std::collections::HashMap;

use verteilt_core::{BodyRun, JobId};

use super::stopped;
use crate::engine::Failure;
use crate::journal::{JournalLog, Place};
use crate::store::{BlockMeta, BlockReader, BlockRoom, Body, CheckpointWriter};

/// A block with less live content is joined with a neighbour that is small, too.
const SMALL_BLOCK_BYTES: u64 = 16 * 1024;
/// A block of which less than this fraction is live is rewritten.
const WORN_FRACTION: u32 = 4;

/// Where in the journal the bodies of new jobs are.
#[derive(Debug, Default)]
pub(super) struct Births(Vec<(Place, JobId, JobId)>);

impl Births {
    pub(super) fn add(&mut self, batch: Place, first_id: JobId, last_id: JobId) {
        self.0.push((batch, first_id, last_id));
    }
}

/// Counts the bodies that nobody needs any more off their blocks. Ids from `fresh_from` on have
/// not reached a block yet.
pub(super) fn settle_losses(blocks: &mut [BlockMeta], gone: &[JobId], fresh_from: JobId) {
    let mut lost: HashMap<usize, u32> = HashMap::new();
    for id in gone.iter().filter(|id| **id < fresh_from) {
        let after = blocks.partition_point(|block| block.first_id <= id.0);
        if let Some(at) = after
            .checked_sub(1)
            .filter(|at| blocks[*at].last_id >= id.0)
        {
            *lost.entry(at).or_default() += 1;
        }
    }
    for (at, count) in lost {
        blocks[at].live = blocks[at].live.saturating_sub(count);
    }
}

/// Writes what is new and what is worn, of which it copies about `worn_bytes_max` at most; returns all blocks that the checkpoint has, in order.
pub(super) fn write(
    writer: &mut CheckpointWriter<'_>,
    (reader, log): (&BlockReader, &dyn JournalLog),
    blocks: &[BlockMeta],
    births: &Births,
    worn_bytes_max: u64,
    mut is_alive: impl FnMut(JobId) -> Result<bool, Failure>,
    is_stopped: impl Fn() -> bool,
) -> Result<Vec<BlockMeta>, Failure> {
    let mut open = OpenBlock::default();
    let mut written = Vec::with_capacity(blocks.len());
    let mut copied_bytes = 0;
    for (at, block) in blocks.iter().enumerate() {
        if block.live == 0 {
            writer.drop_block(block.number)?;
        } else if copied_bytes < worn_bytes_max && is_worth_rewriting(blocks, at, births) {
            copied_bytes += live_bytes(block);
            for body in reader.read_block(block.number, block.parts)? {
                if is_alive(JobId(body.id))? {
                    open.add(writer, body, &mut written)?;
                }
            }
            writer.drop_block(block.number)?;
        } else {
            open.close(writer, &mut written)?;
            writer.set_live(block.number, block.live)?;
            written.push(*block);
        }
        if is_stopped() {
            return Err(stopped().into());
        }
    }
    for (place, first_id, last_id) in &births.0 {
        let mut anyone = false;
        for id in first_id.0..=last_id.0 {
            anyone |= is_alive(JobId(id))?;
        }
        if !anyone {
            continue;
        }
        let payload = log.read(*place)?;
        for run in BodyRun::scan(&payload)? {
            for id in run.first_id.0..run.first_id.0 + u64::from(run.count) {
                if !is_alive(JobId(id))? {
                    continue;
                }
                let Some((header_length, bytes)) = run.find(&payload, JobId(id)) else {
                    continue;
                };
                open.add(
                    writer,
                    Body {
                        id,
                        header_length,
                        bytes,
                    },
                    &mut written,
                )?;
            }
        }
        if is_stopped() {
            return Err(stopped().into());
        }
    }
    open.close(writer, &mut written)?;
    Ok(written)
}

fn is_worth_rewriting(blocks: &[BlockMeta], at: usize, births: &Births) -> bool {
    let block = &blocks[at];
    let is_small = |block: &BlockMeta| live_bytes(block) < SMALL_BLOCK_BYTES;
    let before = at
        .checked_sub(1)
        .is_some_and(|before| is_small(&blocks[before]));
    let after = blocks.get(at + 1).map_or(!births.0.is_empty(), is_small);
    block.live * WORN_FRACTION < block.entries || (is_small(block) && (before || after))
}

fn live_bytes(block: &BlockMeta) -> u64 {
    u64::from(block.bytes) * u64::from(block.live) / u64::from(block.entries.max(1))
}

#[derive(Default)]
struct OpenBlock {
    room: BlockRoom,
    bodies: Vec<Body>,
}

impl OpenBlock {
    fn add(
        &mut self,
        writer: &mut CheckpointWriter<'_>,
        body: Body,
        written: &mut Vec<BlockMeta>,
    ) -> Result<(), Failure> {
        if !self.room.take(body.bytes.len()) {
            self.close(writer, written)?;
            self.room.take(body.bytes.len());
        }
        self.bodies.push(body);
        Ok(())
    }

    fn close(
        &mut self,
        writer: &mut CheckpointWriter<'_>,
        written: &mut Vec<BlockMeta>,
    ) -> Result<(), Failure> {
        if !self.bodies.is_empty() {
            written.push(writer.add_block(&self.bodies)?);
            self.bodies.clear();
        }
        self.room = BlockRoom::new();
        Ok(())
    }
}
