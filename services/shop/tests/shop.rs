//! The services as they ask each other, behind a real broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::{Client, Response};

async fn ask(client: &Client, service: &str, endpoint: &str) -> Response {
    client
        .request(service)
        .endpoint(endpoint)
        .send()
        .await
        .unwrap()
}

async fn text(response: Response) -> (u32, String) {
    let status = response.status;
    let body = response.body.bytes().await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_cart_takes_what_stock_has_and_no_more() {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let broker = Broker::start(BrokerConfig::new(data.path().join("data"), any)).unwrap();
    let client = Client::connect(&format!("verteilt://{}", broker.local_addr()))
        .await
        .unwrap();
    let _shop = verteilt_shop::open(&client).await.unwrap();

    let mut events = ask(&client, "stock", "GET /events").await.body;
    let first = events.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: ["), "{first:?}");
    for n in 1..=5 {
        let (status, cart) = text(ask(&client, "cart", "PUT /carts/a/compass").await).await;
        assert_eq!((status, cart), (200, format!("{{\"compass\":{n}}}")));
    }
    let (status, reason) = text(ask(&client, "cart", "PUT /carts/b/compass").await).await;
    assert_eq!((status, &*reason), (409, "{\"reason\":\"sold out\"}"));
    let (status, _) = text(ask(&client, "cart", "DELETE /carts/b/compass").await).await;
    assert_eq!(status, 404);
    let (status, _) = text(ask(&client, "cart", "DELETE /carts/a/compass").await).await;
    assert_eq!(status, 200);
    let (status, _) = text(ask(&client, "cart", "PUT /carts/b/compass").await).await;
    assert_eq!(status, 200);
    let (status, _) = text(ask(&client, "cart", "PUT /carts/b/unicorn").await).await;
    assert_eq!(status, 404);
    let next = events.chunk().await.unwrap().unwrap();
    assert!(next.starts_with(b"data: ["), "{next:?}");
    let (status, page) = text(ask(&client, "page", "GET /").await).await;
    assert!(status == 200 && page.starts_with("<!doctype html>"));
}
