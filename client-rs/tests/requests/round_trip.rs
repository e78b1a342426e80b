//! Requests that are answered: at once, by somebody else, with the help of others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use verteilt_client::{Body, ErrorCode, Header, Request, Response, ServeOptions};

use crate::house::{House, code, echo, within};

#[tokio::test]
async fn a_request_is_answered() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let options = ServeOptions::default().version("2").instance("one");
    let serving = worker
        .serve("greet", options, |mut request: Request| async move {
            assert_eq!(request.service(), "greet");
            assert_eq!(request.endpoint(), "hello");
            assert_eq!(request.header("Lang").unwrap(), "de");
            assert!(request.remaining() <= Duration::from_secs(7));
            let name = request.take_body().bytes().await?;
            let text = [b"Hallo ", &name[..]].concat();
            let response = Response::with_status(201, text);
            Ok::<_, verteilt_client::ClientError>(response.header("x", "y"))
        })
        .await
        .unwrap();
    assert_eq!(serving.instance(), "one");
    let sending = caller.request("greet").version("2").endpoint("hello");
    let sending = sending.headers(vec![Header::new("lang", "de")]);
    let sending = sending.deadline(Duration::from_secs(7)).body("Ada");
    let response = within(sending.send()).await.unwrap();
    assert_eq!(response.status, 201);
    assert_eq!(response.header_value("X").unwrap(), "y");
    assert_eq!(response.body.bytes().await.unwrap(), "Hallo Ada");
    let other = caller.request("greet").version("3").send();
    assert_eq!(code(within(other).await), ErrorCode::NoWorker);
}

#[tokio::test]
async fn a_client_may_ask_itself() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = echo(&client, "echo", 4).await;
    let asked = (0..200).map(|n| client.request("echo").body(format!("{n}")).send());
    for (n, response) in within(join_all(asked)).await.into_iter().enumerate() {
        let body = response.unwrap().body.bytes().await.unwrap();
        assert_eq!(body, format!("{n}"));
    }
}

#[tokio::test]
async fn a_body_of_many_frames_comes_and_goes_whole() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = echo(&client, "echo", 4).await;
    for bytes in [0, 1, 960 * 1024, 960 * 1024 + 1, 5_000_000] {
        let body: Bytes = (0..bytes)
            .map(|n| (n % 251) as u8)
            .collect::<Vec<_>>()
            .into();
        let response = within(client.request("echo").body(body.clone()).send()).await;
        let answer = within(response.unwrap().body.bytes()).await.unwrap();
        assert!(
            answer == body,
            "{bytes} bytes came back as {}",
            answer.len()
        );
    }
}

#[tokio::test]
async fn a_forward_keeps_the_ids_and_what_is_left_of_the_deadline() {
    let house = House::start().await;
    let (first, second, caller) = (
        house.client().await,
        house.client().await,
        house.client().await,
    );
    let seen = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&seen);
    let _first = first
        .serve(
            "first",
            ServeOptions::default(),
            move |mut request: Request| {
                let noted = Arc::clone(&noted);
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    *noted.lock().await =
                        Some((request.id(), request.gateway_id(), request.deadline()));
                    request.forward("second").endpoint("there").send().await
                }
            },
        )
        .await
        .unwrap();
    let noted = Arc::clone(&seen);
    let _second = second
        .serve(
            "second",
            ServeOptions::default(),
            move |mut request: Request| {
                let noted = Arc::clone(&noted);
                async move {
                    let (id, gateway, deadline) = noted.lock().await.unwrap();
                    assert_eq!((id, gateway), (request.id(), request.gateway_id()));
                    assert_eq!(request.forwards(), 1);
                    assert_eq!(request.endpoint(), "there");
                    assert_eq!(request.header("trace").unwrap(), "abc");
                    // Milliseconds are rounded up on their way.
                    assert!(request.deadline() <= deadline + Duration::from_millis(1_000));
                    assert!(request.remaining() < Duration::from_secs(10));
                    Ok::<_, String>(Response::new(request.take_body()))
                }
            },
        )
        .await
        .unwrap();
    let sending = caller.request("first").header("trace", "abc").body("kept");
    let response = within(sending.deadline(Duration::from_secs(10)).send())
        .await
        .unwrap();
    assert_eq!(response.body.bytes().await.unwrap(), "kept");
    let (_, gateway, _) = seen.lock().await.unwrap();
    assert_eq!(gateway, caller.gateway_id());
}

#[tokio::test]
async fn a_body_that_streams_goes_on_from_the_caller_after_a_forward() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let _second = echo(&worker, "second", 4).await;
    let _first = worker
        .serve(
            "first",
            ServeOptions::concurrency(4),
            |mut request: Request| async move {
                if request.endpoint() == "read" {
                    // What was read goes no further; the rest is read and sent on from here.
                    let first = request.body().chunk().await.unwrap().unwrap();
                    assert_eq!(first, "a");
                }
                request.forward("second").send().await
            },
        )
        .await
        .unwrap();
    for (endpoint, expected) in [("", "abc"), ("read", "bc")] {
        let chunks = ["a", "b", "c"].map(Ok::<_, String>);
        let body = Body::from_stream(futures_util::stream::iter(chunks));
        let sending = caller.request("first").endpoint(endpoint).body(body);
        let response = within(sending.send()).await.unwrap();
        assert_eq!(within(response.body.bytes()).await.unwrap(), expected);
    }
}

/// More than any window holds: the parts go from the caller to each forwarder that reads, and on.
#[tokio::test]
async fn a_body_may_be_read_and_sent_on_by_one_service_after_the_other() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let mut servings = vec![echo(&worker, "last", 1).await];
    for (service, next) in [("one", "two"), ("two", "last")] {
        let pass_on = move |mut request: Request| async move {
            let first = request.body().chunk().await.unwrap().unwrap();
            let marked = [&first[..], next.as_bytes()].concat();
            let rest = request.take_body();
            let first = futures_util::stream::iter([Ok(marked.into())]);
            let body = Body::from_stream(first.chain(rest));
            request.forward(next).body(body).send().await
        };
        let options = ServeOptions::default();
        servings.push(worker.serve(service, options, pass_on).await.unwrap());
    }
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, String>(vec![b'.'; 50_000]));
    let body = Body::from_stream(chunks.take(100));
    let response = within(caller.request("one").body(body).send())
        .await
        .unwrap();
    let answer = within(response.body.bytes()).await.unwrap();
    assert_eq!(answer.len(), 100 * 50_000 + "two".len() + "last".len());
}

#[tokio::test]
async fn a_refused_forward_leaves_the_request_with_its_worker() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = client
        .serve(
            "first",
            ServeOptions::default(),
            |mut request: Request| async move {
                match request.forward("nobody").send().await {
                    Err(error) if error.code() == Some(ErrorCode::NoWorker) => {
                        Ok(Response::with_status(502, request.take_body()))
                    }
                    other => other,
                }
            },
        )
        .await
        .unwrap();
    let response = within(client.request("first").body("mine").send())
        .await
        .unwrap();
    assert_eq!(response.status, 502);
    assert_eq!(response.body.bytes().await.unwrap(), "mine");
}

#[tokio::test]
async fn services_that_forward_in_a_circle_are_stopped() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = client
        .serve(
            "circle",
            ServeOptions::default(),
            |mut request: Request| async move {
                match request.forward("circle").send().await {
                    Err(error) if error.code() == Some(ErrorCode::ForwardLimit) => {
                        let forwards = request.forwards().to_string();
                        Ok(Response::with_status(508, forwards))
                    }
                    other => other,
                }
            },
        )
        .await
        .unwrap();
    let response = within(client.request("circle").send()).await.unwrap();
    assert_eq!(response.status, 508);
    assert_eq!(response.body.bytes().await.unwrap(), "32");
}

#[tokio::test]
async fn a_call_has_its_own_id_and_at_most_what_is_left_of_the_deadline() {
    let house = House::start().await;
    let client = house.client().await;
    let _back = client
        .serve(
            "back",
            ServeOptions::default(),
            |request: Request| async move {
                assert!(request.remaining() <= Duration::from_secs(5));
                Ok::<_, String>(Response::new(request.id().to_string()))
            },
        )
        .await
        .unwrap();
    let _front = client
        .serve(
            "front",
            ServeOptions::default(),
            |request: Request| async move {
                let call = request.call("back").deadline(Duration::from_secs(3_600));
                let answer = call.send().await?.body.bytes().await?;
                assert_ne!(answer, request.id().to_string());
                Ok::<_, verteilt_client::ClientError>(Response::new(answer))
            },
        )
        .await
        .unwrap();
    let sending = client.request("front").deadline(Duration::from_secs(5));
    let response = within(sending.send()).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.body.bytes().await.unwrap().len(), 32);
}

/// Two callers, 10,000 requests, delays that shuffle the replies: everyone gets its own, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_gets_its_own_answer_exactly_once() {
    let house = House::start().await;
    let (worker, one, two) = (
        house.client().await,
        house.client().await,
        house.client().await,
    );
    let served = Arc::new(Mutex::new(BTreeSet::new()));
    let noted = Arc::clone(&served);
    let _serving = worker
        .serve(
            "mixed",
            ServeOptions::concurrency(500),
            move |mut request: Request| {
                let noted = Arc::clone(&noted);
                async move {
                    let body = request.take_body().bytes().await?;
                    let number: u64 = std::str::from_utf8(&body).unwrap().parse().unwrap();
                    assert!(noted.lock().await.insert(number), "{number} came twice");
                    let delay = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59;
                    tokio::time::sleep(Duration::from_millis(delay)).await;
                    Ok::<_, verteilt_client::ClientError>(Response::new(body))
                }
            },
        )
        .await
        .unwrap();
    let ask = |client: &verteilt_client::Client, number: u64| {
        let sending = client.request("mixed").body(number.to_string());
        async move {
            let response = sending.send().await.unwrap();
            assert_eq!(response.body.bytes().await.unwrap(), number.to_string());
        }
    };
    let asked = (0..10_000).map(|number| ask(if number % 2 == 0 { &one } else { &two }, number));
    within(join_all(asked)).await;
    assert_eq!(served.lock().await.len(), 10_000);
}
