//! Bodies that stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::sync::mpsc;
use verteilt_client::{Body, ErrorCode, Request, Response, ServeOptions};

use crate::house::{House, code, echo, until, within};

/// Chunks as somebody sends them into the returned end.
fn fed() -> (mpsc::Sender<Result<&'static str, String>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let chunks = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    });
    (sender, Body::from_stream(chunks))
}

#[tokio::test]
async fn every_chunk_of_a_reply_arrives_alone_and_at_once() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let (sender, body) = fed();
    let body = std::sync::Mutex::new(Some(body));
    let _serving = worker
        .serve(
            "events",
            ServeOptions::default(),
            move |_request: Request| {
                let body = body.lock().unwrap().take().unwrap();
                async move { Ok::<_, String>(Response::with_status(207, body)) }
            },
        )
        .await
        .unwrap();
    // The head comes before the first chunk is there.
    let response = within(caller.request("events").send()).await.unwrap();
    assert_eq!(response.status, 207);
    let mut body = response.body;
    assert_eq!(body.len(), None);
    for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
        sender.send(Ok(event)).await.unwrap();
        assert_eq!(within(body.chunk()).await.unwrap().unwrap(), event);
    }
    drop(sender);
    assert!(within(body.chunk()).await.is_none());
}

#[tokio::test]
async fn both_bodies_may_stream_at_the_same_time() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = echo(&client, "echo", 1).await;
    let (sender, body) = fed();
    let response = within(client.request("echo").body(body).send())
        .await
        .unwrap();
    let mut answer = response.body;
    for chunk in ["one", "two", "three"] {
        sender.send(Ok(chunk)).await.unwrap();
        assert_eq!(within(answer.chunk()).await.unwrap().unwrap(), chunk);
    }
    drop(sender);
    assert!(within(answer.chunk()).await.is_none());
}

#[tokio::test]
async fn a_stream_without_a_piece_is_an_empty_body() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = echo(&client, "echo", 64).await;
    // Its end may be there before the request has left, or after.
    let asked = (0..64).map(|_| {
        let (sender, body) = fed();
        drop(sender);
        within(client.request("echo").body(body).send())
    });
    for response in join_all(asked).await {
        let mut body = response.unwrap().body;
        assert!(within(body.chunk()).await.is_none());
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_whole_one() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = echo(&client, "echo", 1).await;
    let (sender, body) = fed();
    let response = within(client.request("echo").body(body).send())
        .await
        .unwrap();
    sender.send(Ok("half")).await.unwrap();
    sender.send(Err("no more".to_owned())).await.unwrap();
    let error = within(response.body.bytes()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::BodyBroken));
    // Before there was a reply the request ends so.
    let _serving = client
        .serve(
            "reads",
            ServeOptions::default(),
            |mut request: Request| async move {
                let whole = request.take_body().bytes().await?;
                Ok::<_, verteilt_client::ClientError>(Response::new(whole))
            },
        )
        .await
        .unwrap();
    let (sender, body) = fed();
    let asked = tokio::spawn(client.request("reads").body(body).send());
    sender.send(Err("nothing at all".to_owned())).await.unwrap();
    assert_eq!(code(within(asked).await.unwrap()), ErrorCode::BodyBroken);
}

#[tokio::test]
async fn a_slow_reader_holds_the_sender_back() {
    const CHUNK: usize = 16 * 1024;
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let _serving = worker
        .serve(
            "source",
            ServeOptions::default(),
            move |_request: Request| {
                let counted = Arc::clone(&counted);
                let chunks = futures_util::stream::repeat_with(move || {
                    counted.fetch_add(CHUNK, Ordering::SeqCst);
                    Ok::<_, String>(vec![7; CHUNK])
                });
                let body = Body::from_stream(chunks.take(2_000));
                async move { Ok::<_, String>(Response::new(body)) }
            },
        )
        .await
        .unwrap();
    let response = within(caller.request("source").send()).await.unwrap();
    let mut body = response.body;
    let mut read = 0;
    // What is ahead of the reader: the window, a part that waits for credit.
    let ahead_max = 256 * 1024 + 2 * CHUNK;
    while let Some(chunk) = within(body.chunk()).await {
        read += chunk.unwrap().len();
        if read % (CHUNK * 100) < CHUNK {
            // Whoever has time sends all it may.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let ahead = made.load(Ordering::SeqCst) - read;
        assert!(ahead <= ahead_max, "{ahead} bytes ahead");
    }
    assert_eq!(read, 2_000 * CHUNK);
}

#[tokio::test]
async fn nothing_of_a_request_is_read_that_its_worker_does_not_read() {
    let house = House::start().await;
    let client = house.client().await;
    let _serving = client
        .serve(
            "no",
            ServeOptions::default(),
            |_request: Request| async move {
                Ok::<_, String>(Response::with_status(413, Body::empty()))
            },
        )
        .await
        .unwrap();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let chunks = futures_util::stream::repeat_with(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, String>(vec![7; 1_000])
    });
    let sending = client.request("no").body(Body::from_stream(chunks));
    assert_eq!(within(sending.send()).await.unwrap().status, 413);
    assert!(
        made.load(Ordering::SeqCst) <= 1,
        "one chunk waits for credit"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_at_once() {
    let house = House::start().await;
    let (worker, caller) = (house.client().await, house.client().await);
    let _serving = echo(&worker, "echo", 1_000).await;
    let open = Arc::new(tokio::sync::Barrier::new(1_000));
    let streams = (0..1_000_u32).map(|number| {
        let (caller, open) = (caller.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            let chunks = futures_util::stream::iter(0..20_u32)
                .map(move |at| Ok::<_, String>((number + at).to_le_bytes().repeat(256)));
            let sending = caller.request("echo").body(Body::from_stream(chunks));
            let response = sending.send().await.unwrap();
            // All of them have begun, and none has ended.
            open.wait().await;
            let answer = response.body.bytes().await.unwrap();
            assert_eq!(answer.len(), 20 * 1_024);
            for (at, word) in answer.chunks(4).enumerate() {
                assert_eq!(word, (number + at as u32 / 256).to_le_bytes());
            }
        })
    });
    for stream in within(join_all(streams)).await {
        stream.unwrap();
    }
    until(async || {
        let stats = worker.service("echo").await.unwrap().unwrap();
        stats.instances[0].in_flight == 0
    })
    .await;
}
