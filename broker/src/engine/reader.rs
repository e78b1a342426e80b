//! One subscription of a topic: how far it is in each partition, and what is on its way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};

use bytes::Bytes;
use verteilt_core::{Assignment, Ledger, Millis, Offset, PartitionId, RecordTables, TopicId};

use super::bodies::Source;
use super::records::{Look, Records};
use crate::convert::FRAME_ROOM_BYTES;

/// Records in one frame; their lists take at most 25 bytes each.
const FRAME_RECORDS: u32 = 4_096;

/// A frame that is ready to be sent.
#[derive(Debug)]
pub(crate) struct RecordFrame {
    pub(crate) partition: u32,
    pub(crate) first_offset: Offset,
    pub(crate) skipped: u64,
    pub(crate) tables: RecordTables,
    /// One after the other they are the payload.
    pub(crate) chunks: Vec<Bytes>,
}

/// What a reader wants to do next.
#[derive(Debug)]
pub(super) enum Next {
    Send(RecordFrame),
    /// Something has to be read first; the partition waits for it.
    Load(u32, Source),
    /// Everything is sent, or there is no credit.
    Rest,
}

#[derive(Debug)]
struct Cursor {
    next: Offset,
    /// Records before this time are passed over.
    from_ms: Millis,
    /// Records that retention dropped before they could be sent.
    skipped: u64,
    /// Not yet consumed.
    sent: VecDeque<Sent>,
}

#[derive(Debug)]
struct Sent {
    first: Offset,
    next: Offset,
    bytes: u64,
}

#[derive(Debug)]
pub(super) struct Reader {
    topic: TopicId,
    credit_records: u32,
    /// 0: no limit.
    credit_bytes: u64,
    held_records: u64,
    held_bytes: u64,
    cursors: BTreeMap<u32, Cursor>,
    /// Partitions that may have something to send.
    ready: BTreeSet<u32>,
    /// The partition that was served last.
    served: u32,
}

impl Reader {
    pub(super) fn new(topic: TopicId) -> Self {
        Self {
            topic,
            credit_records: 0,
            credit_bytes: 0,
            held_records: 0,
            held_bytes: 0,
            cursors: BTreeMap::new(),
            ready: BTreeSet::new(),
            served: 0,
        }
    }

    /// These are its partitions now. What it reads already goes on; of what it has lost nothing is
    /// on its way any more.
    pub(super) fn assign(&mut self, partitions: &[Assignment], records: &Records) {
        let keeps = |number: &u32| partitions.iter().any(|at| at.partition == *number);
        let lost: Vec<u32> = self
            .cursors
            .keys()
            .copied()
            .filter(|number| !keeps(number))
            .collect();
        for number in lost {
            let cursor = self.cursors.remove(&number);
            self.ready.remove(&number);
            for sent in cursor.into_iter().flat_map(|cursor| cursor.sent) {
                self.held_records -= sent.next - sent.first;
                self.held_bytes -= sent.bytes;
            }
        }
        for at in partitions {
            let id = self.id(at.partition);
            self.cursors.entry(at.partition).or_insert_with(|| Cursor {
                next: match at.from_ms {
                    0 => at.offset,
                    from_ms => records.seek(id, at.offset, from_ms),
                },
                from_ms: at.from_ms,
                skipped: 0,
                sent: VecDeque::new(),
            });
            self.ready.insert(at.partition);
        }
    }

    pub(super) fn set_credit(&mut self, records: u32, bytes: u64) {
        (self.credit_records, self.credit_bytes) = (records, bytes);
        self.ready.extend(self.cursors.keys());
    }

    /// There may be something to send in this partition.
    pub(super) fn wake(&mut self, partition: u32) {
        if self.cursors.contains_key(&partition) {
            self.ready.insert(partition);
        }
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.cursors.keys().map(|number| self.id(*number))
    }

    /// Everything up to this record is done with.
    pub(super) fn consumed(&mut self, partition: u32, offset: Offset) {
        let Some(cursor) = self.cursors.get_mut(&partition) else {
            return;
        };
        while let Some(first) = cursor.sent.front_mut() {
            let done = (offset + 1).clamp(first.first, first.next) - first.first;
            self.held_records -= done;
            first.first += done;
            if first.first < first.next {
                break;
            }
            self.held_bytes -= first.bytes;
            cursor.sent.pop_front();
        }
    }

    /// The next frame, if there is one and credit for it. Partitions take turns.
    pub(super) fn next(&mut self, records: &Records, ledger: &Ledger) -> Next {
        while self.held_records < u64::from(self.credit_records) {
            let behind = self.ready.range((Excluded(self.served), Unbounded)).next();
            let Some(number) = behind.or_else(|| self.ready.first()).copied() else {
                return Next::Rest;
            };
            self.served = number;
            let id = self.id(number);
            // The topic is gone; the reader is told so before long.
            let Some(start) = ledger.start_of(id) else {
                self.ready.remove(&number);
                continue;
            };
            let room = Room {
                records: (u64::from(self.credit_records) - self.held_records) as u32,
                bytes: match self.credit_bytes {
                    0 => u64::MAX,
                    most => most.saturating_sub(self.held_bytes),
                },
                force: self.held_records == 0,
            };
            let Some(cursor) = self.cursors.get_mut(&number) else {
                self.ready.remove(&number);
                continue;
            };
            match cursor.frame(id, start, records, &room) {
                Filled::Frame(frame) => {
                    self.held_records += frame.tables.count() as u64;
                    self.held_bytes += frame.tables.bytes as u64;
                    return Next::Send(frame);
                }
                Filled::Needs(source) => {
                    self.ready.remove(&number);
                    return Next::Load(number, source);
                }
                Filled::Nothing => _ = self.ready.remove(&number),
                // No credit for the next record of this partition, so for none of any other.
                Filled::TooLarge => return Next::Rest,
            }
        }
        Next::Rest
    }

    /// What follows on what was just asked for.
    pub(super) fn ahead(&self, partition: u32, records: &Records) -> Option<Source> {
        let cursor = self.cursors.get(&partition)?;
        records.ahead(self.id(partition), cursor.next)
    }

    const fn id(&self, number: u32) -> PartitionId {
        let topic = self.topic;
        PartitionId { topic, number }
    }
}

/// What credit leaves for a frame.
struct Room {
    records: u32,
    bytes: u64,
    /// Nothing is on its way, so one record is allowed whatever its size.
    force: bool,
}

enum Filled {
    Frame(RecordFrame),
    Needs(Source),
    Nothing,
    TooLarge,
}

impl Cursor {
    fn frame(&mut self, id: PartitionId, start: Offset, records: &Records, room: &Room) -> Filled {
        if self.next < start {
            // What was passed over for its time was not missed.
            self.skipped += if self.from_ms == 0 {
                start - self.next
            } else {
                0
            };
            self.next = start;
        }
        let mut frame = RecordFrame {
            partition: id.number,
            first_offset: 0,
            skipped: 0,
            tables: RecordTables::default(),
            chunks: Vec::new(),
        };
        let mut is_full = false;
        while !is_full {
            let (bytes, runs) = match records.look(id, self.next) {
                Look::Here(bytes, runs) => (bytes, runs),
                Look::There(source) if frame.chunks.is_empty() => return Filled::Needs(source),
                Look::There(_) | Look::Nothing => break,
            };
            let before = self.next;
            for run in runs {
                // Blocks end at the durable end; a piece never holds what is not durable.
                if run.time_ms < self.from_ms {
                    self.next = run.next_offset();
                    continue;
                }
                self.from_ms = 0;
                while self.next < run.next_offset() {
                    let first = self.next;
                    let Some(chunk) = take(run, bytes, first, room, &mut frame.tables) else {
                        is_full = true;
                        break;
                    };
                    if frame.chunks.is_empty() {
                        frame.first_offset = first;
                    }
                    frame.chunks.push(chunk);
                    self.next = frame.first_offset + frame.tables.count() as u64;
                }
                if is_full {
                    break;
                }
            }
            if self.next == before {
                break;
            }
        }
        if frame.chunks.is_empty() {
            return if is_full {
                Filled::TooLarge
            } else {
                Filled::Nothing
            };
        }
        frame.skipped = std::mem::take(&mut self.skipped);
        self.sent.push_back(Sent {
            first: frame.first_offset,
            next: self.next,
            bytes: frame.tables.bytes as u64,
        });
        Filled::Frame(frame)
    }
}

fn take(
    run: &verteilt_core::RecordRun,
    bytes: &Bytes,
    from: Offset,
    room: &Room,
    tables: &mut RecordTables,
) -> Option<Bytes> {
    let most = room
        .records
        .min(FRAME_RECORDS)
        .saturating_sub(tables.count() as u32);
    let used = tables.bytes as u64;
    let frame_left = (FRAME_ROOM_BYTES as u64).saturating_sub(used);
    let left = frame_left.min(room.bytes.saturating_sub(used));
    if most == 0 || (tables.count() > 0 && left == 0) {
        return None;
    }
    let taken = run.take(bytes, from, (most, left), false, tables);
    if taken.is_some() || tables.count() > 0 {
        return taken;
    }
    // A record that is larger than a frame mostly gets has one of its own.
    run.take(bytes, from, (1, room.bytes), room.force, tables)
}
