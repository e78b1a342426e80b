//! Bodies that come and go piece by piece.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc};
use verteilt_client::{Body, ClientError, Request, Response, ServeOptions};

use crate::site::Site;

/// A body of what is sent.
fn channel() -> (mpsc::Sender<Result<Bytes, &'static str>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    (sender, Body::from_stream(pieces))
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let site = Site::open().await;
    let (give, mut bodies) = mpsc::channel(1);
    let events = move |_: Request| {
        let give = give.clone();
        async move {
            let (sender, body) = channel();
            give.send(sender).await.unwrap();
            Ok::<_, Infallible>(Response::new(body).header("content-type", "text/event-stream"))
        }
    };
    let _events = site
        .client
        .serve("events", ServeOptions::default(), events)
        .await
        .unwrap();
    let mut talk = site.door.talk().await;
    talk.say("GET /events HTTP/1.1\r\nHost: g\r\n\r\n").await;
    let body = bodies.recv().await.unwrap();
    assert!(
        talk.head()
            .await
            .contains("content-type: text/event-stream")
    );
    for n in 0..5 {
        let event = format!("data: {n}\n\n");
        body.send(Ok(event.clone().into())).await.unwrap();
        // The next is not sent before this one has come.
        assert_eq!(talk.chunk().await, event.as_bytes());
    }
    drop(body);
    assert!(talk.chunk().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_stream() {
    let site = Site::open().await;
    let (told, mut tells) = mpsc::channel(1);
    let events = move |_: Request| {
        let (sender, body) = channel();
        let told = told.clone();
        tokio::spawn(async move {
            sender.send(Ok("one".into())).await.unwrap();
            sender.closed().await;
            told.send(()).await.unwrap();
        });
        async move { Ok::<_, Infallible>(Response::new(body)) }
    };
    let _events = site
        .client
        .serve("events", ServeOptions::default(), events)
        .await
        .unwrap();
    let mut talk = site.door.talk().await;
    talk.say("GET /events HTTP/1.1\r\nHost: g\r\n\r\n").await;
    talk.head().await;
    assert_eq!(talk.chunk().await, b"one");
    drop(talk);
    tokio::time::timeout(Duration::from_secs(60), tells.recv())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_stream_that_breaks_off_does_not_look_whole() {
    let site = Site::open().await;
    let (give, mut bodies) = mpsc::channel(1);
    let broken = move |_: Request| {
        let give = give.clone();
        async move {
            let (sender, body) = channel();
            give.send(sender).await.unwrap();
            Ok::<_, Infallible>(Response::new(body))
        }
    };
    let options = ServeOptions::default();
    let _broken = site.client.serve("broken", options, broken).await.unwrap();
    let mut talk = site.door.talk().await;
    talk.say("GET /broken HTTP/1.1\r\nHost: g\r\n\r\n").await;
    let body = bodies.recv().await.unwrap();
    body.send(Ok("half".into())).await.unwrap();
    assert!(talk.head().await.contains("transfer-encoding: chunked"));
    assert_eq!(talk.chunk().await, b"half");
    body.send(Err("broken")).await.unwrap();
    assert!(talk.rest().await.is_empty(), "no last chunk");
}

#[tokio::test]
async fn a_length_that_the_service_knows_is_told() {
    let site = Site::open().await;
    let known = |_: Request| async {
        let pieces = futures_util::stream::iter(
            ["ab", "cd"].map(|piece| Ok::<_, String>(Bytes::from(piece))),
        );
        Ok::<_, Infallible>(Response::new(Body::from_stream(pieces)).header("content-length", "4"))
    };
    let _known = site
        .client
        .serve("known", ServeOptions::default(), known)
        .await
        .unwrap();
    let answer = site.door.get("/known").await;
    assert!(answer.head.contains("content-length: 4"), "{answer:?}");
    assert_eq!(answer.body, "abcd");
}

#[tokio::test]
async fn an_upload_waits_for_its_reader() {
    let site = Site::open().await;
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&began), Arc::clone(&go));
    let count = move |mut request: Request| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            let mut bytes = 0;
            while let Some(chunk) = request.body().chunk().await {
                bytes += chunk?.len();
            }
            Ok::<_, ClientError>(Response::new(bytes.to_string()))
        }
    };
    let _count = site
        .client
        .serve("count", ServeOptions::default(), count)
        .await
        .unwrap();
    const PIECES: usize = 1_024;
    let mut talk = site.door.talk().await;
    talk.say("POST /count HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    began.notified().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&sent);
    let upload = tokio::spawn(async move {
        let piece = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
        for _ in 0..PIECES {
            talk.say(&piece).await;
            counting.fetch_add(1, Ordering::Relaxed);
        }
        talk.say("0\r\n\r\n").await;
        talk.head().await;
        talk.bytes(8).await
    });
    // It comes to rest: in the buffers of the system, and nowhere else.
    let mut before = usize::MAX;
    loop {
        let now = sent.load(Ordering::Relaxed);
        if now == before {
            break;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(
        before < PIECES / 2,
        "{before} pieces of 64 KiB went nowhere"
    );
    go.notify_one();
    assert_eq!(upload.await.unwrap(), b"67108864");
}

#[tokio::test]
async fn an_upload_over_the_limit_is_refused_while_it_comes() {
    let site =
        Site::routed("[[routes]]\npath = \"/up\"\nservice = \"up\"\nbody_bytes_max = 100000\n")
            .await;
    let read = |mut request: Request| async move {
        let body = request.take_body().bytes().await?;
        Ok::<_, ClientError>(Response::new(body.len().to_string()))
    };
    let _up = site
        .client
        .serve("up", ServeOptions::default(), read)
        .await
        .unwrap();
    let mut talk = site.door.talk().await;
    talk.say("POST /up HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let piece = [b"10000\r\n".to_vec(), vec![b'x'; 0x10000], b"\r\n".to_vec()].concat();
    while talk.try_say(&piece).await {
        tokio::task::yield_now().await;
        if talk.has_come().await {
            break;
        }
    }
    assert!(talk.head().await.starts_with("http/1.1 413 "));
}

#[tokio::test]
async fn many_streams_at_once() {
    const STREAMS: usize = 600;
    let site = Site::open().await;
    let go = Arc::new(Notify::new());
    let open = Arc::new(AtomicUsize::new(0));
    let (wait, counted) = (Arc::clone(&go), Arc::clone(&open));
    let events = move |request: Request| {
        let (wait, counted) = (Arc::clone(&wait), Arc::clone(&counted));
        async move {
            let endpoint = request.endpoint().to_owned();
            let (sender, body) = channel();
            tokio::spawn(async move {
                sender.send(Ok("first".into())).await.unwrap();
                let all = wait.notified();
                counted.fetch_add(1, Ordering::Relaxed);
                all.await;
                sender.send(Ok(endpoint.into())).await.unwrap();
            });
            Ok::<_, Infallible>(Response::new(body))
        }
    };
    let options = ServeOptions::concurrency(1_000);
    let _events = site.client.serve("events", options, events).await.unwrap();
    let mut asking = tokio::task::JoinSet::new();
    for n in 0..STREAMS {
        let door = site.door.clone();
        asking.spawn(async move {
            let mut talk = door.talk().await;
            talk.say(format!("GET /events/{n} HTTP/1.1\r\nHost: g\r\n\r\n"))
                .await;
            talk.head().await;
            assert_eq!(talk.chunk().await, b"first");
            assert_eq!(talk.chunk().await, format!("GET /{n}").as_bytes());
            assert!(talk.chunk().await.is_empty());
        });
    }
    let end = Instant::now() + Duration::from_secs(60);
    while open.load(Ordering::Relaxed) < STREAMS {
        assert!(Instant::now() < end, "{open:?} streams are open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // All are open at one time.
    while !asking.is_empty() {
        go.notify_waiters();
        tokio::select! {
            done = asking.join_next() => done.unwrap().unwrap(),
            () = tokio::time::sleep(Duration::from_millis(50)) => {}
        }
    }
}
