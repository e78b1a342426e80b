//! Connections: accept, handshake, read, write. Knows the engine's way in, nothing below it.
//!
//! | file | what stands there |
//! |---|---|
//! | `listener.rs` | accepts connections |
//! | `reception.rs` | lets them in, up to their number |
//! | `connection.rs` | one connection from its first byte to its last |
//! | `handshake.rs` | HELLO and WELCOME |
//! | `outbox.rs` | what waits to be written to one connection |

mod connection;
mod handshake;
mod listener;
mod outbox;
mod reception;

pub(crate) use connection::{Gate, serve};
pub(crate) use handshake::Welcome;
pub(crate) use listener::listen;
pub(crate) use outbox::Outbox;
pub(crate) use outbox::{OUTBOX_HIGH_BYTES, OUTBOX_MAX_BYTES};
pub(crate) use reception::Reception;
