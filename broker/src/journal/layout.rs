//! Sizes on the disk. Batches start on a sector and a write ends on a page.

use super::header::HEADER_BYTES;

/// Batches start on multiples of this. A write then never touches a sector that holds an earlier
/// batch, and a search for headers looks at few places.
pub(super) const SECTOR_BYTES: u32 = 512;

/// Writes end on multiples of this, so that the kernel never has to read the rest of a page first.
pub(super) const PAGE_BYTES: u32 = 4096;

/// Where the first batch of a segment stands; the page before it is the segment's own header.
pub(super) const DATA_OFFSET: u32 = PAGE_BYTES;

/// How many bytes of the file a batch occupies: header, payload, and zeros to the next sector.
pub(super) fn batch_extent(payload_bytes: u32) -> u32 {
    (HEADER_BYTES as u32 + payload_bytes).next_multiple_of(SECTOR_BYTES)
}

/// How many bytes one append writes at `offset` in a segment of `segment_bytes`: the batch, and
/// zeros to the end of a page. At least one sector of zeros follows the batch wherever there is
/// room, so that at every open a clean end shows zeros even in a recycled segment, and anything
/// else is a torn write.
pub(super) fn write_extent(offset: u32, payload_bytes: u32, segment_bytes: u32) -> u32 {
    let end = offset + batch_extent(payload_bytes) + SECTOR_BYTES;
    end.next_multiple_of(PAGE_BYTES).min(segment_bytes) - offset
}

/// True when a batch of this size fits behind `offset`.
pub(super) fn fits(offset: u32, payload_bytes: u32, segment_bytes: u32) -> bool {
    u64::from(offset) + u64::from(batch_extent(payload_bytes)) <= u64::from(segment_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_ends_on_a_page_and_leaves_a_zero_sector() {
        let payload = SECTOR_BYTES - HEADER_BYTES as u32;
        assert_eq!(batch_extent(payload), SECTOR_BYTES);
        assert_eq!(batch_extent(payload + 1), 2 * SECTOR_BYTES);
        assert_eq!(write_extent(DATA_OFFSET, payload, 65536), PAGE_BYTES);
        let full_page = PAGE_BYTES - HEADER_BYTES as u32;
        assert_eq!(write_extent(DATA_OFFSET, full_page, 65536), 2 * PAGE_BYTES);
        let last = 65536 - PAGE_BYTES;
        assert!(fits(last, full_page, 65536));
        assert!(!fits(last, full_page + 1, 65536));
        assert_eq!(write_extent(last, full_page, 65536), PAGE_BYTES);
    }
}
