//! The services as they ask each other, behind a real broker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::{Client, Response};

async fn ask(client: &Client, service: &str, endpoint: &str) -> Response {
    let request = client.request(service).endpoint(endpoint);
    request.send().await.unwrap()
}

fn broker() -> (tempfile::TempDir, Broker) {
    let data = tempfile::tempdir().unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let broker = Broker::start(BrokerConfig::new(data.path().join("data"), any)).unwrap();
    (data, broker)
}

async fn client_of(broker: &Broker) -> Client {
    let url = format!("verteilt://{}", broker.local_addr());
    Client::connect(&url).await.unwrap()
}

async fn text(response: Response) -> (u32, String) {
    let status = response.status;
    let body = response.body.bytes().await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_cart_takes_what_stock_has_and_no_more() {
    let (_data, broker) = broker();
    let client = client_of(&broker).await;
    let _shop = verteilt_shop::open(&client, &verteilt_shop::SERVICES)
        .await
        .unwrap();

    let mut events = ask(&client, "stock", "GET /events").await.body;
    let first = events.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: [{"), "{first:?}");
    // The same twice is the same as once.
    for _ in 0..2 {
        let (status, cart) = text(ask(&client, "cart", "PUT /carts/a/fox/24").await).await;
        assert_eq!((status, &*cart), (200, "{\"fox\":24}"));
    }
    let next = events.chunk().await.unwrap().unwrap();
    let next = String::from_utf8(next.to_vec()).unwrap();
    assert!(next.starts_with("data: [{"), "{next}");
    assert!(
        next.contains("\"left\":0,") && next.matches("\"id\"").count() == 1,
        "{next}"
    );

    let (status, reason) = text(ask(&client, "cart", "PUT /carts/b/fox/1").await).await;
    assert_eq!((status, &*reason), (409, "{\"reason\":\"sold out\"}"));
    let (status, cart) = text(ask(&client, "cart", "PUT /carts/a/fox/23").await).await;
    assert_eq!((status, &*cart), (200, "{\"fox\":23}"));
    let (status, _) = text(ask(&client, "cart", "PUT /carts/b/fox/1").await).await;
    assert_eq!(status, 200);
    // What stock does not know the catalogue might; nobody serves it here.
    let (status, reason) = text(ask(&client, "cart", "PUT /carts/b/unicorn/1").await).await;
    assert!(
        status == 503 && reason.contains("catalog does not answer"),
        "{reason}"
    );
}

#[tokio::test]
async fn the_page_knows_who_serves_and_where_a_request_went() {
    let (_data, broker) = broker();
    let client = client_of(&broker).await;
    let _shop = verteilt_shop::open(&client, &verteilt_shop::SERVICES)
        .await
        .unwrap();

    let (status, page) = text(ask(&client, "page", "GET /").await).await;
    assert!(status == 200 && page.starts_with("<!doctype html>"));
    for file in ["shop.css", "main.js"] {
        assert!(page.contains(&format!("\"page/{file}\"")), "{page}");
        let (status, _) = text(ask(&client, "page", &format!("GET /{file}")).await).await;
        assert_eq!(status, 200, "{file}");
    }
    let (_, services) = text(ask(&client, "page", "GET /services").await).await;
    for service in verteilt_shop::SERVICES {
        assert!(
            services.contains(&format!("\"service\":\"{service}\"")),
            "{services}"
        );
    }
    let id = "0123456789abcdef0123456789abcdef";
    let put = client.request("cart").endpoint("PUT /carts/a/fox/1");
    let put = put.id(id.parse().unwrap()).send().await.unwrap();
    assert_eq!(put.status, 200);
    let way = format!("GET /trace/{id}");
    let (status, way) = text(ask(&client, "page", &way).await).await;
    assert_eq!(status, 200, "{way}");
    assert!(way.contains("POST /items/fox/take/1"), "{way}");
    let (status, _) = text(ask(&client, "page", "GET /trace/x").await).await;
    assert_eq!(status, 404);
}
