//! Rows of durability `disk`: 202 and results at any gateway, `Prefer`, `Idempotency-Key`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Semaphore;
use verteilt_client::{Request, Response, ServeOptions, Serving};

use crate::site::{Answer, Door, Site};

const ROUTES: &str = "[[routes]]\npath = \"/pay/{*rest}\"\nservice = \"pay\"\ndurability = \"disk\"\n\
     [[routes]]\npath = \"/large\"\nservice = \"large\"\ndurability = \"disk\"\n\
     [[routes]]\npath = \"/now\"\nservice = \"pay\"\n\
     [[routes]]\npath = \"/soon\"\nservice = \"nobody\"\ndurability = \"disk\"\ndeadline_ms = 200\n";

/// Counts what it serves, as fast as permits are given.
struct Pay {
    _serving: Serving,
    runs: Arc<AtomicU32>,
    go: Arc<Semaphore>,
}

async fn pay(site: &Site, permits: usize) -> Pay {
    let runs = Arc::new(AtomicU32::new(0));
    let go = Arc::new(Semaphore::new(permits));
    let (counted, gate) = (Arc::clone(&runs), Arc::clone(&go));
    let handler = move |mut request: Request| {
        let (counted, gate) = (Arc::clone(&counted), Arc::clone(&gate));
        async move {
            gate.acquire().await.unwrap().forget();
            let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
            let body = request.take_body().bytes().await.unwrap_or_default();
            let text = format!("run {run}: {}", String::from_utf8_lossy(&body));
            let response = Response::with_status(201, text).header("x-paid", "yes");
            Ok::<_, Infallible>(response)
        }
    };
    let options = ServeOptions::concurrency(8);
    let serving = site.client.serve("pay", options, handler).await.unwrap();
    Pay {
        _serving: serving,
        runs,
        go,
    }
}

/// The value of a header of an answer, whose head is in lower case.
fn field<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut lines = answer.head.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn result(door: &Door, location: &str) -> Answer {
    let ask = format!("GET {location} HTTP/1.1\r\nPrefer: wait=50\r\n");
    door.send(&ask, b"").await
}

#[tokio::test]
async fn a_client_that_waits_sees_no_difference() {
    let site = Site::routed(ROUTES).await;
    let pay = pay(&site, 9).await;
    let answer = site.door.post("/pay/1", "", b"5 EUR").await;
    assert_eq!((answer.status, &*answer.body), (201, "run 1: 5 EUR"));
    assert_eq!(field(&answer, "x-paid"), Some("yes"));
    assert_eq!(field(&answer, "idempotent-replayed"), None);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let head = format!("POST /pay/1 HTTP/1.1\r\n{chunked}");
    let answer = site
        .door
        .send(&head, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    assert_eq!((answer.status, &*answer.body), (201, "run 2: abcde"));
    // Its id, for trace and result.
    let id = field(&answer, "x-request-id").unwrap();
    let stored = result(&site.door, &format!("/v1/requests/{id}")).await;
    assert_eq!((stored.status, &*stored.body), (201, "run 2: abcde"));
    assert_eq!(pay.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_result_is_there_for_any_gateway() {
    let site = Site::routed(ROUTES).await;
    let other = site.another_door().await;
    let pay = pay(&site, 0).await;
    let answer = site
        .door
        .post("/pay/1", "Prefer: respond-async\r\n", b"x")
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(field(&answer, "preference-applied"), Some("respond-async"));
    assert_eq!(field(&answer, "retry-after"), Some("1"));
    let location = field(&answer, "location").unwrap().to_owned();
    assert_eq!(answer.json()["location"], location);
    let pending = other.get(&location).await;
    assert_eq!(
        (pending.status, field(&pending, "retry-after")),
        (202, Some("1"))
    );
    pay.go.add_permits(1);
    let stored = result(&other, &location).await;
    assert_eq!((stored.status, &*stored.body), (201, "run 1: x"));
    assert_eq!(field(&stored, "x-paid"), Some("yes"));
    let again = other.get(&location).await;
    assert_eq!((again.status, &*again.body), (201, "run 1: x"));
    let nothing = "/v1/requests/00000000000000000000000000000001";
    other.get(nothing).await.is_problem(404, "REQUEST_UNKNOWN");
    other
        .get("/v1/requests/x")
        .await
        .is_problem(404, "REQUEST_UNKNOWN");
}

#[tokio::test]
async fn a_wait_that_is_over_is_202() {
    let site = Site::routed(ROUTES).await;
    let pay = pay(&site, 0).await;
    let answer = site.door.post("/pay/1", "Prefer: wait=0\r\n", b"x").await;
    assert_eq!(
        (answer.status, field(&answer, "preference-applied")),
        (202, Some("wait=0"))
    );
    pay.go.add_permits(2);
    let long = "Prefer: respond-async, wait=50\r\n";
    let answer = site.door.post("/pay/1", long, b"y").await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn a_key_is_served_once() {
    let site = Site::routed(ROUTES).await;
    let other = site.another_door().await;
    let pay = pay(&site, 0).await;
    let key = "Idempotency-Key: \"order-7\"\r\n";
    let first = tokio::spawn({
        let door = site.door.clone();
        async move { door.post("/pay/1", key, b"x").await }
    });
    let second = tokio::spawn({
        let door = other.clone();
        async move { door.post("/pay/1", key, b"x").await }
    });
    pay.go.add_permits(9);
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    for answer in [&first, &second] {
        assert_eq!(
            (answer.status, &*answer.body),
            (201, "run 1: x"),
            "{answer:?}"
        );
    }
    let replayed = |answer: &Answer| field(answer, "idempotent-replayed") == Some("true");
    assert_ne!(replayed(&first), replayed(&second), "one of them began it");
    let again = other.post("/pay/1", key, b"x").await;
    assert!(replayed(&again) && again.body == "run 1: x", "{again:?}");
    assert_eq!(pay.runs.load(Ordering::SeqCst), 1);
    // Something else under this key; the same key for somebody else, or for another row.
    let different = other.post("/pay/1", key, b"y").await;
    different.is_problem(422, "REQUEST_MISMATCH");
    other
        .post("/pay/2", key, b"x")
        .await
        .is_problem(422, "REQUEST_MISMATCH");
    let me = format!("{key}Authorization: Basic eDp5\r\n");
    assert_eq!(other.post("/pay/1", &me, b"x").await.body, "run 2: x");
    // A row in memory passes the key on, and runs as often as it is asked.
    for run in 3..5 {
        let now = site.door.post("/now", key, b"x").await;
        assert_eq!(now.body, format!("run {run}: x"));
    }
    let two = format!("{key}{key}");
    let wrong = other.post("/pay/1", &two, b"x").await;
    wrong.is_problem(400, "IDEMPOTENCY_KEY_INVALID");
}

#[tokio::test]
async fn what_cannot_be_kept_is_refused() {
    let site = Site::routed(ROUTES).await;
    let _pay = pay(&site, 9).await;
    let large = vec![b'x'; 896 * 1024];
    let answer = site.door.post("/pay/1", "", &large).await;
    assert_eq!(
        (answer.status, answer.body.len()),
        (201, "run 1: ".len() + large.len())
    );
    let larger = [&large[..], b"x"].concat();
    site.door
        .post("/pay/1", "", &larger)
        .await
        .is_problem(413, "BODY_TOO_LARGE");
    // An answer may be no larger, either; it does not come from the client.
    let handler =
        |_: Request| async { Ok::<_, Infallible>(Response::new(vec![b'x'; 1024 * 1024])) };
    let options = ServeOptions::default();
    let _large = site.client.serve("large", options, handler).await.unwrap();
    site.door.get("/large").await.is_problem(502, "BAD_REPLY");
}

#[tokio::test]
async fn nobody_there_is_no_reason_until_the_deadline() {
    let site = Site::routed(ROUTES).await;
    let late = site.door.get("/soon").await;
    late.is_problem(504, "DEADLINE_EXCEEDED");
    assert!(late.body.contains("waited"), "{late:?}");
    let id = field(&late, "x-request-id").unwrap();
    let stored = site.door.get(&format!("/v1/requests/{id}")).await;
    stored.is_problem(504, "DEADLINE_EXCEEDED");
}
