//! A scripted broker over a real socket: each test says what it answers.
#![allow(dead_code, clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use prost::Message;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use verteilt_client::{Client, ClientBuilder, Reconnect};
use verteilt_protocol::{FLAG_CUMULATIVE, Frame, FrameType, decode, encode, encode_empty, wire};

/// No test waits longer than this for anything: less than half a heartbeat, whose tick would wake a
/// client that had gone to sleep for good.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Peer {
    listener: TcpListener,
    pub(crate) url: String,
    pub(crate) welcome: wire::Welcome,
}

impl Peer {
    pub(crate) async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("verteilt://{}", listener.local_addr().unwrap());
        let welcome = wire::Welcome {
            version: 1,
            epoch: 7,
            heartbeat_ms: 15_000,
            push_credit: 1024 * 1024,
            ..wire::Welcome::default()
        };
        Self {
            listener,
            url,
            welcome,
        }
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        let reconnect = Reconnect {
            delay_first: Duration::from_millis(5),
            delay_max: Duration::from_millis(50),
            deadline: None,
        };
        Client::builder().url(&self.url).reconnect(reconnect)
    }

    /// Connects a client with its handshake.
    pub(crate) async fn pair(&self, builder: ClientBuilder) -> (Client, Connection) {
        let (client, connection) = tokio::join!(builder.connect(), self.accept());
        (client.unwrap(), connection)
    }

    pub(crate) async fn accept(&self) -> Connection {
        let (mut connection, _) = self.accept_hello().await;
        connection
            .send(FrameType::Welcome, 1, &self.welcome, b"")
            .await;
        connection
    }

    pub(crate) async fn accept_hello(&self) -> (Connection, wire::Hello) {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let stream = accepted.expect("the client connects").unwrap().0;
        stream.set_nodelay(true).unwrap();
        let mut connection = Connection {
            stream,
            buffer: BytesMut::new(),
        };
        let hello = connection.expect(FrameType::Hello).await;
        assert_eq!(hello.correlation, 1);
        (connection, hello.message().unwrap())
    }
}

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    /// The next frame but heartbeats; `None`: closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let next = async {
            loop {
                match decode(&mut self.buffer).unwrap() {
                    Some(frame) if frame.kind() == Some(FrameType::Heartbeat) => {}
                    Some(frame) => return Some(frame),
                    None => match self.stream.read_buf(&mut self.buffer).await {
                        Ok(0) | Err(_) => return None,
                        Ok(_) => {}
                    },
                }
            }
        };
        tokio::time::timeout(PATIENCE, next)
            .await
            .expect("a frame or the end")
    }

    pub(crate) async fn expect(&mut self, kind: FrameType) -> Frame {
        let frame = self
            .next()
            .await
            .unwrap_or_else(|| panic!("closed instead of {kind}"));
        assert_eq!(frame.kind(), Some(kind), "{frame:?}");
        frame
    }

    pub(crate) async fn expect_message<M: Message + Default>(
        &mut self,
        kind: FrameType,
    ) -> (u64, M) {
        let frame = self.expect(kind).await;
        (frame.correlation, frame.message().unwrap())
    }

    /// Nothing comes for a while.
    pub(crate) async fn expect_silence(&mut self, time: Duration) {
        let frame = tokio::time::timeout(time, self.stream.read_buf(&mut self.buffer)).await;
        assert!(frame.is_err(), "{:?}", decode(&mut self.buffer));
        assert!(self.buffer.is_empty());
    }

    pub(crate) async fn send<M: Message>(
        &mut self,
        kind: FrameType,
        number: u64,
        m: &M,
        payload: &[u8],
    ) {
        let mut out = BytesMut::new();
        encode(&mut out, kind, 0, number, m, payload);
        self.stream.write_all(&out).await.unwrap();
    }

    pub(crate) async fn ok(&mut self, correlation: u64) {
        let mut out = BytesMut::new();
        encode_empty(&mut out, FrameType::Ok, 0, correlation);
        self.stream.write_all(&out).await.unwrap();
    }

    pub(crate) async fn ok_up_to(&mut self, correlation: u64) {
        let mut out = BytesMut::new();
        encode_empty(&mut out, FrameType::Ok, FLAG_CUMULATIVE, correlation);
        self.stream.write_all(&out).await.unwrap();
    }

    pub(crate) async fn refuse(&mut self, correlation: u64, error: &wire::Error) {
        self.send(FrameType::Error, correlation, error, b"").await;
    }

    /// Answers a push: ids from `first_id`, and credit.
    pub(crate) async fn pushed(&mut self, frame: &Frame, first_id: u64, credit: u64) {
        let push: wire::Push = frame.message().unwrap();
        let result = wire::PushResult {
            correlation: frame.correlation,
            first_id,
            count: push.body_lengths.len() as u32,
            durability: wire::Durability::Disk as i32,
            duplicate: false,
        };
        let pushed = wire::Pushed {
            results: vec![result],
            credit,
        };
        self.send(FrameType::Pushed, 0, &pushed, b"").await;
    }

    /// Delivers jobs without headers.
    pub(crate) async fn deliver(
        &mut self,
        number: u64,
        subscription: u64,
        token: u64,
        jobs: &[(u64, &str)],
    ) {
        let message = wire::Deliver {
            subscription,
            token,
            ids: jobs.iter().map(|(id, _)| *id).collect(),
            attempts: vec![1; jobs.len()],
            lease_ms: vec![30_000],
            body_lengths: jobs.iter().map(|(_, body)| body.len() as u32).collect(),
            ..wire::Deliver::default()
        };
        let payload: String = jobs.iter().map(|(_, body)| *body).collect();
        self.send(FrameType::Deliver, number, &message, payload.as_bytes())
            .await;
    }

    /// Answers a SUBSCRIBE and gives its number.
    pub(crate) async fn subscribed(&mut self) -> u64 {
        let (number, message): (_, wire::Subscribe) =
            self.expect_message(FrameType::Subscribe).await;
        self.ok(number).await;
        message.subscription
    }

    /// The client says goodbye and goes.
    pub(crate) async fn expect_goodbye(&mut self) {
        self.expect(FrameType::Goodbye).await;
        assert!(self.next().await.is_none());
    }
}

/// Bodies of a push frame.
pub(crate) fn bodies(frame: &Frame) -> Vec<Bytes> {
    let push: wire::Push = frame.message().unwrap();
    verteilt_protocol::split_payload(&frame.payload, &push.header_lengths, &push.body_lengths)
        .unwrap()
        .map(|job| job.body)
        .collect()
}
