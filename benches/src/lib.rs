//! Load on a broker, and the same load on a Redis beside it. Benches, never tests: nothing here runs
//! in `make test`, and no figure made here fails a build.
//!
//! Start at `bin/peers.rs` (speed next to Redis) and `bin/footprint.rs` (memory and disk); what the
//! figures mean stands in `docs/benchmarks/README.md`.
//!
//! | module | what it knows |
//! |---|---|
//! | [`scratch`] | a data folder on a real disk, gone when dropped |
//! | [`process`] | the broker as a child: start, kill, start again, memory |
//! | [`load`] | pushes and reserve+ack through the client |
//! | [`frames`] | one-job PUSH frames on a socket, past the client |
//! | [`redis`], [`resp`] | Redis as a child; its load in its own protocol |
//! | [`latency`] | one push to its delivery, and the `fdatasync` to hold it against |
//! | [`checks`] | acknowledged = found |
//! | [`report`] | median, least, most; table and JSON |
//! | [`machine`] | what it was measured on |

pub mod checks;
pub mod frames;
pub mod latency;
pub mod load;
pub mod machine;
pub mod process;
pub mod redis;
pub mod report;
pub mod resp;
pub mod scratch;

/// Connections of every load.
pub const CONNECTIONS: usize = 8;
/// Requests that wait for their answer at one time on each connection.
pub const WINDOW: usize = 256;
/// The queue, and in Redis the stream.
pub const QUEUE: &str = "bench";

/// How many of `total` the connection numbered `at` does.
#[must_use]
pub fn share(total: u64, at: usize, of: usize) -> u64 {
    let (of, at) = (of as u64, at as u64);
    total / of + u64::from(at < total % of)
}

/// A body that does not compress to nothing: the same for every system.
#[must_use]
pub fn body(bytes: usize) -> bytes::Bytes {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let next = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..bytes).map(next).collect()
}
