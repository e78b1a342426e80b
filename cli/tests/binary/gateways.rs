//! Two gateways, four workers, many requests, and one of them killed in the middle. Each request names
//! itself in its body; what comes back must be the answer to exactly this one.

mod caller;
mod killed;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Runtime;
use verteilt_client::{Client, Request, Response, ServeOptions, Serving};

use self::caller::Caller;
use crate::gateway::Gateway;
use crate::process::{Broker, DEADLINE};
use crate::worker::answer_to;

const WORKERS: usize = 4;
const CALLERS: usize = 64;

/// `make storm` asks for more.
fn requests() -> u64 {
    let asked = std::env::var("STORM_REQUESTS").ok();
    asked.map_or(20_000, |asked| asked.parse().unwrap())
}

/// How often each request ran.
type Runs = Arc<Mutex<BTreeMap<String, u32>>>;

/// A worker that answers each request with its own body, after a while that the body decides.
async fn worker(url: &str, runs: &Runs) -> (Client, Serving) {
    let client = Client::connect(url).await.unwrap();
    let runs = Arc::clone(runs);
    let answer = move |mut request: Request| {
        let runs = Arc::clone(&runs);
        async move {
            let body = request.take_body().bytes().await?;
            let text = String::from_utf8_lossy(&body).into_owned();
            *runs.lock().unwrap().entry(text.clone()).or_default() += 1;
            let number: u64 = text
                .trim_start_matches("request ")
                .trim_end()
                .parse()
                .unwrap();
            tokio::time::sleep(Duration::from_micros(number * 7_919 % 3_000)).await;
            Ok::<_, verteilt_client::ClientError>(Response::new(answer_to(&text)))
        }
    };
    let serving = client
        .serve("storm", ServeOptions::concurrency(64), answer)
        .await
        .unwrap();
    (client, serving)
}

/// What became of all requests.
#[derive(Default)]
struct Tally {
    answered: AtomicU64,
    /// The connection broke: the gateway was killed.
    broken: AtomicU64,
    /// Another status than 200.
    refused: AtomicU64,
}

/// Sends requests over a gateway until none is left, each once; `numbers` gives them out.
fn call(gateway: &str, numbers: &AtomicU64, tally: &Tally, middle: impl Fn(u64)) {
    let mut caller = Caller::connect(gateway).ok();
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        if number >= requests() {
            return;
        }
        middle(number);
        // Of different lengths: an answer that is cut or joined shows.
        let body = format!("request {number}{}", " ".repeat(number as usize % 200));
        let Some(open) = &mut caller else {
            tally.broken.fetch_add(1, Ordering::Relaxed);
            return;
        };
        match open.ask("POST /storm/x", &body) {
            Ok(answer) if answer.status == 200 => {
                assert_eq!(answer.body, answer_to(&body), "the answer of another");
                tally.answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => {
                assert!(answer.status >= 500, "{answer:?}");
                tally.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                assert!(
                    !matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ),
                    "{body} hangs"
                );
                tally.broken.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

/// Puts all requests through two gateways. `middle` is called once, when half of them are out.
fn storm(
    middle: impl FnOnce(&mut Vec<Gateway>, &mut Vec<(Client, Serving)>) + Send,
) -> (Tally, Runs) {
    let broker = Broker::start();
    let runs = Runs::default();
    let runtime = Runtime::new().unwrap();
    let mut workers: Vec<_> = (0..WORKERS)
        .map(|_| runtime.block_on(worker(&broker.url, &runs)))
        .collect();
    let off = ["--access-log", "off"];
    let mut gateways: Vec<_> = (0..2).map(|_| Gateway::start(&broker, &off)).collect();
    let urls: Vec<_> = gateways.iter().map(|gateway| gateway.url.clone()).collect();
    let (numbers, tally) = (AtomicU64::new(0), Tally::default());
    let (half, is_half) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (url, numbers, tally, half) = (&urls[caller % 2], &numbers, &tally, half.clone());
            scope.spawn(move || {
                call(url, numbers, tally, |number| {
                    if number == requests() / 2 {
                        half.send(()).unwrap();
                    }
                });
            });
        }
        is_half.recv_timeout(DEADLINE * 4).unwrap();
        middle(&mut gateways, &mut workers);
    });
    runtime.block_on(async { drop(workers) });
    (tally, runs)
}

fn count(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

#[track_caller]
fn none_ran_twice(runs: &Runs) {
    let runs = runs.lock().unwrap();
    let twice: Vec<_> = runs.iter().filter(|(_, runs)| **runs > 1).collect();
    assert!(twice.is_empty(), "ran twice: {twice:?}");
}

#[test]
fn every_request_has_its_own_answer() {
    let (tally, runs) = storm(|_, _| {});
    assert_eq!(count(&tally.answered), requests());
    assert_eq!(runs.lock().unwrap().len() as u64, requests());
    none_ran_twice(&runs);
}

#[test]
fn a_gateway_that_is_killed_harms_only_what_it_held() {
    let (tally, runs) = storm(|gateways, _| drop(gateways.pop()));
    // Each caller of that gateway had one request under way, and took none afterwards.
    assert!(
        count(&tally.broken) <= CALLERS as u64 / 2,
        "{}",
        count(&tally.broken)
    );
    assert_eq!(count(&tally.refused), 0);
    assert_eq!(count(&tally.answered) + count(&tally.broken), requests());
    none_ran_twice(&runs);
}

#[test]
fn a_worker_that_dies_leaves_no_request_hanging() {
    let (tally, runs) = storm(|_, workers| drop(workers.pop()));
    // What it held is answered with 502: a POST is not sent again by itself.
    assert!(count(&tally.refused) <= 64, "{}", count(&tally.refused));
    assert_eq!(count(&tally.broken), 0);
    assert_eq!(count(&tally.answered) + count(&tally.refused), requests());
    none_ran_twice(&runs);
}
