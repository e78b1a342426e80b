//! The loop and its threads, over a journal and a store that fail when they are told to.

use std::time::Duration;

use bytes::BytesMut;
use tokio::task::JoinHandle;
use verteilt_core::{Command, JobOptions, Lengths, Push};
use verteilt_protocol::{Frame, FrameType, decode, wire};

use super::*;
use crate::bare::look;
use crate::engine::{EngineHandle, EngineParts, Failure, Inbound, Request, Workers, run};
use crate::net::{Outbox, Welcome};
use crate::space::{Ruler, Space};

const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Running {
    pub(super) handle: EngineHandle,
    outbox: Arc<Outbox>,
    buffer: BytesMut,
    correlation: u64,
    pub(super) ended: JoinHandle<Result<(), Failure>>,
}

impl Running {
    async fn start(memory: &Memory) -> Self {
        Self::start_with(memory, Workers::Threads).await
    }

    pub(super) async fn start_with(memory: &Memory, workers: Workers) -> Self {
        Self::start_on(memory, workers, None).await
    }

    pub(super) async fn start_on(
        memory: &Memory,
        workers: Workers,
        space: Option<Arc<dyn Space>>,
    ) -> Self {
        let opened = memory.open();
        let room = space.map(|space| {
            let ruler = Ruler {
                space,
                store: Arc::clone(&memory.store) as Arc<dyn Store>,
                log: opened.journal.log(),
            };
            look(&memory.config, ruler).unwrap()
        });
        let (handle, inbox) = EngineHandle::new();
        let welcome = Welcome {
            broker_id: [1; 16],
            heartbeat_ms: 15_000,
            push_credit_bytes: 1024 * 1024,
        };
        let parts = EngineParts {
            engine: opened.engine,
            journal: opened.journal,
            follower: opened.follower,
            blocks: opened.blocks,
            clock: opened.clock,
            workers,
            settings: memory.config.settings(),
            room,
            welcome,
            handle: handle.clone(),
            inbox,
        };
        let outbox = Arc::new(Outbox::new(1024 * 1024));
        let open = Inbound::Open {
            held: None,
            connection: ME,
            session: SESSION,
            hello: 1,
            outbox: Arc::clone(&outbox),
        };
        assert!(handle.send(open).await);
        let ended = tokio::spawn(run(parts));
        let mut running = Self {
            handle,
            outbox,
            buffer: BytesMut::new(),
            correlation: 1,
            ended,
        };
        assert_eq!(running.next().await.kind(), Some(FrameType::Welcome));
        running
    }

    pub(super) async fn push(&mut self) -> u64 {
        self.correlation += 1;
        let push = Push {
            queue: queue(),
            producer: None,
            options: JobOptions::default(),
            lengths: Lengths {
                ends: vec![4],
                headers: Vec::new(),
            },
            upload: 0,
            upload_parts: 0,
            payload: "body".into(),
        };
        let request = Request {
            correlation: self.correlation,
            command: Command::Push(push),
            push_bytes: 4,
        };
        let permit = self.handle.reserve(100).await.expect("it runs");
        let inbound = Inbound::Requests {
            connection: ME,
            session: SESSION,
            requests: vec![request],
            permit,
        };
        assert!(self.handle.send(inbound).await);
        self.correlation
    }

    /// What would be written to the socket next.
    async fn try_next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = decode(&mut self.buffer).unwrap() {
                return Some(frame);
            }
            let taken = tokio::time::timeout(PATIENCE, self.outbox.take(BytesMut::new()));
            let bytes = taken.await.expect("something comes in time")?;
            self.buffer.extend_from_slice(&bytes);
        }
    }

    pub(super) async fn next(&mut self) -> Frame {
        self.try_next().await.expect("it is not closed")
    }

    async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.try_next().await {
            frames.push(frame);
        }
        frames
    }

    async fn failure(self) -> Failure {
        let ended = tokio::time::timeout(PATIENCE, self.ended).await;
        ended.expect("it ends in time").unwrap().unwrap_err()
    }
}

pub(super) fn pushed(frame: &Frame) -> Vec<u64> {
    match frame.kind() {
        Some(FrameType::Pushed) => {
            let pushed: wire::Pushed = frame.message().unwrap();
            pushed
                .results
                .iter()
                .map(|result| result.correlation)
                .collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_that_could_not_be_written() {
    for fails_to_sync in [false, true] {
        let memory = Memory::new();
        let mut running = Running::start(&memory).await;
        let first = running.push().await;
        assert_eq!(pushed(&running.next().await), [first]);
        if fails_to_sync {
            memory.disk.fail_sync(1);
        } else {
            memory.disk.fail_append(1);
        }
        running.push().await;
        running.push().await;
        let frames = running.rest().await;
        assert!(
            frames.iter().all(|frame| pushed(frame).is_empty()),
            "{frames:?}"
        );
        let last = frames.last().expect("it says why");
        assert_eq!(last.kind(), Some(FrameType::Goodbye));
        let goodbye: wire::Goodbye = last.message().unwrap();
        assert!(!goodbye.reason.is_empty());
        let failure = running.failure().await;
        assert!(matches!(failure, Failure::Journal(_)), "{failure}");
    }
}

#[tokio::test]
async fn a_store_that_fails_ends_the_broker_and_loses_nothing() {
    let mut memory = Memory::new();
    for fails_after in 0..12 {
        memory.lose(|| fails_after % 2 == 0);
        let mut running = Running::start(&memory).await;
        let correlation = running.push().await;
        assert_eq!(pushed(&running.next().await), [correlation]);
        memory
            .store
            .fail_at(memory.store.operations() + fails_after);
        let checkpoint = Inbound::Checkpoint(ME, 1_000);
        assert!(running.handle.send(checkpoint).await);
        let frames = running.rest().await;
        let failed = frames
            .iter()
            .all(|frame| frame.kind() != Some(FrameType::CheckpointDone));
        assert!(failed, "after {fails_after}: {frames:?}");
        let failure = running.failure().await;
        assert!(matches!(failure, Failure::Store(_)), "{failure}");
    }
    memory.lose(|| true);
    assert_eq!(memory.open().engine.shard().jobs_len(), 12);
}

#[tokio::test]
async fn a_stop_says_goodbye_behind_what_was_decided_before_it() {
    let memory = Memory::new();
    let mut running = Running::start(&memory).await;
    let mut sent = Vec::new();
    for _ in 0..50 {
        sent.push(running.push().await);
    }
    assert!(running.handle.send(Inbound::Stop(0)).await);
    let frames = running.rest().await;
    let answered: Vec<u64> = frames.iter().flat_map(pushed).collect();
    assert_eq!(answered, sent);
    let goodbyes = frames
        .iter()
        .filter(|frame| frame.kind() == Some(FrameType::Goodbye));
    assert_eq!(goodbyes.count(), 1);
    assert_eq!(frames.last().unwrap().kind(), Some(FrameType::Goodbye));
    let ended = tokio::time::timeout(PATIENCE, running.ended).await;
    ended.unwrap().unwrap().unwrap();
}
