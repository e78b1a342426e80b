//! One connection from its first byte to its last. The reader decodes everything that one read
//! brought and hands it on in one piece; the writer sends all that waits in one write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use verteilt_core::{ConnectionId, RequestCommand, SessionId};
use verteilt_protocol::limits::HEARTBEATS_MISSED_MAX;
use verteilt_protocol::{ErrorCode, Frame, FrameType, decode, encode, encode_empty, wire};

use super::handshake::{Greeting, greeting};
use super::outbox::{OUTBOX_LOW_BYTES, Outbox, WRITE_DEADLINE};
use crate::convert::{self, Bad, Context, Converted};
use crate::engine::{EngineHandle, Inbound, Request};

/// What a connection asks the kernel for at first; doubled while reads fill it.
const READ_BYTES_FIRST: usize = 4 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;
/// Requests handed on in one piece hold at most about this many bytes.
const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// What is asked about requests to services goes on to its workers and back again in smaller pieces: while the
/// next one is being decided, those at the other end are busy with the one before. Without that a
/// caller with many unanswered requests, the broker and the worker wait for each other in turn.
const ASKS_MAX: usize = 32;

/// What every connection needs, and the numbers they get.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) engine: EngineHandle,
    pub(crate) handshake_deadline: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) push_credit_bytes: u64,
    pub(crate) next: AtomicU64,
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve<T: AsyncRead + AsyncWrite + Send>(gate: Arc<Gate>, transport: T) {
    let (reading, writing) = tokio::io::split(transport);
    let outbox = Arc::new(Outbox::new(gate.push_credit_bytes));
    let mut reader = Reader {
        reading,
        buffer: BytesMut::new(),
        read_bytes: READ_BYTES_FIRST,
    };
    let id = ConnectionId(gate.next.fetch_add(1, Ordering::Relaxed));
    let writer = write(&gate, id, &outbox, writing);
    let read = async {
        let opened = open(&gate, id, &outbox, &mut reader).await;
        if let Some((session, context)) = opened {
            let end = reader.read(&gate, id, session, &context, &outbox).await;
            tracing::debug!(connection = id.0, ?end, "connection ends");
            // Whoever says good-bye still gets the answers to what it asked before; the engine
            // closes the outbox behind them.
            let polite = matches!(end, End::Goodbye);
            let inbound = if polite {
                Inbound::Leaving(id)
            } else {
                Inbound::Closed(id)
            };
            if gate.engine.send(inbound).await && polite {
                return;
            }
        }
        outbox.close();
    };
    // The writer ends when the outbox is closed and written, or when the peer takes nothing more;
    // then there is nothing left to read for.
    tokio::pin!(read, writer);
    let (mut read_done, mut write_done) = (false, false);
    while !(read_done && write_done) {
        tokio::select! {
            biased;
            () = &mut read, if !read_done => read_done = true,
            () = &mut writer, if !write_done => {
                write_done = true;
                if !read_done {
                    gate.engine.send(Inbound::Closed(id)).await;
                    return;
                }
            }
        }
    }
}

async fn open<R: AsyncRead + Unpin>(
    gate: &Gate,
    connection: ConnectionId,
    outbox: &Arc<Outbox>,
    reader: &mut Reader<R>,
) -> Option<(SessionId, Context)> {
    let first = timeout(gate.handshake_deadline, reader.frame()).await;
    let refused = match first {
        Err(_) => {
            let message = "HELLO did not come in time".to_owned();
            Bad {
                code: ErrorCode::HandshakeTimeout,
                message,
                close: true,
            }
        }
        Ok(Err(bad)) => bad?,
        Ok(Ok(frame)) => match greeting(&frame) {
            Err(bad) => bad,
            Ok(Greeting {
                session,
                namespace,
                client,
                held,
                hello,
            }) => {
                tracing::debug!(connection = connection.0, client, "connected");
                let outbox = Arc::clone(outbox);
                let open = Inbound::Open {
                    connection,
                    session,
                    held,
                    hello,
                    outbox,
                };
                return gate
                    .engine
                    .send(open)
                    .await
                    .then_some((session, Context { namespace }));
            }
        },
    };
    refuse(outbox, 0, &refused);
    None
}

fn refuse(outbox: &Outbox, correlation: u64, bad: &Bad) {
    let error = bad.code.error(bad.message.as_str());
    outbox.append(|out| encode(out, FrameType::Error, 0, correlation, &error, &[]));
}

/// The client counts every push that it sent against its credit, also one that was refused here.
fn give_back(outbox: &Outbox, bytes: u64) {
    let credit = wire::PushCredit { bytes };
    outbox.append(|out| encode(out, FrameType::PushCredit, 0, 0, &credit, &[]));
}

/// Why a connection is read no further.
#[derive(Debug)]
enum End {
    Closed,
    Goodbye,
    Refused,
    Silent,
    EngineStopped,
}

struct Reader<R> {
    reading: R,
    buffer: BytesMut,
    read_bytes: usize,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// The next frame; an error without a refusal when the peer is gone.
    async fn frame(&mut self) -> Result<Frame, Option<Bad>> {
        loop {
            match decode(&mut self.buffer) {
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) if self.fill().await => {}
                Ok(None) => return Err(None),
                Err(error) => return Err(Some(broken(&error))),
            }
        }
    }

    /// Reads what is there; false when the peer is gone.
    async fn fill(&mut self) -> bool {
        self.buffer.reserve(self.read_bytes);
        match self.reading.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => false,
            Ok(bytes) => {
                if bytes >= self.read_bytes && self.read_bytes < READ_BYTES_MAX {
                    self.read_bytes *= 2;
                } else if bytes < self.read_bytes / 8 && self.read_bytes > READ_BYTES_FIRST {
                    self.read_bytes /= 2;
                }
                true
            }
        }
    }

    async fn read(
        &mut self,
        gate: &Gate,
        connection: ConnectionId,
        session: SessionId,
        context: &Context,
        outbox: &Arc<Outbox>,
    ) -> End {
        let silence_max = gate.heartbeat * HEARTBEATS_MISSED_MAX;
        loop {
            let mut piece = Piece::default();
            let end = piece
                .gather(&mut self.buffer, connection, context, outbox, gate)
                .await;
            if !piece.requests.is_empty() {
                let Some(permit) = gate.engine.reserve(piece.bytes).await else {
                    return End::EngineStopped;
                };
                let requests = piece.requests;
                let inbound = Inbound::Requests {
                    connection,
                    session,
                    requests,
                    permit,
                };
                if !gate.engine.send(inbound).await {
                    return End::EngineStopped;
                }
            }
            if !piece.asks.is_empty() {
                let Some(permit) = gate.engine.reserve(piece.ask_bytes).await else {
                    return End::EngineStopped;
                };
                let inbound = Inbound::Asked {
                    connection,
                    asks: piece.asks,
                    permit,
                };
                if !gate.engine.send(inbound).await {
                    return End::EngineStopped;
                }
            }
            let more = match end {
                Gathered::All => false,
                Gathered::Some => true,
                Gathered::Look => {
                    outbox.looked().await;
                    true
                }
                Gathered::End(end) => return end,
            };
            outbox.room().await;
            if more {
                // The engine and the writers have their turn.
                tokio::task::yield_now().await;
                continue;
            }
            match timeout(silence_max, self.fill()).await {
                Ok(true) => {}
                Ok(false) => return End::Closed,
                Err(_) => {
                    let message = "nothing came for two heartbeats".to_owned();
                    let code = ErrorCode::HeartbeatMissed;
                    refuse(
                        outbox,
                        0,
                        &Bad {
                            code,
                            message,
                            close: true,
                        },
                    );
                    return End::Silent;
                }
            }
        }
    }
}

fn broken(error: &verteilt_protocol::FrameError) -> Bad {
    Bad {
        code: error.code(),
        message: error.to_string(),
        close: true,
    }
}

fn overdrawn() -> Bad {
    Bad {
        code: ErrorCode::CreditExceeded,
        message: "more was pushed than was granted".to_owned(),
        close: true,
    }
}

/// Requests that are handed on together.
#[derive(Default)]
struct Piece {
    requests: Vec<Request>,
    /// What is asked about requests to services: it goes to another state machine, so that its order
    /// among the others does not matter.
    asks: Vec<(u64, RequestCommand)>,
    bytes: usize,
    ask_bytes: usize,
}

enum Gathered {
    /// The buffer holds no further whole frame.
    All,
    /// The piece is full; the buffer may hold more.
    Some,
    /// As above; and the last request has to be answered before the next is taken.
    Look,
    End(End),
}

impl Piece {
    async fn gather(
        &mut self,
        buffer: &mut BytesMut,
        connection: ConnectionId,
        context: &Context,
        outbox: &Arc<Outbox>,
        gate: &Gate,
    ) -> Gathered {
        while self.bytes < PIECE_BYTES_MAX && self.asks.len() < ASKS_MAX {
            let frame = match decode(buffer) {
                Ok(Some(frame)) => frame,
                Ok(None) => return Gathered::All,
                Err(error) => {
                    let bad = broken(&error);
                    refuse(outbox, 0, &bad);
                    return Gathered::End(End::Refused);
                }
            };
            let (correlation, payload) = (frame.correlation, frame.payload.len());
            let is_push = frame.kind().is_some_and(convert::takes_credit);
            let frame_bytes = verteilt_protocol::HEADER_BYTES + frame.meta.len() + payload;
            self.bytes += frame_bytes;
            match convert::convert(frame, context) {
                Ok(Converted::Request(request)) => {
                    if request.push_bytes > 0 && !outbox.spend(request.push_bytes) {
                        refuse(outbox, correlation, &overdrawn());
                        return Gathered::End(End::Refused);
                    }
                    self.bytes += request.table_bytes();
                    let is_look = request.is_look();
                    self.requests.push(request);
                    if is_look {
                        outbox.begin_look(correlation);
                        return Gathered::Look;
                    }
                }
                Ok(Converted::Ask(command)) => {
                    self.ask_bytes += frame_bytes;
                    let is_look = convert::is_look(&command);
                    self.asks.push((correlation, command));
                    if is_look {
                        outbox.begin_look(correlation);
                        return Gathered::Look;
                    }
                }
                Ok(Converted::Checkpoint) => {
                    gate.engine
                        .send(Inbound::Checkpoint(connection, correlation))
                        .await;
                }
                Ok(Converted::Backup) => {
                    gate.engine
                        .send(Inbound::Backup(connection, correlation))
                        .await;
                }
                Ok(Converted::Heartbeat) => {}
                Ok(Converted::Goodbye) => return Gathered::End(End::Goodbye),
                Err(bad) => {
                    refuse(outbox, correlation, &bad);
                    if bad.close {
                        return Gathered::End(End::Refused);
                    }
                    if is_push && payload > 0 {
                        give_back(outbox, payload as u64);
                    }
                }
            }
        }
        Gathered::Some
    }
}

/// Writes what waits, and a heartbeat when nothing does.
async fn write<W: AsyncWrite + Unpin>(
    gate: &Gate,
    connection: ConnectionId,
    outbox: &Outbox,
    mut writing: W,
) {
    let mut buffer = BytesMut::new();
    let mut beat = Instant::now() + gate.heartbeat;
    loop {
        let frames = match timeout_at(beat, outbox.take(std::mem::take(&mut buffer))).await {
            Ok(Some(frames)) => frames,
            Ok(None) => break,
            Err(_) => {
                outbox.append(|out| encode_empty(out, FrameType::Heartbeat, 0, 0));
                beat = Instant::now() + gate.heartbeat;
                continue;
            }
        };
        let was_high = outbox.len() > OUTBOX_LOW_BYTES;
        if !write_all(&mut writing, &frames, outbox).await {
            outbox.close();
            return;
        }
        beat = Instant::now() + gate.heartbeat;
        if was_high && outbox.len() <= OUTBOX_LOW_BYTES {
            gate.engine.send(Inbound::Drained(connection)).await;
        }
        buffer = frames;
    }
    // A failure here means that the peer is gone, which is what was wanted.
    let _ = timeout(WRITE_DEADLINE, writing.shutdown()).await;
}

async fn write_all<W: AsyncWrite + Unpin>(writing: &mut W, frames: &[u8], outbox: &Outbox) -> bool {
    let mut rest = frames;
    while !rest.is_empty() {
        match timeout(WRITE_DEADLINE, writing.write(rest)).await {
            Ok(Ok(bytes)) if bytes > 0 => {
                rest = &rest[bytes..];
                outbox.written(bytes);
            }
            _ => return false,
        }
    }
    true
}
