//! Load on a broker: what `verteilt bench` puts on yours, and the same load on other brokers beside it.
//! Benches, never tests: no figure made here fails a build.
//!
//! Start at [`load`] (the load generator), `bin/peers.rs` (speed next to others) and `bin/footprint.rs`
//! (memory and disk); what the figures mean stands in `docs/benchmarks/README.md`.
//!
//! | module | what it knows |
//! |---|---|
//! | [`load`] | push, reserve and cycle through the client, closed loop or at a rate, with histograms |
//! | [`frames`] | one-job PUSH frames on a socket, past the client |
//! | [`gateway`] | a gateway as a child |
//! | [`process`] | the broker as a child: start, kill, start again, memory |
//! | [`peers`] | other brokers as children, and the same load in their own protocols |
//! | [`program`] | what the programs share: arguments, runtime, signals |
//! | [`scratch`] | a data folder on a real disk, gone when dropped |
//! | [`disk`] | what one `fdatasync` takes there |
//! | [`checks`] | acknowledged = found |
//! | [`report`] | median, least, most; table and JSON |
//! | [`machine`] | what it was measured on |

pub mod checks;
mod countdown;
pub mod disk;
pub mod frames;
pub mod gateway;
pub mod load;
pub mod machine;
pub mod peers;
pub mod process;
pub mod program;
pub mod report;
pub mod scratch;

/// Connections of the load that brokers are compared under.
pub const CONNECTIONS: usize = 8;
/// Requests that wait for their answer at one time on each connection.
pub const WINDOW: usize = 256;
/// The queue; elsewhere the stream.
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
