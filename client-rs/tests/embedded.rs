//! The broker inside the process: its promises over real files, and how it comes and goes.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use verteilt_broker::Broker;
use verteilt_client::embedded::{BrokerConfig, Embedded, EmbeddedBuilder, StartError};
use verteilt_client::{Client, ClientError, Credit, ErrorCode, Job};

/// No test waits longer than this for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = tokio::time::timeout(PATIENCE, future).await;
    limit.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// With small segments, which are made quickly.
fn builder(folder: &Path) -> EmbeddedBuilder {
    Embedded::builder(folder.join("data")).configure(|config| {
        config.segment_bytes = 4 * 1024 * 1024;
    })
}

fn open(folder: &Path) -> Embedded {
    builder(folder).open().unwrap()
}

async fn take_one(client: &Client) -> Job {
    let jobs = client.reserve("q", 1, PATIENCE).await.unwrap();
    jobs.into_iter().next().expect("a job")
}

async fn ready(client: &Client) -> u64 {
    let stats = client.queue_stats(Some("q")).await.unwrap();
    stats.first().map_or(0, |stats| stats.ready)
}

fn is_ended(error: &ClientError) -> bool {
    matches!(error, ClientError::BrokerEnded { reason } if !reason.is_empty())
}

#[test]
fn it_is_opened_without_a_runtime_and_used_from_several() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    assert_eq!(broker.local_addr(), None);
    let one = one_thread();
    let pushed = one.block_on(async {
        let client = broker.client().await.unwrap();
        let pushed = client
            .push("q", "from a runtime of one thread")
            .await
            .unwrap();
        client.close().await.unwrap();
        pushed
    });
    let many = Builder::new_multi_thread().enable_all().build().unwrap();
    many.block_on(async {
        let client = broker.client().await.unwrap();
        let job = take_one(&client).await;
        assert_eq!(job.id(), pushed.id);
        assert_eq!(&job.body()[..], b"from a runtime of one thread");
        job.ack().await.unwrap();
    });
    one.block_on(async { in_time("the close", broker.close()).await.unwrap() });
}

/// Bodies of every size, whole and in parts, come out as they went in.
#[tokio::test]
async fn the_frames_are_those_of_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    let bodies: Vec<Vec<u8>> = [0, 1, 8_193, 300_000, 1_048_576, 3_000_001]
        .map(|bytes: usize| (0..bytes).map(|at| (at * 31 % 251) as u8).collect())
        .to_vec();
    for body in &bodies {
        client.push("q", body.clone()).await.unwrap();
    }
    let mut jobs = client.subscribe("q", Credit::jobs(2)).await.unwrap();
    for body in &bodies {
        let job = in_time("a job", jobs.next()).await.unwrap();
        assert!(&job.body()[..] == body, "{} bytes", body.len());
        job.ack().await.unwrap();
    }
    assert_eq!(
        client.push("Bad Name", "").await.unwrap_err().code(),
        Some(ErrorCode::BadName)
    );
}

#[tokio::test]
async fn the_folder_goes_to_the_daemon_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    for number in 0..3 {
        client.push("q", format!("{number}")).await.unwrap();
    }
    take_one(&client).await.ack().await.unwrap();
    client.checkpoint().await.unwrap();
    client.close().await.unwrap();
    broker.close().await.unwrap();

    let mut config = BrokerConfig::new(folder.path().join("data"), "127.0.0.1:0".parse().unwrap());
    config.segment_bytes = 4 * 1024 * 1024;
    let daemon = Broker::start(config).unwrap();
    let url = format!("verteilt://{}", daemon.local_addr());
    let client = Client::connect(&url).await.unwrap();
    assert_eq!(ready(&client).await, 2);
    let job = take_one(&client).await;
    assert_eq!(&job.body()[..], b"1");
    job.ack().await.unwrap();
    client.push("q", "3").await.unwrap();
    client.close().await.unwrap();
    daemon.stop(Duration::ZERO).await.unwrap();

    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    for body in ["2", "3"] {
        let job = take_one(&client).await;
        assert_eq!(job.body(), body);
        job.ack().await.unwrap();
    }
    assert_eq!(ready(&client).await, 0);
}

#[tokio::test]
async fn others_come_in_over_tcp_if_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let beyond = builder(folder.path()).listen("0.0.0.0:0".parse().unwrap());
    let refusal = beyond.clone().open().unwrap_err();
    assert!(matches!(refusal, StartError::Config(_)), "{refusal}");
    drop(beyond.allow_unauthenticated().open().unwrap());

    let listening = builder(folder.path()).listen("127.0.0.1:0".parse().unwrap());
    let broker = listening.open().unwrap();
    let inside = broker.client().await.unwrap();
    let url = format!("verteilt://{}", broker.local_addr().unwrap());
    let outside = Client::connect(&url).await.unwrap();
    inside.push("q", "out").await.unwrap();
    take_one(&outside).await.ack().await.unwrap();
    outside.push("q", "in").await.unwrap();
    take_one(&inside).await.ack().await.unwrap();
}

#[tokio::test]
async fn one_owner_at_a_time_and_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let refusal = builder(folder.path()).open().unwrap_err();
    let StartError::Locked { owner, .. } = &refusal else {
        panic!("{refusal}");
    };
    let owner = owner.as_ref().unwrap();
    assert!(owner.is_this_process && owner.process == std::process::id());
    let text = refusal.to_string();
    assert!(text.contains("this process"), "{text}");
    // The first one goes on, and whoever comes after it finds the folder free at once.
    let client = broker.client().await.unwrap();
    client.push("q", "x").await.unwrap();
    drop(broker);
    for _ in 0..5 {
        drop(open(folder.path()));
    }
    let broker = open(folder.path());
    assert_eq!(ready(&broker.client().await.unwrap()).await, 1);
}

#[tokio::test]
async fn connections_are_as_many_as_there_may_be() {
    let folder = tempfile::tempdir().unwrap();
    let few = builder(folder.path()).configure(|config| config.connections_max = 1);
    let broker = few.open().unwrap();
    let client = broker.client().await.unwrap();
    let refusal = broker.client().await.unwrap_err();
    assert_eq!(refusal.code(), Some(ErrorCode::ConnectionLimit));
    client.close().await.unwrap();
    let wait = broker.client_builder().connect_wait(PATIENCE);
    in_time("a free place", wait.connect()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_outlives_the_broker_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    let mut jobs = client.subscribe("q", Credit::jobs(1)).await.unwrap();
    client.push("q", "x").await.unwrap();
    let held = in_time("the job", jobs.next()).await.unwrap();
    let worker = tokio::spawn({
        let worker = client.worker("other");
        async move {
            worker
                .run(|_| async { Ok::<_, String>(()) }, CancellationToken::new())
                .await
        }
    });
    // Waits for a job that does not come.
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.reserve("none", 1, Duration::from_secs(3_000)).await }
    });
    drop(broker);
    assert!(in_time("the end", jobs.next()).await.is_none());
    assert!(is_ended(&jobs.error().unwrap()));
    assert!(is_ended(
        &in_time("an answer", held.ack()).await.unwrap_err()
    ));
    assert!(is_ended(
        &in_time("the worker", worker).await.unwrap().unwrap_err()
    ));
    assert!(is_ended(
        &in_time("the reserve", waiting).await.unwrap().unwrap_err()
    ));
    let error = in_time("a push", async { client.push("q", "late").await }).await;
    let error = error.unwrap_err();
    assert!(is_ended(&error) && !error.is_retryable(), "{error}");
    assert!(is_ended(&client.close().await.unwrap_err()));
    // The job was in the hand of somebody who can never come back.
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    let again = take_one(&client).await;
    assert_eq!((again.attempt(), &again.body()[..]), (2, &b"x"[..]));
}

#[tokio::test]
async fn closing_lets_work_in_flight_finish() {
    let folder = tempfile::tempdir().unwrap();
    let broker = builder(folder.path()).grace(PATIENCE).open().unwrap();
    let client = broker.client().await.unwrap();
    client.push("q", "x").await.unwrap();
    let job = take_one(&client).await;
    let builder = broker.client_builder();
    let closing = tokio::spawn(broker.close());
    // It begins to stop once the task has run.
    let refused = in_time("the stop", async {
        loop {
            match builder.clone().connect().await {
                Ok(client) => drop(client),
                Err(error) => return error,
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(is_ended(&refused.await));
    assert!(!closing.is_finished());
    job.ack().await.unwrap();
    in_time("the close", closing).await.unwrap().unwrap();

    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    assert_eq!(ready(&client).await, 0);
    client.push("q", "y").await.unwrap();
    let _held = take_one(&client).await;
    drop(broker);
    let broker = self::builder(folder.path())
        .grace(Duration::ZERO)
        .open()
        .unwrap();
    in_time("a close without grace", broker.close())
        .await
        .unwrap();
}

/// Deliveries fill the pipe, and the one who should take them is the one who drops the broker.
#[tokio::test]
async fn dropping_it_on_the_clients_own_thread_ends() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    let bodies = vec![bytes::Bytes::from(vec![7; 100_000]); 20];
    let pushed = client.push_batch("q", bodies, &Default::default()).await;
    assert_eq!(pushed.unwrap().len(), 20);
    let credit = Credit {
        jobs: 20,
        bytes: 8_000_000,
    };
    let mut jobs = client.subscribe("q", credit).await.unwrap();
    in_time("a job", jobs.next()).await.unwrap();
    let began = std::time::Instant::now();
    drop(broker);
    assert!(began.elapsed() < PATIENCE);
    drop(jobs);
    drop(client);
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    assert_eq!(ready(&client).await, 20);
}

#[test]
fn everything_may_be_dropped_in_any_order() {
    for order in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        let runtime = one_thread();
        let broker = open(folder.path());
        let (client, jobs) = runtime.block_on(async {
            let client = broker.client().await.unwrap();
            client.push("q", "x").await.unwrap();
            let jobs = client.subscribe("q", Credit::jobs(1)).await.unwrap();
            (client, jobs)
        });
        let mut parts: Vec<Option<Box<dyn Send>>> = vec![
            Some(Box::new(runtime)),
            Some(Box::new(broker)),
            Some(Box::new((client, jobs))),
        ];
        let orders = [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ];
        for at in orders[order] {
            parts[at] = None;
        }
        let broker = open(folder.path());
        one_thread().block_on(async {
            let client = broker.client().await.unwrap();
            take_one(&client).await.ack().await.unwrap();
        });
    }
}

/// A task owns the broker and is dropped with it by its runtime.
#[test]
fn a_runtime_that_ends_takes_the_brokers_of_its_tasks_along() {
    for workers in [0, 2] {
        let folder = tempfile::tempdir().unwrap();
        let runtime = match workers {
            0 => one_thread(),
            _ => Builder::new_multi_thread()
                .worker_threads(workers)
                .enable_time()
                .build()
                .unwrap(),
        };
        let broker = open(folder.path());
        let (tell, told) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let client = broker.client().await.unwrap();
            client.push("q", "x").await.unwrap();
            tell.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(broker);
        });
        runtime.block_on(in_time("the push", told)).unwrap();
        drop(runtime);
        let broker = open(folder.path());
        one_thread().block_on(async {
            assert_eq!(ready(&broker.client().await.unwrap()).await, 1);
        });
    }
}

#[tokio::test]
async fn a_close_that_is_given_up_is_a_drop() {
    let folder = tempfile::tempdir().unwrap();
    let broker = builder(folder.path()).grace(PATIENCE).open().unwrap();
    let client = broker.client().await.unwrap();
    client.push("q", "x").await.unwrap();
    let _held = take_one(&client).await;
    let closing = tokio::time::timeout(Duration::from_millis(20), broker.close());
    assert!(closing.await.is_err(), "a job is in hand");
    drop(open(folder.path()));
}

#[tokio::test]
async fn a_panic_in_a_handler_is_its_jobs_affair() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    for body in ["panic", "fine"] {
        client.push("q", body).await.unwrap();
    }
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let handler = move |job: Job| {
        let stop = stop.clone();
        async move {
            assert!(job.body() != "panic", "a handler that panics on purpose");
            stop.cancel();
            Ok::<_, String>(())
        }
    };
    let summary = in_time("the worker", client.worker("q").run(handler, shutdown)).await;
    let summary = summary.unwrap();
    assert_eq!((summary.done, summary.failed), (1, 1));
    assert!(broker.health().ready);
    let stats = client.queue_stats(Some("q")).await.unwrap().remove(0);
    assert_eq!((stats.done, stats.failed), (1, 1));
    broker.close().await.unwrap();
}

/// The journal changes under a running broker: it ends, says why, and the process goes on.
#[tokio::test]
async fn a_broker_that_cannot_go_on_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    let client = broker.client().await.unwrap();
    for _ in 0..5 {
        client.push("q", vec![7; 200_000]).await.unwrap();
    }
    let journal = folder.path().join("data/journal");
    let names = std::fs::read_dir(&journal).unwrap();
    let mut paths: Vec<_> = names.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with('0'));
    let first = paths.into_iter().min().unwrap();
    let mut file = std::fs::OpenOptions::new().write(true).open(first).unwrap();
    file.seek(SeekFrom::Start(300_000)).unwrap();
    file.write_all(b"not what was written").unwrap();
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.checkpoint().await }
    });
    let failure = in_time("the end", broker.failed()).await.to_string();
    assert!(failure.contains(".journal"), "{failure}");
    let error = in_time("an answer", asked).await.unwrap().unwrap_err();
    assert!(error.to_string().contains(&failure), "{error}");
    assert_eq!(broker.health().reason.as_ref(), Some(&failure));
    let ended = broker.close().await.unwrap_err();
    assert_eq!(ended.to_string(), failure);
    let refusal = builder(folder.path()).open().unwrap_err();
    assert!(refusal.to_string().contains(".journal"), "{refusal}");
}

#[tokio::test]
async fn one_in_memory_does_all_but_last() {
    let broker = Embedded::in_memory().unwrap();
    let client = broker.client().await.unwrap();
    let ids = client
        .push_batch("q", vec!["a".into(), "b".into()], &Default::default())
        .await
        .unwrap();
    assert_eq!(ids.len(), 2);
    client.checkpoint().await.unwrap();
    let first = take_one(&client).await;
    first.nack(Some(Duration::ZERO)).await.unwrap();
    for _ in 0..2 {
        take_one(&client).await.ack().await.unwrap();
    }
    assert_eq!(ready(&client).await, 0);
    client.close().await.unwrap();
    broker.close().await.unwrap();
}
