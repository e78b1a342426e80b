//! Memory that begins at a page, as reads and writes past the page cache need it.

use std::ops::Range;

use bytes::Bytes;

use super::layout::PAGE_BYTES;

/// A buffer whose first byte lies at a page of memory. It grows, and never shrinks.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    /// A buffer of zeros.
    pub(super) fn zeros(length: usize) -> Self {
        let mut aligned = Self::default();
        aligned.clear(length);
        aligned.resize(length);
        aligned
    }

    /// Empties it and makes room for this many bytes.
    pub(super) fn clear(&mut self, capacity: usize) {
        let page = PAGE_BYTES as usize;
        self.length = 0;
        if self.memory.len() < capacity + page {
            self.memory = vec![0; capacity + page];
            // `min` for the compiler's sake only: bytes can always be aligned.
            self.start = self.memory.as_ptr().align_offset(page).min(page);
        }
    }

    /// Adds bytes for which room was made.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let from = self.start + self.length;
        self.memory[from..from + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// Adds zeros up to this length, for which room was made.
    pub(super) fn resize(&mut self, length: usize) {
        let (from, end) = (self.start + self.length, self.start + length);
        self.memory[from..end].fill(0);
        self.length = length;
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }

    /// A part of it, without a copy.
    pub(super) fn into_part(self, part: Range<usize>) -> Bytes {
        Bytes::from(self.memory).slice(self.start + part.start..self.start + part.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_a_page_however_it_grows() {
        let mut aligned = Aligned::zeros(10);
        for capacity in [10, 5_000, 100, 70_000] {
            aligned.clear(capacity);
            aligned.extend(b"abc");
            aligned.resize(capacity);
            assert_eq!(aligned.bytes().as_ptr().align_offset(4096), 0);
            assert_eq!(
                (aligned.len(), &aligned.bytes()[..4]),
                (capacity, &b"abc\0"[..])
            );
            assert!(aligned.bytes()[3..].iter().all(|byte| *byte == 0));
        }
        aligned.bytes_mut()[5] = 7;
        assert_eq!(aligned.into_part(1..6), b"bc\0\0\x07"[..]);
    }
}
