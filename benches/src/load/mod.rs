//! The load generator: one file a kind of load, and what they share.
//!
//! | file | what stands there |
//! |---|---|
//! | `mod.rs` | [`run`] and [`drive`]: from a plan to its outcome |
//! | `plan.rs` | [`Plan`]: what is asked for |
//! | `watch.rs` | [`Watch`]: how far it is, and ending it |
//! | `running.rs` | what the tasks of a load share |
//! | `pace.rs` | when a request leaves: closed loop, or a fixed rate |
//! | `timer.rs` | how long a step takes, as a histogram |
//! | `push.rs`, `reserve.rs`, `cycle.rs`, `request.rs`, `http.rs`, `topic.rs` | the loads |
//! | `queue.rs` | whether the queue may be used, and leaving it empty |
//! | `outcome.rs` | [`Outcome`]: the figures |
//!
//! Another load is a variant of [`Kind`] and a file with a `start`; the compiler names the two places
//! that have to know it.

mod cycle;
mod http;
mod outcome;
mod pace;
mod plan;
mod push;
mod queue;
mod request;
mod reserve;
mod running;
mod timer;
mod topic;
mod watch;

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

pub use outcome::Outcome;
pub use plan::{Keep, Kind, Plan};
pub use queue::{claim, empty};
pub use timer::Latency;
pub use topic::delete;
pub use watch::{Phase, Watch};

use running::Running;

/// How long what is unanswered may take when the load is over.
const GRACE: Duration = Duration::from_secs(5);

/// The tasks of a load. Each ends by itself when the load is over, and the first that fails fails it.
type Tasks = JoinSet<Result<()>>;

/// Makes what the load needs, then puts it on.
///
/// # Errors
/// If the plan does not fit, the broker is not there, or it refuses anything.
pub async fn run(kind: Kind, plan: &Plan, watch: &Watch) -> Result<Outcome> {
    plan.check(kind)?;
    if kind.is_topic() {
        topic::make(plan).await?;
    }
    if let Some(maker) = kind.maker() {
        let made = put_on(maker, &plan.backlog(), "backlog", watch).await?;
        if made.interrupted {
            return Ok(made.without_jobs(kind));
        }
    }
    drive(kind, plan, watch).await
}

/// Puts a load on and says how it went. Only the load itself is timed. Ends at the limits of the
/// plan, or early when `watch.stop` is cancelled, with what there is by then.
///
/// # Errors
/// If the plan does not fit, the broker is not there, or it refuses anything.
pub async fn drive(kind: Kind, plan: &Plan, watch: &Watch) -> Result<Outcome> {
    plan.check(kind)?;
    put_on(kind, plan, kind.what(), watch).await
}

async fn put_on(kind: Kind, plan: &Plan, phase: &'static str, watch: &Watch) -> Result<Outcome> {
    let running = Arc::new(Running::connect(kind, plan, watch).await?);
    let each = if kind == Kind::Consume {
        plan.connections as u64
    } else {
        1
    };
    watch.begin(phase, plan.jobs.map(|jobs| jobs * each));
    let mut services = Vec::new();
    let (begun, mut tasks) = match kind {
        Kind::Push => push::start(&running)?,
        Kind::Reserve => reserve::start(&running),
        Kind::Cycle => cycle::start(&running).await?,
        Kind::Request => {
            let (begun, tasks, serving) = request::start(&running).await?;
            services = serving;
            (begun, tasks)
        }
        Kind::Http => {
            let (begun, tasks, serving) = http::start(&running).await?;
            services = serving;
            (begun, tasks)
        }
        Kind::Publish => topic::publish(&running)?,
        Kind::Consume => topic::consume(&running),
    };
    let ended = tokio::select! {
        ended = all(&mut tasks) => ended,
        () = overdue(&running, begun) => Ok(()),
    };
    let took = begun.elapsed();
    // What is still unanswered is nobody's business any more.
    tasks.shutdown().await;
    drop(services);
    ended?;
    let outcome = Outcome::of(kind, &running, took);
    running.close().await;
    Ok(outcome)
}

async fn all(tasks: &mut Tasks) -> Result<()> {
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Tells everybody when the time is up. Returns when they have had long enough to come to their end.
async fn overdue(running: &Running, begun: Instant) {
    let time_is_up = async {
        match running.plan.time {
            Some(time) => sleep_until((begun + time).into()).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = time_is_up => running.over.cancel(),
        () = running.over.cancelled() => {}
    }
    running.end_turns();
    sleep(GRACE).await;
}
