//! Requests that services answer, and every way in which they do not.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use verteilt_client::{ClientError, Request, Response, ServeOptions};

use crate::site::{Answer, Site, answer};

async fn echo(mut request: Request) -> Result<Response, ClientError> {
    let endpoint = request.endpoint().to_owned();
    let body = request.take_body().bytes().await?;
    Ok(Response::with_status(201, body).header("x-endpoint", endpoint))
}

#[tokio::test]
async fn a_service_answers_under_its_name() {
    let site = Site::open().await;
    let _echo = site
        .client
        .serve("echo", ServeOptions::concurrency(4), echo)
        .await
        .unwrap();
    let answer = site.door.post("/echo/items/4?full=1", "", b"hello").await;
    assert_eq!((answer.status, &*answer.body), (201, "hello"));
    assert!(
        answer.head.contains("x-endpoint: post /items/4\r\n"),
        "{answer:?}"
    );
    assert!(answer.head.contains("content-length: 5"), "{answer:?}");
    assert!(
        site.door
            .get("/echo")
            .await
            .head
            .contains("x-endpoint: get /\r\n")
    );
    assert!(
        site.door
            .get("/echo/")
            .await
            .head
            .contains("x-endpoint: get /\r\n")
    );
    let head = site.door.send("HEAD /echo/x HTTP/1.1\r\n", b"").await;
    assert_eq!((head.status, &*head.body), (201, ""));
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let site = Site::open().await;
    let refused = site.door.get("/nobody/x").await;
    refused.is_problem(503, "NO_WORKER");
    assert!(refused.head.contains("retry-after: 1"), "{refused:?}");
    site.door
        .get("/Not%20a%20service")
        .await
        .is_problem(404, "ROUTE_UNKNOWN");
}

#[tokio::test]
async fn the_deadline_says_who_held_the_request() {
    let site =
        Site::routed("[[routes]]\npath = \"/slow\"\nservice = \"slow\"\ndeadline_ms = 100\n").await;
    let never = |_: Request| std::future::pending::<Result<Response, Infallible>>();
    let _slow = site
        .client
        .serve("slow", ServeOptions::default(), never)
        .await
        .unwrap();
    let late = site.door.get("/slow").await;
    late.is_problem(504, "DEADLINE_EXCEEDED");
    assert!(late.body.contains("held by slow"), "{late:?}");
}

#[tokio::test]
async fn a_handler_that_fails_is_a_problem_of_the_service() {
    let site = Site::open().await;
    let fail = |_: Request| async { Err::<Response, _>("a secret") };
    let _bad = site
        .client
        .serve("bad", ServeOptions::default(), fail)
        .await
        .unwrap();
    let failed = site.door.get("/bad").await;
    failed.is_problem(500, "SERVICE_FAILED");
    assert!(!failed.body.contains("secret"));
}

#[tokio::test]
async fn a_reply_that_is_no_http_is_a_bad_gateway() {
    let site = Site::open().await;
    let odd = |request: Request| async move {
        Ok::<_, Infallible>(match request.endpoint() {
            "GET /status" => Response::with_status(7, "x"),
            "GET /early" => Response::with_status(103, "x"),
            "GET /name" => Response::new("x").header("not a name", "x"),
            "GET /split" => Response::new("x").header("x-a", "1\r\nx-b: 2"),
            _ => Response::new("fine"),
        })
    };
    let _odd = site
        .client
        .serve("odd", ServeOptions::concurrency(4), odd)
        .await
        .unwrap();
    for path in ["/odd/status", "/odd/early", "/odd/name", "/odd/split"] {
        site.door.get(path).await.is_problem(502, "BAD_REPLY");
    }
    assert_eq!(site.door.get("/odd/fine").await.body, "fine");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let site = Site::open().await;
    let (told, mut tells) = mpsc::channel(2);
    let wait = move |request: Request| {
        let told = told.clone();
        async move {
            told.send("began").await.unwrap();
            let cancelled = request.cancelled().clone();
            tokio::spawn(async move {
                cancelled.cancelled().await;
                told.send("cancelled").await.unwrap();
            });
            std::future::pending::<Result<Response, Infallible>>().await
        }
    };
    let _wait = site
        .client
        .serve("wait", ServeOptions::default(), wait)
        .await
        .unwrap();
    let mut talk = site.door.talk().await;
    talk.say("GET /wait HTTP/1.1\r\nHost: g\r\n\r\n").await;
    assert_eq!(tells.recv().await, Some("began"));
    drop(talk);
    assert_eq!(tells.recv().await, Some("cancelled"));
}

/// Serves `work` on a client that is closed in the middle of a request; another worker is there by then.
async fn asked_while_a_worker_dies(head: &'static str) -> Answer {
    let site = Site::open().await;
    let dying = site.another_client().await;
    let taken = Arc::new(Notify::new());
    let tell = Arc::clone(&taken);
    let hold = move |_: Request| {
        tell.notify_one();
        std::future::pending::<Result<Response, Infallible>>()
    };
    let first = dying
        .serve("work", ServeOptions::default(), hold)
        .await
        .unwrap();
    let door = site.door.clone();
    let asked = tokio::spawn(async move { door.send(head, b"").await });
    taken.notified().await;
    let fine = |_: Request| async { Ok::<_, Infallible>(Response::new("done")) };
    let _second = site
        .client
        .serve("work", ServeOptions::default(), fine)
        .await
        .unwrap();
    // As a process that is killed: its socket closes, it says nothing.
    drop((first, dying));
    asked.await.unwrap()
}

#[tokio::test]
async fn a_request_whose_worker_dies_runs_on_another_if_it_may_run_twice() {
    let again = asked_while_a_worker_dies("GET /work HTTP/1.1\r\n").await;
    assert_eq!((again.status, &*again.body), (200, "done"));
    let once = asked_while_a_worker_dies("POST /work HTTP/1.1\r\n").await;
    once.is_problem(502, "WORKER_LOST");
}

#[tokio::test]
async fn requests_in_flight_end_before_the_gateway_does() {
    let site = Site::open().await;
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&began), Arc::clone(&go));
    let slow = move |_: Request| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, Infallible>(Response::new("done"))
        }
    };
    let _slow = site
        .client
        .serve("slow", ServeOptions::default(), slow)
        .await
        .unwrap();
    let mut stream = site.door.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /slow HTTP/1.1\r\nHost: g\r\n\r\n")
        .await
        .unwrap();
    began.notified().await;
    site.shutdown.cancel();
    while !site.door.is_closed().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    go.notify_one();
    let answer = answer(&mut stream).await;
    assert_eq!((answer.status, &*answer.body), (200, "done"));
    site.gateway.await.unwrap();
}
