//! An axum router behind a real broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use tempfile::TempDir;
use tokio::sync::mpsc;
use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::{Client, Header, RequestContext, ServeOptions, Serving};
use verteilt_tower::Origin;

struct Site {
    client: Client,
    _serving: Serving,
    _broker: Broker,
    _data: TempDir,
}

async fn site(app: Router) -> Site {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let broker = Broker::start(BrokerConfig::new(data.path().join("data"), any)).unwrap();
    let client = Client::connect(&format!("verteilt://{}", broker.local_addr()))
        .await
        .unwrap();
    let options = ServeOptions::concurrency(8);
    let serving = verteilt_tower::serve(&client, "app", options, app)
        .await
        .unwrap();
    Site {
        client,
        _serving: serving,
        _broker: broker,
        _data: data,
    }
}

fn headers(entries: &[(&str, &'static str)]) -> Vec<Header> {
    entries
        .iter()
        .map(|(name, value)| Header::new(*name, *value))
        .collect()
}

#[tokio::test]
async fn a_router_serves_what_a_gateway_sends() {
    async fn item(
        Path(id): Path<String>,
        Query(query): Query<Vec<(String, String)>>,
        Extension(origin): Extension<Origin>,
        headers: HeaderMap,
        body: String,
    ) -> impl IntoResponse {
        let many: Vec<_> = headers.get_all("x-many").iter().collect();
        let text = format!(
            "{id} {query:?} {} {many:?} {:?} {body}",
            origin.remote, headers["host"]
        );
        (
            StatusCode::CREATED,
            [("set-cookie", "a=1"), ("x-one", "2")],
            text,
        )
    }
    let site = site(Router::new().route("/items/{id}", post(item))).await;
    let sent = headers(&[
        (":method", "POST"),
        (":path", "/items/a%20b"),
        (":query", "x=1"),
        (":host", "shop.example.org"),
        (":remote", "192.0.2.1:9"),
        (":unknown", "?"),
        ("x-many", "1"),
        ("x-many", "2"),
    ]);
    let answer = site
        .client
        .request("app")
        .headers(sent)
        .body("hello")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status, 201);
    assert_eq!(&answer.header_value("set-cookie").unwrap()[..], b"a=1");
    let text = answer.body.bytes().await.unwrap();
    let expected = "a b [(\"x\", \"1\")] 192.0.2.1:9 [\"1\", \"2\"] \"shop.example.org\" hello";
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

#[tokio::test]
async fn another_service_names_an_endpoint() {
    async fn sum(Query(numbers): Query<Vec<(String, i64)>>) -> Json<i64> {
        Json(numbers.iter().map(|(_, number)| number).sum())
    }
    async fn ask(Extension(context): Extension<RequestContext>) -> Bytes {
        let call = context.call("app").endpoint("GET /sum?a=1&b=41");
        call.send().await.unwrap().body.bytes().await.unwrap()
    }
    let app = Router::new()
        .route("/sum", get(sum))
        .route("/ask", post(ask));
    let site = site(app).await;
    let answer = site
        .client
        .request("app")
        .endpoint("POST /ask")
        .send()
        .await
        .unwrap();
    assert_eq!(&answer.body.bytes().await.unwrap()[..], b"42");
    let unknown = site
        .client
        .request("app")
        .endpoint("GET /x")
        .send()
        .await
        .unwrap();
    assert_eq!(unknown.status, 404);
    let wrong = site
        .client
        .request("app")
        .endpoint("G@T /x")
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    async fn upper(body: Body) -> Body {
        Body::from_stream(futures_util::StreamExt::map(
            body.into_data_stream(),
            |chunk| chunk.map(|chunk| chunk.to_ascii_uppercase()),
        ))
    }
    let site = site(Router::new().route("/upper", post(upper))).await;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, String>>(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let request = site.client.request("app").endpoint("POST /upper");
    let mut answer = request
        .body(verteilt_client::Body::from_stream(pieces))
        .send()
        .await
        .unwrap();
    for (piece, back) in [("one", "ONE"), ("two", "TWO")] {
        sender.send(Ok(piece.into())).await.unwrap();
        assert_eq!(
            &answer.body.chunk().await.unwrap().unwrap()[..],
            back.as_bytes()
        );
    }
    drop(sender);
    assert!(answer.body.chunk().await.is_none());
}

#[tokio::test]
async fn nobody_waiting_drops_the_handler() {
    struct Tells(mpsc::Sender<&'static str>);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.try_send("dropped").unwrap();
        }
    }
    let (told, mut tells) = mpsc::channel(2);
    let wait = move || {
        let told = told.clone();
        async move {
            told.send("began").await.unwrap();
            let _tells = Tells(told);
            std::future::pending::<()>().await;
        }
    };
    let site = site(Router::new().route("/wait", get(wait))).await;
    let client = site.client.clone();
    let asking =
        tokio::spawn(async move { client.request("app").endpoint("GET /wait").send().await });
    let end = Duration::from_secs(60);
    assert_eq!(
        tokio::time::timeout(end, tells.recv()).await.unwrap(),
        Some("began")
    );
    asking.abort();
    assert_eq!(
        tokio::time::timeout(end, tells.recv()).await.unwrap(),
        Some("dropped")
    );
}
