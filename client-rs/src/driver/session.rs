//! One connection from its handshake to its end: reads, writes and heartbeats in one task, so that
//! everything that came in one read is answered by one write.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::time::Instant;
use verteilt_protocol::{FrameType, encode, wire};

use super::Driver;
use super::handshake::{Connection, heartbeat_ms};
use super::reader::Inflow;
use super::writer::Outbox;
use crate::error::ClientError;
use crate::transport::Transport;

/// Ticks within a heartbeat: silence is noticed to within half of one.
const TICKS_A_HEARTBEAT: u32 = 2;
/// Passes that the driver lets callers go first while fewer have come than were answered.
const GATHER_PASSES: u32 = 16;
/// Passes in a row in which none came, after which it waits no more.
const GATHER_PASSES_IDLE: u32 = 3;

/// How a connection ended.
pub(super) enum Parting {
    /// As asked for.
    Closed,
    /// Not as asked for.
    Lost(ClientError),
}

/// The state of one connection.
pub(super) struct Session {
    transport: Box<dyn Transport>,
    inflow: Inflow,
    pub(super) outbox: Outbox,
    /// The last one used.
    pub(super) correlation: u64,
    /// The broker said goodbye: what is in flight may finish, nothing new is started.
    pub(super) leaving: bool,
    goodbye_sent: bool,
    pulse: Pulse,
    gathering: Option<Gathering>,
    /// In this pass: callers go first.
    pub(super) has_yielded: bool,
}

/// How long callers have been let go first.
#[derive(Clone, Copy, Default)]
struct Gathering {
    waiting: usize,
    passes: u32,
    idle_passes: u32,
}

/// Heartbeats in both directions, by a tick of half a heartbeat.
struct Pulse {
    every: Duration,
    next: Instant,
    wrote: bool,
    heard: bool,
    silent_ticks: u32,
}

impl Session {
    pub(super) fn new(connection: Connection, now: Instant) -> Self {
        let every = Duration::from_millis(heartbeat_ms(&connection.welcome)) / TICKS_A_HEARTBEAT;
        Self {
            transport: connection.transport,
            inflow: connection.inflow,
            outbox: Outbox::default(),
            correlation: connection.correlation,
            leaving: false,
            goodbye_sent: false,
            pulse: Pulse {
                every,
                next: now + every,
                wrote: false,
                heard: true,
                silent_ticks: 0,
            },
            gathering: None,
            has_yielded: false,
        }
    }

    pub(super) fn pulse_due(&self) -> Instant {
        self.pulse.next
    }

    /// Half a heartbeat has passed: says something, or gives up on a peer that does not.
    pub(super) fn tick(&mut self, now: Instant) -> Result<Instant, ClientError> {
        let pulse = &mut self.pulse;
        if pulse.next > now {
            return Ok(pulse.next);
        }
        // Counted from now: after a pause of this program the peer gets its time too.
        pulse.next = now + pulse.every;
        pulse.silent_ticks = if pulse.heard {
            0
        } else {
            pulse.silent_ticks + 1
        };
        pulse.heard = false;
        let missed = verteilt_protocol::limits::HEARTBEATS_MISSED_MAX * TICKS_A_HEARTBEAT;
        if pulse.silent_ticks >= missed {
            let silence = pulse.every * missed;
            let text = format!("the broker has been silent for {silence:?}");
            return Err(ClientError::refused(
                verteilt_protocol::ErrorCode::HeartbeatMissed.error(text),
            ));
        }
        if !std::mem::take(&mut pulse.wrote) && self.outbox.is_empty() {
            self.outbox.empty(FrameType::Heartbeat, 0);
        }
        Ok(self.pulse.next)
    }

    /// True: callers that were just answered are likely to come again, look once they have had their
    /// turn. Costs no time: other tasks that are ready run, then this one. Without it the first of
    /// them, which wakes this task, would have a frame of its own on runtimes that run what was
    /// woken last first; on those that keep the order this task would come behind the callers of all
    /// other clients of its thread, and the broker would have nothing to do meanwhile. `alone`:
    /// nothing else is unanswered, so these are all there are.
    pub(super) fn gather(
        &mut self,
        waiting: usize,
        expected: usize,
        alone: bool,
        context: &mut Context<'_>,
    ) -> bool {
        let known = self.gathering.take().unwrap_or_default();
        let idle_passes = if waiting > known.waiting {
            0
        } else {
            known.idle_passes + 1
        };
        let enough = match known.passes {
            0 => alone && waiting > 0 && waiting >= expected,
            passes => {
                waiting == 0
                    || waiting >= expected
                    || passes == GATHER_PASSES
                    || idle_passes == GATHER_PASSES_IDLE
            }
        };
        if enough {
            return false;
        }
        self.gathering = Some(Gathering {
            waiting,
            passes: known.passes + 1,
            idle_passes,
        });
        self.has_yielded = true;
        if waiting == 0 {
            // Right behind those who were woken just now.
            context.waker().wake_by_ref();
        } else {
            // The first poll of a yield does nothing but ask for another pass.
            let _ = pin!(tokio::task::yield_now()).poll(context);
        }
        true
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        let wrote = &mut self.pulse.wrote;
        let written = self.outbox.poll_write(&mut self.transport, context, wrote);
        written.map_err(|error| lost(&error))
    }
}

fn lost(error: &std::io::Error) -> ClientError {
    ClientError::protocol(match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the broker closed the connection".to_owned(),
        _ => format!("the connection broke: {error}"),
    })
}

impl Driver {
    /// Runs a connection until it ends.
    pub(super) async fn serve(&mut self, session: &mut Session) -> Parting {
        self.timer.lower(Some(session.pulse_due()));
        futures_util::future::poll_fn(|context| self.poll_session(session, context)).await
    }

    fn poll_session(&mut self, session: &mut Session, context: &mut Context<'_>) -> Poll<Parting> {
        match self.poll_session_steps(session, context) {
            Ok(poll) => poll,
            Err(error) => Poll::Ready(Parting::Lost(error)),
        }
    }

    fn poll_session_steps(
        &mut self,
        session: &mut Session,
        context: &mut Context<'_>,
    ) -> Result<Poll<Parting>, ClientError> {
        session.has_yielded = false;
        loop {
            let mut moved = false;
            if let Poll::Ready(read) = session.inflow.poll_read(&mut session.transport, context) {
                read.map_err(|error| lost(&error))?;
                session.pulse.heard = true;
                self.handle_frames(session)?;
                moved = true;
            }
            let took = self.collect(session, context);
            let had_output = !session.outbox.is_empty();
            if let Poll::Ready(written) = session.poll_write(context) {
                written?;
                // Callers may have left more meanwhile, and nobody is told yet to wake this task.
                moved |= had_output || took;
                if session.goodbye_sent {
                    // The broker closes too; whether this end hears of it changes nothing.
                    let _ = Pin::new(&mut session.transport).poll_shutdown(context);
                    return Ok(Poll::Ready(Parting::Closed));
                }
                if !moved && self.may_leave()? {
                    let goodbye = wire::Goodbye {
                        reason: "the client is closing".to_owned(),
                    };
                    let out = |out: &mut _| encode(out, FrameType::Goodbye, 0, 0, &goodbye, &[]);
                    session.outbox.frames(out);
                    session.goodbye_sent = true;
                    moved = true;
                }
            }
            // Last, since everything above may have told it an earlier time.
            while self.timer.poll(context).is_ready() {
                self.sweep(Some(session))?;
                moved = true;
            }
            if !moved {
                return Ok(Poll::Pending);
            }
        }
    }

    /// Frames that are there already, from the handshake's last read or from this one.
    pub(super) fn handle_frames(&mut self, session: &mut Session) -> Result<(), ClientError> {
        while let Some(frame) = session.inflow.frame()? {
            self.handle(session, frame)?;
        }
        Ok(())
    }
}
