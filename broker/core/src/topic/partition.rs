//! One partition: which offsets it holds, and what retention lets go of.
//!
//! Times and bytes are known at *marks* only, one for about every thirtieth part of what is kept: a
//! partition takes the same memory whether it holds a thousand records or a billion. Retention goes
//! from mark to mark.

use std::collections::VecDeque;

use super::Retention;
use crate::id::{Millis, Offset};

/// Parts into which what retention allows is marked off.
const STEPS: u64 = 32;
/// Without a limit on bytes a mark is made for so many,
const MARK_BYTES_MIN: u64 = 1024 * 1024;
/// or for this part of what is kept.
const UNLIMITED_STEPS: u64 = 64;
/// With more marks than this, every second one goes.
const MARKS_MAX: usize = 256;

/// A place in a partition of which more is known than its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) offset: Offset,
    /// Of the record there.
    pub(crate) time_ms: Millis,
    /// Of the last record before the next mark.
    pub(crate) last_ms: Millis,
    /// Bytes of all records that ever stood before it.
    pub(crate) bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The oldest record that is kept.
    pub(crate) start: Offset,
    /// The offset that the next record gets.
    pub(crate) next: Offset,
    /// Bytes of all records that ever came.
    pub(crate) bytes: u64,
    /// When the last record came.
    pub(crate) last_ms: Millis,
    /// The first stands at `start`; none when nothing is kept.
    pub(crate) marks: VecDeque<Mark>,
}

impl Partition {
    pub(crate) fn publish(
        &mut self,
        count: u32,
        bytes: u64,
        time_ms: Millis,
        retention: Retention,
    ) {
        if self.is_mark_due(time_ms, retention) {
            self.marks.push_back(Mark {
                offset: self.next,
                time_ms,
                last_ms: time_ms,
                bytes: self.bytes,
            });
            if self.marks.len() > MARKS_MAX {
                self.thin_out();
            }
        }
        if let Some(last) = self.marks.back_mut() {
            last.last_ms = time_ms;
        }
        self.next += u64::from(count);
        self.bytes += bytes;
        self.last_ms = time_ms;
    }

    fn thin_out(&mut self) {
        let marks = std::mem::take(&mut self.marks);
        let pairs = marks.iter().step_by(2).zip(marks.iter().skip(1).step_by(2));
        self.marks = pairs
            .map(|(mark, after)| Mark {
                last_ms: after.last_ms,
                ..*mark
            })
            .collect();
        if marks.len() % 2 == 1 {
            self.marks.extend(marks.back());
        }
    }

    fn is_mark_due(&self, time_ms: Millis, retention: Retention) -> bool {
        let Some(last) = self.marks.back() else {
            return true;
        };
        let step_bytes = match retention.bytes {
            0 => (self.kept_bytes() / UNLIMITED_STEPS).max(MARK_BYTES_MIN),
            bytes => (bytes / STEPS).max(1),
        };
        let step_ms = (retention.age_ms / STEPS).max(1);
        self.bytes - last.bytes >= step_bytes
            || (retention.age_ms > 0 && time_ms - last.time_ms >= step_ms)
    }

    /// Bytes of the records that are kept.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.bytes - self.marks.front().map_or(self.bytes, |mark| mark.bytes)
    }

    /// Where the partition has to begin by now, if that is not where it does. Of more bytes than
    /// allowed, what was published last is kept all the same.
    pub(crate) fn outlived(&self, retention: Retention, now_ms: Millis) -> Option<Offset> {
        let is_old = |time_ms: Millis| {
            retention.age_ms > 0 && time_ms.saturating_add(retention.age_ms) <= now_ms
        };
        let is_much =
            |mark: &Mark| retention.bytes > 0 && self.bytes - mark.bytes > retention.bytes;
        let last = self.marks.len().saturating_sub(1);
        let goes = self.marks.iter().enumerate();
        let goes =
            goes.take_while(|(at, mark)| is_old(mark.last_ms) || (*at < last && is_much(mark)));
        let gone = goes.count();
        let start = self.marks.get(gone).map_or(self.next, |mark| mark.offset);
        (gone > 0).then_some(start)
    }

    /// When [`Self::outlived`] looks different for its age.
    pub(crate) fn expires_ms(&self, retention: Retention) -> Option<Millis> {
        let first = self.marks.front().filter(|_| retention.age_ms > 0)?;
        Some(first.last_ms.saturating_add(retention.age_ms))
    }

    pub(crate) fn is_too_large(&self, retention: Retention) -> bool {
        retention.bytes > 0 && self.marks.len() > 1 && self.kept_bytes() > retention.bytes
    }

    pub(crate) fn drop_before(&mut self, start: Offset) {
        assert!(
            self.start <= start && start <= self.next,
            "retention goes forward, and not beyond what is there"
        );
        self.start = start;
        while self.marks.front().is_some_and(|mark| mark.offset < start) {
            self.marks.pop_front();
        }
        let is_marked = start == self.next || self.marks.front().is_some_and(|m| m.offset == start);
        assert!(is_marked, "retention goes from mark to mark");
    }

    /// An offset before which every record is older than this time, as close as the marks tell.
    pub(crate) fn offset_before(&self, time_ms: Millis) -> Offset {
        if time_ms > self.last_ms {
            return self.next;
        }
        let older = self.marks.iter().take_while(|mark| mark.time_ms < time_ms);
        older.last().map_or(self.start, |mark| mark.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: Retention = Retention {
        age_ms: 0,
        bytes: 3_200,
    };
    const AGE: Retention = Retention {
        age_ms: 3_200,
        bytes: 0,
    };

    fn trim(partition: &mut Partition, retention: Retention, now_ms: Millis) {
        if let Some(start) = partition.outlived(retention, now_ms) {
            partition.drop_before(start);
        }
    }

    #[test]
    fn by_bytes_it_keeps_close_to_what_is_allowed() {
        let mut partition = Partition::default();
        for at in 0..10_000 {
            partition.publish(2, 30, at, BYTES);
            trim(&mut partition, BYTES, at);
            assert!(partition.kept_bytes() <= 3_200);
            assert!(at < 200 || partition.kept_bytes() > 3_200 - 200);
            assert!(partition.marks.len() < 40);
        }
        assert_eq!(partition.next, 20_000);
    }

    #[test]
    fn one_large_publish_is_kept() {
        let mut partition = Partition::default();
        partition.publish(1, 10, 0, BYTES);
        partition.publish(1, 10_000, 0, BYTES);
        trim(&mut partition, BYTES, 0);
        assert_eq!(
            (partition.start, partition.next),
            (0, 2),
            "one mark holds both"
        );
        partition.publish(1, 10, 0, BYTES);
        trim(&mut partition, BYTES, 0);
        assert_eq!((partition.start, partition.kept_bytes()), (2, 10));
    }

    #[test]
    fn by_age_nothing_goes_early_and_all_goes_in_the_end() {
        let mut partition = Partition::default();
        let mut times = VecDeque::new();
        for at in 0..1_000 {
            let now_ms = at * 70;
            if let Some(due_ms) = partition.expires_ms(AGE) {
                assert_eq!(partition.outlived(AGE, due_ms.saturating_sub(1)), None);
            }
            trim(&mut partition, AGE, now_ms);
            partition.publish(1, 1, now_ms, AGE);
            times.push_back(now_ms);
            while times.len() as u64 > partition.next - partition.start {
                let gone_ms = times.pop_front().unwrap();
                assert!(gone_ms + 3_200 <= now_ms, "{gone_ms} went early");
            }
            assert!(times[0] + 3_200 + 3_200 / 8 > now_ms, "it stays for long");
        }
        let due_ms = 999 * 70 + 3_200;
        trim(&mut partition, AGE, due_ms - 1);
        assert!(partition.start < partition.next);
        trim(&mut partition, AGE, due_ms);
        assert_eq!(partition.start, partition.next);
        assert_eq!(
            (partition.kept_bytes(), partition.expires_ms(AGE)),
            (0, None)
        );
    }

    #[test]
    fn a_time_is_found_from_the_marks() {
        let mut partition = Partition::default();
        for at in 0..100_000 {
            partition.publish(1, 100_000, at * 10, Retention::default());
        }
        assert!(partition.marks.len() <= MARKS_MAX);
        for at in [0, 1, 500, 77_777, 99_999] {
            let found = partition.offset_before(at * 10);
            assert!(found <= at, "{found} is behind {at}");
            assert!(at - found < 4_000, "{found} is far before {at}");
        }
        assert_eq!(partition.offset_before(1_000_000), 100_000);
    }
}
