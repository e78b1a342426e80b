//! The load generator against a real broker: what it says is what the broker has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use verteilt_benches::load::{self, Keep, Kind, Latency, Outcome, Plan, Watch};
use verteilt_broker::{Broker, BrokerConfig};
use verteilt_client::{Client, QueueStats};

/// Far longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(120);
const QUEUE: &str = "bench";

struct House {
    broker: Broker,
    _folder: TempDir,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = BrokerConfig::new(folder.path().join("data"), listen);
        Self {
            broker: Broker::start(config).unwrap(),
            _folder: folder,
        }
    }

    fn url(&self) -> String {
        format!("verteilt://{}", self.broker.local_addr())
    }

    fn plan(&self, jobs: u64) -> Plan {
        Plan {
            url: self.url(),
            gateway: None,
            queue: QUEUE.to_owned(),
            partitions: 8,
            connections: 2,
            in_flight: 16,
            batch: 1,
            body_bytes: 64,
            jobs: Some(jobs),
            time: None,
            rate: None,
            keep: Keep::Times,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.url()).await.unwrap()
    }

    async fn stats(&self) -> QueueStats {
        let found = self.client().await.queue_stats(Some(QUEUE)).await.unwrap();
        found.into_iter().next().unwrap()
    }
}

async fn run(kind: Kind, plan: &Plan) -> Outcome {
    let watch = Watch::default();
    let load = load::run(kind, plan, &watch);
    timeout(DEADLINE, load).await.expect("no end").unwrap()
}

/// The load, and what is done to it meanwhile.
async fn both(
    load: impl Future<Output = Result<Outcome>>,
    beside: impl Future<Output = Result<()>>,
) -> Outcome {
    let both = async { tokio::try_join!(load, beside) };
    timeout(DEADLINE, both).await.expect("no end").unwrap().0
}

fn step<'a>(outcome: &'a Outcome, step: &str) -> &'a Latency {
    let found = outcome.latency.iter().find(|latency| latency.step == step);
    found.unwrap_or_else(|| panic!("no {step} in {outcome:?}"))
}

#[tokio::test]
async fn pushes_are_counted_once_each() {
    let house = House::open();
    for (batch, before) in [(1, 0), (7, 1_000)] {
        let plan = Plan {
            batch,
            keep: Keep::Ids,
            ..house.plan(1_000)
        };
        let outcome = run(Kind::Push, &plan).await;
        assert_eq!((outcome.jobs, outcome.ids.len()), (1_000, 1_000));
        assert!(outcome.ids.windows(2).all(|two| two[0] < two[1]));
        assert_eq!(house.stats().await.ready, before + 1_000);
    }
    let outcome = run(Kind::Push, &house.plan(1_000)).await;
    assert_eq!(step(&outcome, "push").count, 1_000);
}

#[tokio::test]
async fn a_backlog_is_worked_off() {
    let house = House::open();
    for (batch, done) in [(1, 1_000), (7, 2_000)] {
        let plan = Plan {
            batch,
            ..house.plan(1_000)
        };
        let outcome = run(Kind::Reserve, &plan).await;
        assert_eq!((outcome.jobs, step(&outcome, "ack").count), (1_000, 1_000));
        let stats = house.stats().await;
        assert_eq!((stats.ready, stats.leased, stats.done), (0, 0, done));
    }
}

#[tokio::test]
async fn a_cycle_ends_when_everything_is_acked() {
    let house = House::open();
    for batch in [1, 7] {
        let plan = Plan {
            batch,
            ..house.plan(1_000)
        };
        let outcome = run(Kind::Cycle, &plan).await;
        assert_eq!(outcome.jobs, 1_000);
        for name in ["push", "delivery", "ack"] {
            assert_eq!(step(&outcome, name).count, 1_000, "{name}");
        }
        let stats = house.stats().await;
        assert_eq!((stats.ready, stats.leased), (0, 0));
    }
}

#[tokio::test]
async fn whoever_watches_can_end_it() {
    let house = House::open();
    for kind in [Kind::Push, Kind::Cycle] {
        let plan = Plan {
            jobs: None,
            time: Some(Duration::from_secs(100_000)),
            ..house.plan(1)
        };
        let watch = Watch::default();
        let load = load::run(kind, &plan, &watch);
        let stop = async {
            while watch.look().is_none_or(|(_, done)| done < 100) {
                sleep(Duration::from_millis(1)).await;
            }
            watch.stop.cancel();
            Ok(())
        };
        let outcome = both(load, stop).await;
        assert!(outcome.interrupted && outcome.jobs >= 100, "{outcome:?}");
        assert!(step(&outcome, "push").count >= 100);
        load::empty(&plan.url, QUEUE).await.unwrap();
    }
}

/// For 300 ms the broker delivers nothing, and the load can have no more than four jobs on their way.
/// The others became due all the same, and are charged for the wait: half of them at least 150 ms.
#[tokio::test]
async fn what_could_not_be_sent_is_charged_for_the_wait() {
    let house = House::open();
    run(Kind::Reserve, &house.plan(1)).await;
    let client = house.client().await;
    client.pause(QUEUE).await.unwrap();
    let plan = Plan {
        connections: 1,
        in_flight: 4,
        rate: Some(1_000.0),
        ..house.plan(300)
    };
    let watch = Watch::default();
    let load = load::run(Kind::Cycle, &plan, &watch);
    let resume = async {
        while house.stats().await.ready < 4 {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(300)).await;
        client.resume(QUEUE).await?;
        Ok(())
    };
    let outcome = both(load, resume).await;
    assert_eq!((outcome.jobs, outcome.unsent), (300, 0));
    for name in ["send delay", "push", "delivery", "ack"] {
        let latency = step(&outcome, name);
        assert_eq!(latency.count, 300, "{name}");
        assert!(latency.p50_us > 140_000.0, "{name}: {latency:?}");
    }
}

#[tokio::test]
async fn a_rate_that_is_too_high_is_told_of() {
    let house = House::open();
    let plan = Plan {
        connections: 1,
        in_flight: 1,
        rate: Some(1_000_000.0),
        time: Some(Duration::from_millis(200)),
        jobs: None,
        ..house.plan(1)
    };
    let outcome = run(Kind::Push, &plan).await;
    assert!(outcome.jobs > 0 && outcome.unsent > 0, "{outcome:?}");
    assert!(!outcome.interrupted);
}

#[tokio::test]
async fn a_queue_in_use_is_left_alone() {
    let house = House::open();
    let url = house.url();
    load::claim(&url, QUEUE).await.expect("there is none yet");
    let client = house.client().await;
    client.push(QUEUE, "somebody's").await.unwrap();
    let refused = load::claim(&url, QUEUE).await.unwrap_err().to_string();
    assert!(
        refused.contains("in use") && refused.contains("1 jobs"),
        "{refused}"
    );
    load::empty(&url, QUEUE).await.unwrap();
    assert_eq!(house.stats().await.ready, 0);
    load::claim(&url, QUEUE).await.expect("it is empty");
    let jobs = client
        .subscribe(QUEUE, verteilt_client::Credit::jobs(1))
        .await;
    assert!(
        load::claim(&url, QUEUE).await.is_err(),
        "somebody works on it"
    );
    drop(jobs);
}

#[test]
fn plans_that_make_no_load_are_refused() {
    let plan = Plan {
        url: String::new(),
        gateway: None,
        queue: QUEUE.to_owned(),
        partitions: 1,
        connections: 1,
        in_flight: 1,
        batch: 1,
        body_bytes: 16,
        jobs: Some(1),
        time: None,
        rate: None,
        keep: Keep::Times,
    };
    plan.check(Kind::Cycle).unwrap();
    let wrong = [
        (
            Kind::Push,
            Plan {
                batch: 0,
                ..plan.clone()
            },
        ),
        (
            Kind::Push,
            Plan {
                jobs: None,
                ..plan.clone()
            },
        ),
        (
            Kind::Push,
            Plan {
                rate: Some(0.0),
                ..plan.clone()
            },
        ),
        (
            Kind::Reserve,
            Plan {
                rate: Some(1.0),
                ..plan.clone()
            },
        ),
        (
            Kind::Cycle,
            Plan {
                body_bytes: 15,
                ..plan
            },
        ),
    ];
    for (kind, plan) in wrong {
        assert!(plan.check(kind).is_err(), "{kind:?} {plan:?}");
    }
}
