//! A client that speaks in frames.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use prost::Message;
use verteilt_protocol::{ErrorCode, Frame, FrameType, decode, encode, encode_empty, wire};

use crate::house::PATIENCE;
use crate::job::{Job, jobs_of};

pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
    /// Frames that came while another one was waited for.
    parked: VecDeque<Frame>,
    correlation: u64,
    /// Push credit as the broker told it.
    pub(crate) credit: i64,
    pub(crate) welcome: wire::Welcome,
    closed: bool,
}

impl Peer {
    /// Connects and says nothing.
    pub(crate) fn raw(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: BytesMut::new(),
            parked: VecDeque::new(),
            correlation: 0,
            credit: 0,
            welcome: wire::Welcome::default(),
            closed: false,
        }
    }

    /// Connects, with its handshake.
    pub(crate) fn connect(address: SocketAddr, session: &[u8; 16]) -> Self {
        let mut peer = Self::raw(address);
        let hello = Self::hello(session);
        peer.greet(&hello);
        peer
    }

    pub(crate) fn greet(&mut self, hello: &wire::Hello) {
        let correlation = self.send(FrameType::Hello, hello, b"");
        let frame = self.next();
        assert_eq!(frame.kind(), Some(FrameType::Welcome), "{frame:?}");
        assert_eq!(frame.correlation, correlation, "WELCOME answers HELLO");
        self.welcome = frame.message().unwrap();
        self.credit = self.welcome.push_credit as i64;
    }

    pub(crate) fn hello(session: &[u8]) -> wire::Hello {
        wire::Hello {
            version_min: 1,
            version_max: 1,
            client_name: "it".to_owned(),
            session: session.to_vec().into(),
            ..wire::Hello::default()
        }
    }

    /// An id that no other peer of this process has.
    pub(crate) fn some_id() -> [u8; 16] {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_le_bytes()
    }

    // ---- out

    /// Sends a request under a new correlation.
    pub(crate) fn send<M: Message>(&mut self, kind: FrameType, message: &M, payload: &[u8]) -> u64 {
        let mut out = BytesMut::new();
        let correlation = self.put(&mut out, kind, message, payload);
        self.send_bytes(&out);
        correlation
    }

    /// As [`Self::send`], but into a buffer.
    pub(crate) fn put<M: Message>(
        &mut self,
        out: &mut BytesMut,
        kind: FrameType,
        message: &M,
        payload: &[u8],
    ) -> u64 {
        self.correlation += 1;
        encode(out, kind, 0, self.correlation, message, payload);
        if matches!(
            kind,
            FrameType::Push | FrameType::PushPart | FrameType::Publish
        ) {
            self.credit -= payload.len() as i64;
        }
        self.correlation
    }

    pub(crate) fn send_empty(&mut self, kind: FrameType, correlation: u64) {
        let mut out = BytesMut::new();
        encode_empty(&mut out, kind, 0, correlation);
        self.send_bytes(&out);
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Writes until all is sent or the broker has closed.
    pub(crate) fn send_what_it_takes(&mut self, bytes: &[u8]) {
        // The broker may close in the middle; what it said before is read by the caller.
        let _ = self.stream.write_all(bytes);
    }

    // ---- in

    /// The next frame but for heartbeats and credit, which are counted.
    pub(crate) fn next(&mut self) -> Frame {
        self.parked.pop_front().unwrap_or_else(|| self.read())
    }

    /// The next frame of this kind; others keep.
    pub(crate) fn next_of(&mut self, kind: FrameType) -> Frame {
        self.until(|frame| frame.kind() == Some(kind))
    }

    /// The first frame that this is true of; others keep.
    pub(crate) fn until(&mut self, mut is_it: impl FnMut(&Frame) -> bool) -> Frame {
        if let Some(at) = self.parked.iter().position(&mut is_it) {
            return self.parked.remove(at).unwrap();
        }
        loop {
            let frame = self.read();
            if is_it(&frame) {
                return frame;
            }
            self.parked.push_back(frame);
        }
    }

    /// It keeps until it is asked for.
    pub(crate) fn park(&mut self, frame: Frame) {
        self.parked.push_back(frame);
    }

    fn read(&mut self) -> Frame {
        self.read_within(PATIENCE).expect("a frame comes in time")
    }

    /// A frame that comes within this time, if any. None at the end of the connection, too.
    pub(crate) fn read_within(&mut self, patience: Duration) -> Option<Frame> {
        let until = Instant::now() + patience;
        loop {
            if let Some(frame) = decode(&mut self.buffer).unwrap() {
                if !self.is_counted(&frame) {
                    return Some(frame);
                }
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !self.fill(left) {
                return None;
            }
        }
    }

    fn is_counted(&mut self, frame: &Frame) -> bool {
        match frame.kind() {
            Some(FrameType::Heartbeat) => true,
            Some(FrameType::PushCredit) => {
                let credit: wire::PushCredit = frame.message().unwrap();
                self.credit += credit.bytes as i64;
                true
            }
            Some(FrameType::Pushed) => {
                let pushed: wire::Pushed = frame.message().unwrap();
                self.credit += pushed.credit as i64;
                false
            }
            Some(FrameType::Published) => {
                let published: wire::Published = frame.message().unwrap();
                self.credit += published.credit as i64;
                false
            }
            _ => false,
        }
    }

    fn fill(&mut self, patience: Duration) -> bool {
        let patience = patience.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut piece = vec![0; 256 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => {
                self.closed = true;
                false
            }
            Ok(bytes) => {
                self.buffer.extend_from_slice(&piece[..bytes]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(_) => {
                self.closed = true;
                false
            }
        }
    }

    /// Everything up to the end of the connection, which has to come.
    pub(crate) fn rest(&mut self) -> Vec<Frame> {
        let until = Instant::now() + PATIENCE;
        let mut frames: Vec<Frame> = self.parked.drain(..).collect();
        while !self.closed {
            assert!(Instant::now() < until, "the broker closes in time");
            frames.extend(self.read_within(Duration::from_millis(100)));
        }
        frames
    }

    /// The connection ends with this error and nothing behind it.
    pub(crate) fn ends_with(&mut self, code: ErrorCode) {
        let frames = self.rest();
        let last = frames.last().expect("an error comes before the end");
        assert_eq!(last.kind(), Some(FrameType::Error), "{last:?}");
        let error: wire::Error = last.message().unwrap();
        assert_eq!(error.code, code.number(), "{error:?}");
        assert_eq!(error.retryable, code.is_retryable());
    }

    /// The answer to a request, which PUSHED and cumulative OK may share.
    pub(crate) fn answer(&mut self, correlation: u64) -> Frame {
        self.until(|frame| answers(frame, correlation))
    }

    pub(crate) fn ok(&mut self, correlation: u64) {
        let frame = self.answer(correlation);
        assert_eq!(frame.kind(), Some(FrameType::Ok), "{}", told(&frame));
        if frame.is_cumulative() && frame.correlation > correlation {
            // It may answer others, too.
            self.parked.push_front(frame);
        }
    }

    pub(crate) fn error(&mut self, correlation: u64) -> wire::Error {
        let frame = self.answer(correlation);
        assert_eq!(frame.kind(), Some(FrameType::Error), "{frame:?}");
        frame.message().unwrap()
    }

    pub(crate) fn refused(&mut self, correlation: u64, code: ErrorCode) {
        let error = self.error(correlation);
        assert_eq!(error.code, code.number(), "{error:?}");
        assert!(!error.message.is_empty());
    }

    pub(crate) fn message<M: Message + Default>(&mut self, correlation: u64, kind: FrameType) -> M {
        let frame = self.answer(correlation);
        assert_eq!(frame.kind(), Some(kind), "{}", told(&frame));
        frame.message().unwrap()
    }

    // ---- pushes

    /// Pushes and waits: the result.
    pub(crate) fn push_frame(&mut self, push: &wire::Push, payload: &[u8]) -> wire::PushResult {
        self.wait_for_credit();
        let correlation = self.send(FrameType::Push, push, payload);
        self.pushed(correlation)
    }

    pub(crate) fn pushed(&mut self, correlation: u64) -> wire::PushResult {
        let frame = self.until(|frame| answers(frame, correlation));
        assert_eq!(frame.kind(), Some(FrameType::Pushed), "{}", told(&frame));
        let pushed: wire::Pushed = frame.message().unwrap();
        let is_it = |result: &&wire::PushResult| result.correlation == correlation;
        let result = *pushed.results.iter().find(is_it).unwrap();
        if pushed.results.len() > 1 {
            self.parked.push_front(frame);
        }
        result
    }

    pub(crate) fn wait_for_credit(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.credit <= 0 {
            assert!(Instant::now() < until, "credit comes in time");
            if let Some(frame) = self.read_within(Duration::from_millis(50)) {
                self.parked.push_back(frame);
            }
        }
    }

    /// One job with all defaults; its id.
    pub(crate) fn push(&mut self, queue: &str, body: &[u8]) -> u64 {
        self.push_many(queue, &[body])
    }

    /// A batch; the first id.
    pub(crate) fn push_many(&mut self, queue: &str, bodies: &[&[u8]]) -> u64 {
        self.push_with(queue, wire::JobOptions::default(), bodies)
    }

    pub(crate) fn push_with(
        &mut self,
        queue: &str,
        options: wire::JobOptions,
        bodies: &[&[u8]],
    ) -> u64 {
        let push = wire::Push {
            options: Some(options),
            ..push_of(queue, bodies)
        };
        let result = self.push_frame(&push, &bodies.concat());
        assert_eq!(result.count as usize, bodies.len());
        assert!(!result.duplicate);
        result.first_id
    }

    /// As [`Self::push`]; none when the connection ends before the answer.
    pub(crate) fn try_push(&mut self, queue: &str, body: &[u8]) -> Option<u64> {
        let mut out = BytesMut::new();
        let push = push_of(queue, &[body]);
        let correlation = self.put(&mut out, FrameType::Push, &push, body);
        self.stream.write_all(&out).ok()?;
        loop {
            let frame = self.read_within(PATIENCE)?;
            if frame.kind() == Some(FrameType::Pushed) {
                let pushed: wire::Pushed = frame.message().unwrap();
                assert_eq!(pushed.results[0].correlation, correlation);
                return Some(pushed.results[0].first_id);
            }
            if frame.correlation == correlation {
                return None;
            }
        }
    }

    // ---- work

    pub(crate) fn subscribe(&mut self, number: u64, queue: &str, jobs: u32) {
        let subscribe = subscribe(number, queue, jobs);
        let correlation = self.send(FrameType::Subscribe, &subscribe, b"");
        self.ok(correlation);
    }

    /// The jobs of the next DELIVER with all parts of their bodies.
    pub(crate) fn jobs(&mut self) -> Vec<Job> {
        let frame = self.next_of(FrameType::Deliver);
        self.whole(&frame)
    }

    /// The jobs of a DELIVER, with the parts that follow it.
    pub(crate) fn whole(&mut self, frame: &Frame) -> Vec<Job> {
        let (_, mut jobs) = jobs_of(frame);
        for job in &mut jobs {
            while job.to_come > 0 {
                let part = self.next_of(FrameType::DeliverPart);
                let message: wire::DeliverPart = part.message().unwrap();
                assert_eq!((message.id, message.token), (job.id, job.token), "in order");
                assert_eq!(part.correlation, frame.correlation, "as the DELIVER");
                job.body.extend_from_slice(&part.payload);
                job.to_come -= part.payload.len() as u64;
                assert_eq!(message.to_come, job.to_come);
            }
        }
        jobs
    }

    /// So many jobs, from as many DELIVER as it takes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<Job> {
        let mut jobs = Vec::new();
        while jobs.len() < count {
            jobs.extend(self.jobs());
        }
        assert_eq!(jobs.len(), count);
        jobs
    }

    pub(crate) fn reserve(&mut self, queue: &str, jobs_max: u32, wait_ms: u64) -> Vec<Job> {
        let reserve = wire::Reserve {
            queue: queue.to_owned(),
            jobs_max,
            wait_ms,
        };
        let correlation = self.send(FrameType::Reserve, &reserve, b"");
        let frame = self.answer(correlation);
        assert_eq!(frame.kind(), Some(FrameType::Deliver), "{}", told(&frame));
        self.whole(&frame)
    }

    /// So many jobs, by as many pulls as it takes.
    pub(crate) fn take_reserved(&mut self, queue: &str, count: usize) -> Vec<Job> {
        let mut jobs = Vec::new();
        while jobs.len() < count {
            let some = self.reserve(queue, (count - jobs.len()) as u32, 10_000);
            assert!(!some.is_empty(), "{} of {count} came", jobs.len());
            jobs.extend(some);
        }
        jobs
    }

    pub(crate) fn settle(&mut self, kind: FrameType, job: &Job) -> u64 {
        self.send(kind, &settle_of(job), b"")
    }

    pub(crate) fn ack(&mut self, job: &Job) {
        let correlation = self.settle(FrameType::Ack, job);
        self.ok(correlation);
    }

    /// The lease is not held any more.
    pub(crate) fn stale(&mut self, correlation: u64, id: u64) {
        let settled: wire::Settled = self.message(correlation, FrameType::Settled);
        assert_eq!(settled.refused_ids, [id]);
        assert_eq!(settled.refused_codes, [ErrorCode::LeaseLost.number()]);
    }

    pub(crate) fn stats(&mut self, queue: &str) -> wire::QueueStats {
        let request = wire::QueueStatsRequest {
            queue: queue.to_owned(),
            after: String::new(),
        };
        let correlation = self.send(FrameType::QueueStats, &request, b"");
        let reply: wire::QueueStatsReply = self.message(correlation, FrameType::QueueStatsReply);
        reply.queues.into_iter().next().unwrap()
    }

    /// Asks for a checkpoint and waits for it.
    pub(crate) fn checkpoint(&mut self) -> u64 {
        let correlation = self.send(FrameType::Checkpoint, &wire::Checkpoint {}, b"");
        let done: wire::CheckpointDone = self.message(correlation, FrameType::CheckpointDone);
        done.lsn
    }

    /// Frames read while others were waited for.
    pub(crate) fn has_parked(&self, kind: FrameType) -> bool {
        self.parked.iter().any(|frame| frame.kind() == Some(kind))
    }
}

fn answers(frame: &Frame, correlation: u64) -> bool {
    match frame.kind() {
        Some(FrameType::Pushed) => {
            let pushed: wire::Pushed = frame.message().unwrap();
            let results = &pushed.results;
            results.iter().any(|it| it.correlation == correlation)
        }
        Some(FrameType::Ok) if frame.is_cumulative() => frame.correlation >= correlation,
        Some(FrameType::DeliverPart) => false,
        _ => frame.correlation == correlation,
    }
}

/// A frame for people.
pub(crate) fn told(frame: &Frame) -> String {
    let kind = frame.kind();
    if kind == Some(FrameType::Error) {
        let error: wire::Error = frame.message().unwrap();
        return format!("{error:?}");
    }
    format!("{kind:?} #{}", frame.correlation)
}

pub(crate) fn push_of(queue: &str, bodies: &[&[u8]]) -> wire::Push {
    wire::Push {
        queue: queue.to_owned(),
        body_lengths: bodies.iter().map(|body| body.len() as u32).collect(),
        ..wire::Push::default()
    }
}

pub(crate) fn subscribe(number: u64, queue: &str, jobs: u32) -> wire::Subscribe {
    wire::Subscribe {
        subscription: number,
        queue: queue.to_owned(),
        credit_jobs: jobs,
        credit_bytes: 0,
    }
}

pub(crate) fn settle_of(job: &Job) -> wire::Settle {
    wire::Settle {
        ids: vec![job.id],
        tokens: vec![job.token],
    }
}
