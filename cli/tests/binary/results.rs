//! Requests of durability `disk` through a broker that is killed: before they begin, while they run,
//! and after they were answered.

mod stopped;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use verteilt_client::{
    Client, Durability, ErrorCode, Request, RequestId, RequestResult, Response, Sending,
    ServeOptions, Serving,
};

use crate::process::{Broker, DEADLINE, Settings, run, stderr, stdout};

/// A service that says which run of which request it is, as fast as permits are given.
struct Worker {
    client: Client,
    _serving: Serving,
    begun: Arc<AtomicU32>,
    go: Arc<Semaphore>,
}

impl Worker {
    async fn start(url: &str, permits: usize) -> Self {
        let client = Client::connect(url).await.unwrap();
        let begun = Arc::new(AtomicU32::new(0));
        let go = Arc::new(Semaphore::new(permits));
        let (counted, gate) = (Arc::clone(&begun), Arc::clone(&go));
        let handler = move |mut request: Request| {
            let (counted, gate) = (Arc::clone(&counted), Arc::clone(&gate));
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
                let body = request.take_body().bytes().await.unwrap_or_default();
                gate.acquire().await.unwrap().forget();
                let text = format!("attempt {}, {} bytes", request.attempt(), body.len());
                let response = Response::with_status(201, text).header("x-kept", "yes");
                Ok::<_, String>(response)
            }
        };
        let options = ServeOptions::concurrency(4);
        let serving = client.serve("work", options, handler).await.unwrap();
        Self {
            client,
            _serving: serving,
            begun,
            go,
        }
    }

    async fn begins(&self, runs: u32) {
        tokio::time::timeout(DEADLINE, async {
            while self.begun.load(Ordering::SeqCst) < runs {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .expect("it begins in time");
    }
}

fn disk(client: &Client, id: u128) -> Sending {
    let sending = client.request("work").id(RequestId(id));
    sending
        .durability(Durability::Disk)
        .deadline(DEADLINE)
        .body(vec![7; 100_000])
}

/// Waits for a reply and says what it is.
async fn reply(client: &Client, id: u128) -> String {
    let asked = client.result(RequestId(id), DEADLINE);
    let asked = tokio::time::timeout(DEADLINE, asked).await.unwrap();
    let RequestResult::Replied { response, .. } = asked.unwrap() else {
        panic!("{id} has no reply");
    };
    assert_eq!(response.status, 201);
    assert_eq!(response.header_value("x-kept").unwrap(), "yes");
    String::from_utf8(response.body.bytes().await.unwrap().to_vec()).unwrap()
}

fn in_time<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(DEADLINE * 2, work)
            .await
            .expect("in time")
    })
}

#[test]
fn killed_before_it_begins() {
    let mut broker = Broker::start();
    in_time(async {
        let client = Client::connect(&broker.url).await.unwrap();
        for id in 1..=3 {
            let accepted = disk(&client, id).detach().await.unwrap();
            assert!(!accepted.known);
        }
        broker.kill();
        broker.restart();
        // Accepted before, though nobody could tell its caller so.
        assert!(disk(&client, 3).detach().await.unwrap().known);
        let pending = client.result(RequestId(2), Duration::ZERO).await.unwrap();
        assert!(
            matches!(pending, RequestResult::Pending { .. }),
            "{pending:?}"
        );
        let worker = Worker::start(&broker.url, 3).await;
        for id in 1..=3 {
            assert_eq!(reply(&client, id).await, "attempt 1, 100000 bytes");
        }
        assert_eq!(worker.begun.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn killed_while_it_runs() {
    let mut broker = Broker::start();
    in_time(async {
        let worker = Worker::start(&broker.url, 0).await;
        let client = Client::connect(&broker.url).await.unwrap();
        let waiting = tokio::spawn(disk(&client, 1).send());
        worker.begins(1).await;
        broker.kill();
        broker.restart();
        // The same worker again: what it held is not its any more, so it gets it a second time.
        worker.begins(2).await;
        worker.go.add_permits(2);
        // Whoever waited for it still does.
        let response = waiting.await.unwrap().unwrap();
        let body = response.body.bytes().await.unwrap();
        assert_eq!(body, "attempt 2, 100000 bytes");
        assert_eq!(reply(&client, 1).await, "attempt 2, 100000 bytes");
    });
}

#[test]
fn killed_after_the_reply() {
    let mut broker = Broker::start();
    in_time(async {
        let worker = Worker::start(&broker.url, 9).await;
        let client = Client::connect(&broker.url).await.unwrap();
        assert_eq!(disk(&client, 1).send().await.unwrap().status, 201);
        for checkpoint in [false, true] {
            if checkpoint {
                client.checkpoint().await.unwrap();
            }
            broker.kill();
            broker.restart();
            assert_eq!(reply(&client, 1).await, "attempt 1, 100000 bytes");
            let again = disk(&client, 1).send().await.unwrap();
            assert_eq!(again.body.bytes().await.unwrap(), "attempt 1, 100000 bytes");
        }
        assert_eq!(worker.begun.load(Ordering::SeqCst), 1);
        let other = disk(&client, 1).body("other").detach().await.unwrap_err();
        assert_eq!(other.code(), Some(ErrorCode::RequestMismatch));
    });
    // What is kept is whole, and a backup has it.
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let backup = run(&mut broker.verteilt(["backup", &path("file")]));
    assert!(backup.status.success(), "{}", stderr(&backup));
    broker.kill();
    let data = broker.data().to_str().unwrap().to_owned();
    let verified = run(&mut broker.verteilt(["verify", &data]));
    assert!(verified.status.success(), "{}", stdout(&verified));
    let restored = run(&mut broker.verteilt(["restore", &path("file"), &path("data")]));
    assert!(restored.status.success(), "{}", stderr(&restored));
    let broker = Broker::on(&folder.path().join("data"));
    in_time(async {
        let client = Client::connect(&broker.url).await.unwrap();
        assert_eq!(reply(&client, 1).await, "attempt 1, 100000 bytes");
    });
}

/// A second: short enough to wait for.
const SHORT: Settings = &[("VERTEILT_RESULTS__KEEP", "1s")];

#[test]
fn results_are_kept_for_their_time() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start_in(folder, SHORT);
    in_time(async {
        let worker = Worker::start(&broker.url, 9).await;
        let client = &worker.client;
        disk(client, 1).send().await.unwrap();
        let gone = async |client: &Client| {
            tokio::time::timeout(DEADLINE, async {
                while client.result(RequestId(1), Duration::ZERO).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
            .await
            .expect("it is forgotten in time");
        };
        gone(client).await;
        broker.kill();
        broker.restart();
        let unknown = client
            .result(RequestId(1), Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(unknown.code(), Some(ErrorCode::RequestUnknown));
        // The id is free.
        assert!(!disk(client, 1).detach().await.unwrap().known);
        worker.begins(2).await;
    });
}
