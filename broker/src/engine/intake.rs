//! What comes in: messages of the inbox become commands, as many as a batch has room for.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use verteilt_core::{Caller, Command, ConnectionId, Lsn, Refusal, SessionId, TopicCommand};

use super::inbox::{Inbound, Request};
use super::peer::Peer;
use super::run::{Goodbye, Loop};

/// Payload that one round brings, give or take one read of a connection. Small, so that the journal writes the
/// first of much while the rest is being decided, and answers leave in between: where everything that came
/// was one round, clients, loop and disk waited for each other in turn.
const ROUND_BYTES: usize = 128 * 1024;
/// While so much waits for the journal, nothing more is taken in.
const GATHERED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What one round decides.
#[derive(Default)]
struct Round {
    commands: Vec<(Caller, Command)>,
    bytes: usize,
    /// Given back when the round has been decided.
    permits: Vec<OwnedSemaphorePermit>,
}

impl Loop {
    fn has_room(&self) -> bool {
        let bytes_max = self.settings.gathered_bytes_max.min(GATHERED_BYTES_MAX);
        self.engine.gathered_bytes() < bytes_max
    }

    /// Whether there is more to decide than the last round brought.
    pub(super) fn wants_round(&self) -> bool {
        !self.backlog.is_empty() && self.has_room()
    }

    /// Decides a round of what waits, as far as a batch has room for it.
    pub(super) fn decide(&mut self) {
        let now_ms = self.clock.now_ms();
        self.tick_requests();
        self.judge_room(now_ms);
        let mut round = Round::default();
        let round_bytes = self.settings.gathered_bytes_max.min(ROUND_BYTES);
        while round.bytes < round_bytes && self.has_room() {
            let Some(inbound) = self.backlog.pop_front() else {
                break;
            };
            self.unpack(inbound, &mut round);
        }
        self.decided += round.commands.len();
        self.meters.round(round.commands.len());
        self.engine.step(now_ms, round.commands);
        self.note_lsn();
    }

    /// Whoever is going to be told last things is told them once this round is on disk.
    fn note_lsn(&mut self) {
        let now = self.engine.shard().lsn();
        if self.goodbye == Goodbye::After(Lsn::MAX) {
            self.goodbye = Goodbye::After(now);
        }
        let new = |entry: &&mut (Lsn, ConnectionId)| entry.0 == Lsn::MAX;
        for (lsn, _) in self.leaving.iter_mut().rev().take_while(new) {
            *lsn = now;
        }
    }

    fn unpack(&mut self, inbound: Inbound, round: &mut Round) {
        match inbound {
            Inbound::Open {
                connection,
                session,
                held,
                hello,
                outbox,
            } => {
                let credit = self.welcome.push_credit_bytes;
                self.peers
                    .insert(connection, Peer::new(session, hello, outbox, credit));
                self.command(connection, Command::Connect { held }, round);
            }
            Inbound::Requests {
                connection,
                session,
                requests,
                permit,
            } => {
                round.bytes += permit.num_permits();
                round.permits.push(permit);
                self.requests(connection, session, requests, round);
            }
            Inbound::Asked {
                connection,
                asks,
                permit,
            } => self.ask(connection, asks, permit),
            Inbound::Drained(connection) => {
                let Some(peer) = self.peers.get_mut(&connection) else {
                    return;
                };
                self.touched.push(connection);
                if std::mem::take(&mut peer.held) {
                    self.command(connection, Command::Hold(false), round);
                    self.hold_requests(connection, false);
                }
            }
            Inbound::Leaving(connection) => {
                self.end_requests_of(connection, true);
                self.command(connection, Command::Disconnect, round);
                self.leaving.push((Lsn::MAX, connection));
            }
            Inbound::Closed(connection) => {
                self.end_requests_of(connection, false);
                self.command(connection, Command::Disconnect, round);
                self.drop_peer(connection);
            }
            Inbound::Checkpoint(connection, correlation) => {
                let lsn = self.engine.durable_lsn();
                self.checkpoint.waiting.push((connection, correlation, lsn));
            }
            Inbound::Backup(connection, correlation) => self.begin_backup(connection, correlation),
            Inbound::Stop(grace_ms) => {
                let until = Instant::now() + Duration::from_millis(grace_ms);
                self.stopping.get_or_insert(until);
                let (connection, session) = (ConnectionId(0), SessionId(0));
                let nobody = Caller {
                    connection,
                    session,
                    correlation: 0,
                };
                round.commands.push((nobody, Command::Drain));
                self.drain_requests();
                if self.goodbye == Goodbye::NotYet {
                    self.goodbye = Goodbye::After(Lsn::MAX);
                }
            }
        }
    }

    /// A command that the connection itself stands for; nothing if it is gone.
    fn command(&self, connection: ConnectionId, command: Command, round: &mut Round) {
        if let Some(peer) = self.peers.get(&connection) {
            round.commands.push((peer.caller(connection), command));
        }
    }

    fn requests(
        &mut self,
        connection: ConnectionId,
        session: SessionId,
        requests: Vec<Request>,
        round: &mut Round,
    ) {
        let overfull = self.is_overfull();
        let Some(peer) = self.peers.get_mut(&connection) else {
            return;
        };
        for Request {
            correlation,
            command,
            push_bytes,
        } in requests
        {
            peer.credit_owed += u64::from(push_bytes);
            let is_push = matches!(
                command,
                Command::Push(_)
                    | Command::PushPart { .. }
                    | Command::Topic(TopicCommand::Publish(_))
            );
            let refuse = overfull && is_push;
            let command = if refuse {
                Command::Refuse(Refusal::Busy)
            } else {
                command
            };
            round.commands.push((
                Caller {
                    connection,
                    session,
                    correlation,
                },
                command,
            ));
        }
        self.touched.push(connection);
    }

    /// Beyond the point where holding credit should have stopped pushes, they are refused.
    pub(super) fn is_overfull(&self) -> bool {
        self.log.used_bytes() > self.settings.journal_bytes_max / 4 * 5
    }
}
