//! A broker and a gateway on free ports, and plain HTTP by hand.

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::Client;
use verteilt_gateway::{AccessLog, Gateway, GatewayConfig, Routes, Table};

use crate::talk::Talk;

/// Far longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) client: Client,
    pub(crate) door: Door,
    pub(crate) shutdown: CancellationToken,
    pub(crate) gateway: JoinHandle<()>,
    file: String,
    _data: TempDir,
}

/// Where the gateway listens.
#[derive(Clone, Debug)]
pub(crate) struct Door(String);

/// Status, headers and body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts a problem of this status and code.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(
            (self.status, &self.json()["code"]),
            (status, &code.into()),
            "{self:?}"
        );
        assert_eq!(self.json()["status"], status);
        assert!(self.head.contains("application/problem+json"), "{self:?}");
    }
}

impl Site {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut GatewayConfig)) -> Self {
        Self::build(change, |gateway| gateway).await
    }

    /// With the routes of this file.
    pub(crate) async fn routed(file: &str) -> Self {
        let mut site = Self::with_routes(Routes::new(Table::parse(file).unwrap())).await;
        site.file = file.to_owned();
        site
    }

    pub(crate) async fn with_routes(routes: Routes) -> Self {
        Self::build(|_| {}, |gateway| gateway.with_routes(routes)).await
    }

    pub(crate) async fn logged(log: AccessLog) -> Self {
        Self::build(|_| {}, |gateway| gateway.with_access_log(log)).await
    }

    /// Another connection to the broker.
    pub(crate) async fn another_client(&self) -> Client {
        let url = format!("verteilt://{}", self.broker.local_addr());
        Client::connect(&url).await.unwrap()
    }

    /// Another gateway with the same routes.
    pub(crate) async fn another_door(&self) -> Door {
        let config = GatewayConfig::new("127.0.0.1:0".parse().unwrap());
        let client = self.another_client().await;
        let routes = Routes::new(Table::parse(&self.file).unwrap());
        let gateway = Gateway::bind(config, client).await.unwrap();
        let gateway = gateway.with_routes(routes);
        let door = Door(gateway.local_addr().to_string());
        tokio::spawn(gateway.run(self.shutdown.clone()));
        door
    }

    async fn build(
        change: impl FnOnce(&mut GatewayConfig),
        finish: impl FnOnce(Gateway) -> Gateway,
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let broker = Broker::start(BrokerConfig::new(data.path().join("data"), any)).unwrap();
        let url = format!("verteilt://{}", broker.local_addr());
        let client = Client::connect(&url).await.unwrap();
        let mut config = GatewayConfig::new(any);
        change(&mut config);
        let gateway = Gateway::bind(config, client.clone()).await.unwrap();
        let door = Door(gateway.local_addr().to_string());
        let shutdown = CancellationToken::new();
        let gateway = tokio::spawn(finish(gateway).run(shutdown.clone()));
        Self {
            broker,
            client,
            door,
            shutdown,
            gateway,
            file: String::new(),
            _data: data,
        }
    }
}

impl Door {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), b"").await
    }

    pub(crate) async fn post(&self, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nContent-Length: {length}\r\n{headers}");
        self.send(&head, body).await
    }

    /// `head` ends its last line and has no empty one.
    pub(crate) async fn send(&self, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect().await;
        let head = format!("{head}Host: gateway\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A refusal may come before all of it is read.
        let _ = stream.write_all(body).await;
        answer(&mut stream).await
    }

    pub(crate) async fn talk(&self) -> Talk {
        Talk::new(self.connect().await)
    }

    pub(crate) async fn is_closed(&self) -> bool {
        TcpStream::connect(&self.0).await.is_err()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.0).await.unwrap()
    }
}

/// Everything up to the end of the connection.
pub(crate) async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // Reset after the answer: the server did not read a body that it refused.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes))
        .await
        .unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    Answer {
        status,
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}
