//! A backup on its way out: a checkpoint is written, pinned, read by a thread of its own and sent
//! as fast as the client takes it. The loop only starts it, and only one runs at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;
use verteilt_core::{ConnectionId, Lsn};
use verteilt_protocol::ErrorCode;

use super::failure::Failure;
use super::run::Loop;
use super::workers::{Post, Worker};
use crate::backup::BackupWriter;
use crate::convert;
use crate::follower::{FollowerTask, step_back};
use crate::net::Outbox;
use crate::store::{PinnedCheckpoint, StoreError};

/// A client that takes so little that no piece leaves within this is given up: what it reads is
/// kept in the store until it is done.
const STALL: Duration = Duration::from_secs(30);
/// Pieces that wait between the worker that reads and the task that sends.
const PIECES: usize = 2;

/// Where the one backup is.
#[derive(Debug, Default)]
pub(super) enum BackupState {
    #[default]
    None,
    /// Asked for; the store does not reach this LSN yet.
    Wanted(ConnectionId, u64, Lsn),
    /// The follower was asked for its checkpoint.
    Pinning(ConnectionId, u64),
    Sending(AbortOnDropHandle<()>),
}

impl Loop {
    /// Somebody asks for a backup.
    pub(super) fn begin_backup(&mut self, connection: ConnectionId, correlation: u64) {
        let Some(peer) = self.peers.get(&connection) else {
            return;
        };
        let is_busy = match &self.backup {
            BackupState::None => false,
            BackupState::Wanted(..) | BackupState::Pinning(..) => true,
            BackupState::Sending(task) => !task.is_finished(),
        };
        let refused = if self.stopping.is_some() {
            Some((ErrorCode::ShuttingDown, "the broker is stopping"))
        } else {
            is_busy.then_some((ErrorCode::Busy, "another backup is running"))
        };
        if let Some((code, text)) = refused {
            peer.outbox
                .append(|out| convert::refused(out, correlation, code, text));
            return;
        }
        // The first event of all tells of the start, so there is always something to write.
        let wanted = self.engine.durable_lsn().max(1);
        self.backup = BackupState::Wanted(connection, correlation, wanted);
    }

    /// Whether a checkpoint has to be written for it.
    pub(super) fn backup_waits(&self) -> bool {
        matches!(self.backup, BackupState::Wanted(..))
    }

    /// The store reaches this LSN.
    pub(super) fn go_on_with_backup(&mut self, lsn: Lsn) -> Result<(), Failure> {
        let BackupState::Wanted(connection, correlation, wanted) = self.backup else {
            return Ok(());
        };
        if wanted > lsn {
            return Ok(());
        }
        self.backup = BackupState::Pinning(connection, correlation);
        if self.follower.give(FollowerTask::Pin) {
            Ok(())
        } else {
            Err(Failure::ThreadGone("follower"))
        }
    }

    /// The checkpoint is there to be read.
    pub(super) fn send_backup(&mut self, pinned: Option<PinnedCheckpoint>) {
        let BackupState::Pinning(connection, correlation) = self.backup else {
            return;
        };
        self.backup = BackupState::None;
        let Some(outbox) = self.peers.get(&connection).map(|peer| &peer.outbox) else {
            return;
        };
        let refuse = |text: &str| {
            let code = ErrorCode::Internal;
            outbox.append(|out| convert::refused(out, correlation, code, text));
        };
        let Some(pinned) = pinned else {
            return refuse("no checkpoint could be written");
        };
        let (answers, pieces) = mpsc::channel(PIECES);
        let lsn = pinned.lsn();
        let post = Post::new("backup", PIECES, step_back);
        let reader = Worker::spawn(&self.workers, post, answers, pieces_of(pinned));
        match reader {
            Ok(reader) => {
                let outbox = Arc::clone(outbox);
                let reading = Reading { reader, pieces };
                let sending = tokio::spawn(send(outbox, correlation, lsn, reading, STALL));
                self.backup = BackupState::Sending(AbortOnDropHandle::new(sending));
            }
            Err(error) => refuse(&format!("no thread for the backup: {error}")),
        }
    }
}

/// What the worker that reads says.
#[derive(Debug)]
enum Piece {
    Bytes(Bytes),
    /// That was all.
    End,
    Failed(StoreError),
}

/// Asked for a piece, gives the next; after the end there is none.
fn pieces_of(pinned: PinnedCheckpoint) -> impl FnMut(()) -> Option<Piece> {
    let all = BackupWriter::new(pinned).map(|piece| piece.map_or_else(Piece::Failed, Piece::Bytes));
    let mut all = all.chain([Piece::End]);
    move |()| all.next()
}

/// The worker that reads the backup, and what comes of it.
struct Reading {
    reader: Worker<()>,
    pieces: mpsc::Receiver<Piece>,
}

impl Reading {
    /// `None` when the worker is gone.
    async fn next(&mut self) -> Option<Piece> {
        let piece = self.pieces.recv().await;
        // The one after it is read while this one is sent.
        self.reader.give(());
        piece
    }
}

/// Sends what is read; gives up when the client is gone, or takes nothing.
async fn send(
    outbox: Arc<Outbox>,
    correlation: u64,
    lsn: Lsn,
    mut reading: Reading,
    stall: Duration,
) {
    let mut sent = 0;
    reading.reader.give(());
    let (code, reason) = loop {
        let piece = reading.next().await;
        if timeout(stall, outbox.room()).await.is_err() {
            break (
                ErrorCode::Busy,
                format!("the client took nothing for {stall:?}"),
            );
        }
        if outbox.is_closed() {
            return;
        }
        match piece {
            Some(Piece::Bytes(bytes)) => {
                outbox.append(|out| convert::backup_data(out, correlation, sent, &bytes));
                sent += bytes.len() as u64;
            }
            Some(Piece::End) => {
                tracing::info!(lsn, bytes = sent, "a backup was sent");
                outbox.append(|out| convert::backup_done(out, correlation, lsn, sent));
                return;
            }
            Some(Piece::Failed(error)) => break (ErrorCode::Internal, error.to_string()),
            None => {
                let text = "the thread that reads it has ended, its panic is in the log";
                break (ErrorCode::Internal, text.to_owned());
            }
        }
    };
    tracing::warn!(lsn, reason, "a backup was given up");
    let text = format!("the backup was given up: {reason}");
    outbox.append(|out| convert::refused(out, correlation, code, &text));
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use verteilt_protocol::{Frame, FrameType, decode};

    use super::*;
    use crate::engine::Workers;

    const BRIEF: Duration = Duration::from_millis(20);

    /// What a client is sent for these pieces.
    async fn sent(outbox: &Arc<Outbox>, pieces: Vec<Piece>) -> Vec<Frame> {
        let (answers, receiver) = mpsc::channel(PIECES);
        let post = Post::new("backup", PIECES, || {});
        let mut pieces = pieces.into_iter();
        let next = move |()| pieces.next();
        let reader = Worker::spawn(&Workers::Threads, post, answers, next).unwrap();
        let reading = Reading {
            reader,
            pieces: receiver,
        };
        send(Arc::clone(outbox), 5, 9, reading, BRIEF).await;
        let mut bytes = outbox.take(BytesMut::new()).await.unwrap();
        std::iter::from_fn(|| decode(&mut bytes).unwrap()).collect()
    }

    fn kinds(frames: &[Frame]) -> Vec<FrameType> {
        frames.iter().filter_map(Frame::kind).collect()
    }

    #[tokio::test]
    async fn only_what_was_read_to_its_end_is_done() {
        use FrameType::{BackupData, BackupDone, Error};
        let piece = || Piece::Bytes(Bytes::from_static(b"some"));
        let rotten = || Piece::Failed(StoreError::SyncNotInForce);
        let cases = [
            (
                vec![piece(), piece(), Piece::End],
                vec![BackupData, BackupData, BackupDone],
            ),
            (vec![piece(), rotten(), Piece::End], vec![BackupData, Error]),
            // The thread is gone.
            (vec![piece()], vec![BackupData, Error]),
            (vec![], vec![Error]),
        ];
        for (pieces, expected) in cases {
            let outbox = Arc::new(Outbox::new(0));
            assert_eq!(kinds(&sent(&outbox, pieces).await), expected);
        }
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let outbox = Arc::new(Outbox::new(0));
        let more_than_it_takes = |out: &mut BytesMut| {
            let zeros = vec![0; crate::net::OUTBOX_HIGH_BYTES];
            for part in zeros.chunks(512 * 1024) {
                convert::backup_data(out, 1, 0, part);
            }
        };
        outbox.append(more_than_it_takes);
        let piece = Piece::Bytes(Bytes::from_static(b"some"));
        let frames = sent(&outbox, vec![piece, Piece::End]).await;
        assert_eq!(frames.last().unwrap().kind(), Some(FrameType::Error));
        assert!(frames.iter().all(|frame| frame.payload != b"some"[..]));
    }
}
