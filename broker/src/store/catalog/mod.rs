//! The checkpoint format: how the state of a shard at one LSN stands in a [`Store`](super::Store).
//!
//! ```text
//! manifest   one value a checkpoint, written last; names all that follows
//!   directory  one line a page and a block: number, id range, how many jobs are left in it
//!     page       index records of jobs, opaque here, at most 60 KiB; all are read at a start
//!     block      bodies of jobs, packed in id order; read only when a body is asked for
//!     record block  records of one partition in the order of offsets, opaque here; likewise
//!   ledger     the small state beside the jobs, opaque here
//! ```
//!
//! All but the manifest may be spread over several values, the parts.
//!
//! **The rule of writing.** Everything new goes under numbers that were never used, then a flush,
//! then the manifest, then a flush, and only then is deleted what the new manifest no longer names.
//! So nothing that the last manifest names is ever overwritten, and a crash at any point leaves the
//! checkpoint before or the one after, whole.
//!
//! | file | what stands there |
//! |---|---|
//! | `key.rs` | the keys, their order, their names in messages |
//! | `envelope.rs` | what stands around every value: magic, version, number, CRC32C |
//! | `snapshot.rs` | the types callers see |
//! | `block.rs` | bodies <-> the bytes of a block |
//! | `directory.rs`, `manifest.rs` | those two <-> bytes |
//! | `chunk.rs` | values of any size over several keys |
//! | `varint.rs` | numbers inside payloads |
//! | `open.rs` | finding the newest checkpoint, and what nobody names |
//! | `writer.rs`, `commit.rs` | a checkpoint in the making, and the rule of writing |
//! | `records.rs` | adding and dropping record blocks |
//! | `pinned.rs` | a checkpoint that stays while others follow, for backups |
//! | `reader.rs` | blocks and pages for whoever looks one up |

mod block;
mod chunk;
mod commit;
mod directory;
mod envelope;
mod key;
mod manifest;
mod open;
mod pinned;
mod reader;
mod records;
mod snapshot;
#[cfg(test)]
mod tests;
mod varint;
mod writer;

pub use self::block::BlockRoom;
pub use self::open::Catalog;
pub use self::pinned::PinnedCheckpoint;
pub(crate) use self::pinned::{is_manifest, put_manifest};
pub use self::reader::BlockReader;
pub use self::snapshot::{BlockMeta, Body, CheckpointSummary, PageMeta, RecordBlockMeta, Snapshot};
pub use self::writer::CheckpointWriter;

/// The most bytes of a block of several bodies, its table included: what four values carry.
pub const BLOCK_BYTES_MAX: usize = 4 * envelope::PAYLOAD_BYTES_MAX;

/// The largest index page, in bytes.
pub const PAGE_BYTES_MAX: usize = 60 * 1024;
