//! All jobs at once, from the first to the end of the command.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use verteilt_client::{ClientError, Credit, Subscription};

use super::Work;
use super::echo::Echo;
use super::job::{Bench, End};
use super::template::Template;
use crate::connect::Connection;
use crate::drain::{drained, look};
use crate::failure::{Exit, Failure, note};
use crate::progress;
use crate::signals::StopSignals;

/// After the grace time: for ending what still runs and telling the broker. A lease that could not
/// be handed back by then ends by itself.
const HAND_BACK_TIME: Duration = Duration::from_secs(5);

/// Why no more jobs are taken.
enum Stop {
    Signal,
    /// With so many dead jobs in the queue.
    Drained(u64),
}

struct Crew {
    bench: Arc<Bench>,
    running: JoinSet<Result<End, Failure>>,
    bar: ProgressBar,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    done: u64,
    failed: u64,
    handed_back: u64,
    lost: u64,
    unsure: u64,
}

/// Works until a signal or, with `--drain`, until nothing is left.
pub(super) async fn run(
    connection: &Connection,
    work: &Work,
    signals: &StopSignals,
) -> Result<Exit, Failure> {
    let mut crew = Crew::new(connection, work)?;
    let refused = |error| connection.explain(&error);
    let dead_before = match look(connection, &work.queue).await.map_err(refused)? {
        Some(stats) => stats.dead,
        None => 0,
    };
    let credit = Credit {
        jobs: work.concurrency,
        bytes: 0,
    };
    let subscribed = connection.client.subscribe(&work.queue, credit).await;
    let mut subscription = subscribed.map_err(refused)?;
    let stop = crew.take_jobs(&mut subscription, work, signals).await;
    if stop.is_err() {
        // What made one job fail for good would make the others fail too.
        crew.bench.overdue.cancel();
    }
    let finished = tokio::select! {
        finished = crew.finish(subscription, work.grace.0) => finished,
        () = signals.at_once.cancelled() => crew.break_off().await,
    };
    crew.tell();
    match (stop?, finished?) {
        (Stop::Signal, ()) if work.drain => Ok(signals.exit()),
        (Stop::Signal, ()) => Ok(Exit::Done),
        (Stop::Drained(dead), ()) if dead > dead_before => {
            let (died, queue) = (dead - dead_before, &work.queue);
            Err(
                Failure::work(format!("{died} jobs died: each failed in all its runs")).advise(
                    format!("`verteilt queue peek {queue} --state dead` shows them"),
                ),
            )
        }
        (Stop::Drained(_), ()) => Ok(Exit::Done),
    }
}

fn ended(connection: &Connection, subscription: &Subscription) -> Failure {
    connection.explain(&subscription.error().unwrap_or(ClientError::Closed))
}

impl Crew {
    fn new(connection: &Connection, work: &Work) -> Result<Self, Failure> {
        let bar = match work.drain {
            true => progress::bar("jobs", Some(0)),
            false => progress::bar("jobs", None),
        };
        let template = Template::new(work.command.clone())
            .ok_or_else(|| Failure::usage("there is no command after `--`"))?;
        let bench = Bench {
            connection: connection.clone(),
            queue: work.queue.clone(),
            template,
            echo: Echo::new(bar.clone()).map_err(|error| Failure::output(&error))?,
            overdue: CancellationToken::new(),
        };
        Ok(Self {
            bench: Arc::new(bench),
            running: JoinSet::new(),
            bar,
            tally: Tally::default(),
        })
    }

    /// Starts every job that comes.
    async fn take_jobs(
        &mut self,
        subscription: &mut Subscription,
        work: &Work,
        signals: &StopSignals,
    ) -> Result<Stop, Failure> {
        let bench = self.bench.clone();
        let bar = self.bar.clone();
        let drained = drained(&bench.connection, &bench.queue, &bar);
        let places = work.concurrency as usize;
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                () = signals.gently.cancelled() => return Ok(Stop::Signal),
                Some(ended) = self.running.join_next() => self.count(ended)?,
                dead = &mut drained, if work.drain => return Ok(Stop::Drained(dead?)),
                // After a restart of the broker more than the credit may come: what was held
                // before counts no more there, but still runs here.
                job = subscription.next(), if self.running.len() < places => match job {
                    Some(job) => {
                        let bench = self.bench.clone();
                        self.running.spawn(async move { bench.work_on(job).await });
                    }
                    None => return Err(ended(&bench.connection, subscription)),
                },
            }
        }
    }

    fn count(&mut self, ended: Result<Result<End, Failure>, JoinError>) -> Result<(), Failure> {
        let end =
            ended.map_err(|panic| Failure::work(format!("a job's task broke: {panic}")))??;
        match end {
            End::Done => self.tally.done += 1,
            End::Failed => self.tally.failed += 1,
            End::HandedBack => self.tally.handed_back += 1,
            End::Lost => self.tally.lost += 1,
            End::Unsure => self.tally.unsure += 1,
        }
        self.bar.set_position(self.tally.done + self.tally.unsure);
        Ok(())
    }

    /// No new jobs; those that run may finish for `grace`, then they are ended and handed back.
    async fn finish(&mut self, subscription: Subscription, grace: Duration) -> Result<(), Failure> {
        let bench = self.bench.clone();
        let overdue = bench.overdue.clone();
        let all = async {
            // Gives back what was delivered and not begun.
            subscription
                .close()
                .await
                .map_err(|error| bench.connection.explain(&error))?;
            self.collect().await
        };
        tokio::pin!(all);
        tokio::select! {
            end = &mut all => return end,
            () = tokio::time::sleep(grace) => overdue.cancel(),
        }
        tokio::time::timeout(HAND_BACK_TIME, all)
            .await
            .unwrap_or_else(|_| {
                Err(
                    Failure::work("the broker was not told in time that jobs were handed back")
                        .advise("their leases end by themselves, then they run elsewhere"),
                )
            })
    }

    /// A second signal: no grace.
    async fn break_off(&mut self) -> Result<(), Failure> {
        self.bench.overdue.cancel();
        tokio::time::timeout(HAND_BACK_TIME, self.collect())
            .await
            .unwrap_or(Ok(()))
    }

    /// Waits for every job; the first failure counts.
    async fn collect(&mut self) -> Result<(), Failure> {
        let mut end = Ok(());
        while let Some(ended) = self.running.join_next().await {
            end = end.and(self.count(ended));
        }
        end
    }

    /// A summary, where a person looks on or something was not simply done.
    fn tell(&self) {
        self.bar.finish_and_clear();
        let Tally {
            done,
            failed,
            handed_back,
            lost,
            unsure,
        } = self.tally;
        if failed + handed_back + lost + unsure > 0 || io::stderr().is_terminal() {
            note(format_args!(
                "{done} jobs done, {failed} runs failed, {handed_back} jobs handed back, {lost} \
                 leases lost, {unsure} not known"
            ));
        }
    }
}
