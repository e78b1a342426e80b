//! All rounds, in sections: each section ends with everything done, is checked and forgotten, so
//! that memory and time stay bounded however many rounds there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use verteilt_history::{Event, History, Options, Past, Report, check_section, check_topics};

use super::Torture;
use super::broker::Broker;
use super::flow::Counts;
use super::folder::{Folder, RESUME_GRACE_MS};
use super::load::{self, Running};
use super::plan::Plan;
use super::random::Random;
use super::report::Told;
use super::tally::Tally;
use super::witness::Witness;
use crate::failure::{Failure, note};

/// A section ends with the round in which it has so many records, of some hundred bytes each.
const SECTION_RECORDS: usize = 600_000;

/// Violations that are told of each promise; the others are only counted.
pub(super) const DESCRIBED_MAX: usize = 10;

/// Longest time without any acknowledgement under load; a slow disk takes a hundredth of it.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Between two looks at what was acknowledged.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// One torture, from its first round on.
#[derive(Debug)]
pub(super) struct Run<'t> {
    asked: &'t Torture,
    folder: Folder,
    witness: Arc<Witness>,
    broker: Broker,
    running: Running,
    random: Random,
    /// As it was at the last kill.
    counts: Counts,
    past: Past,
    told: Told,
    tally: Tally,
}

impl<'t> Run<'t> {
    /// A broker that serves, and everybody connected to it.
    pub(super) async fn start(
        asked: &'t Torture,
        folder: Folder,
        seed: u64,
    ) -> Result<Self, Failure> {
        let mut random = Random::new(seed);
        let witness = Witness::new();
        let mut broker = Broker::new(folder.clone(), Arc::clone(&witness), &mut random)?;
        broker.start()?;
        broker.serves().await?;
        let running = load::start(&broker.url(), &witness, &mut random).await?;
        Ok(Self {
            asked,
            folder,
            witness,
            broker,
            running,
            random,
            counts: Counts::default(),
            past: Past::default(),
            told: Told::new(seed),
            tally: Tally::default(),
        })
    }

    /// All rounds, or those up to the section in which a promise was broken. Whatever goes wrong, the
    /// history of the last section is kept.
    pub(super) async fn endure(mut self) -> Result<Told, Failure> {
        let ended = self.rounds().await;
        if ended.is_err() && self.told.history.is_none() {
            self.folder.keep(&self.witness.recorder.finish())?;
        }
        ended?;
        self.told.torn = self.running.torn();
        self.told.each_round = self.tally.rounds();
        Ok(self.told)
    }

    async fn rounds(&mut self) -> Result<(), Failure> {
        let rounds = self.asked.rounds;
        for number in 1..=rounds {
            let plan = Plan::random(&mut self.random, self.asked.acknowledged.into());
            let counts = self.round(&plan).await?;
            self.say(format_args!(
                "round {number} of {rounds}: killed {plan}; {} pushes and {} acks acknowledged, \
                 {} pushes unanswered, {} leases held",
                counts.pushes, counts.acks, counts.pushes_open, counts.leases_held
            ));
            self.told.rounds = number;
            self.tally.add(counts);
            let is_last = number == rounds;
            if !is_last && self.witness.recorder.recorded() < SECTION_RECORDS {
                continue;
            }
            if !self.section().await? {
                return Ok(());
            }
            if !is_last {
                self.running.resume(&mut self.random).await?;
                self.counts = self.running.counts();
            }
        }
        Ok(())
    }

    /// Kills the broker as planned and starts it again, without waiting for it. Returns what was
    /// acknowledged since the last kill, and what this one took away.
    async fn round(&mut self, plan: &Plan) -> Result<Counts, Failure> {
        self.broker.serves().await?;
        let acks = self.asked.acknowledged.into();
        let enough = |counts: Counts| counts.pushes >= plan.pushes && counts.acks >= acks;
        self.until(enough).await?;
        tokio::time::sleep(plan.phase).await;
        if let Some(before) = plan.checkpoint {
            let (admin, witness) = (self.running.admin.clone(), Arc::clone(&self.witness));
            // It is asked for again by itself once the broker is back.
            tokio::spawn(async move {
                if admin.checkpoint().await.is_ok() {
                    witness.recorder.record(Event::CheckpointDone);
                }
            });
            tokio::time::sleep(before).await;
        }
        let counts = self.until(Counts::is_in_flight).await?;
        self.broker.kill().await?;
        self.counts = self.running.counts();
        for after_start in &plan.starts {
            self.broker.start()?;
            self.broker.kill_at(*after_start).await?;
        }
        self.broker.start()?;
        Ok(counts)
    }

    /// Waits until the counts of this round are like that.
    async fn until(&mut self, is: impl Fn(Counts) -> bool) -> Result<Counts, Failure> {
        let (mut last, mut since) = (Counts::default(), Instant::now());
        loop {
            let counts = self.running.counts().since(self.counts);
            if is(counts) {
                return Ok(counts);
            }
            self.broker.lives()?;
            if counts != last {
                (last, since) = (counts, Instant::now());
            } else if since.elapsed() > SILENCE_MAX {
                let seconds = SILENCE_MAX.as_secs();
                let text = format!("the broker acknowledged nothing for {seconds} s: {counts:?}");
                let log = self.folder.log();
                return Err(Failure::work(text).advise(format!("see {}", log.display())));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Lets everything come to its end and checks what happened since the last time. Returns whether
    /// all promises were kept.
    async fn section(&mut self) -> Result<bool, Failure> {
        self.broker.serves().await?;
        self.say(format_args!("waiting until every job is done"));
        let topics = self.running.drain().await?;
        let broken = check_topics(&topics);
        let history = Arc::new(self.witness.recorder.finish());
        let report = self.check(Arc::clone(&history)).await;
        let holds = report.as_ref().is_ok_and(Report::holds)
            && self.running.torn() == 0
            && broken.is_empty();
        if !holds {
            self.folder.keep(&history)?;
            self.folder.keep_topics(&topics)?;
            self.told.history = Some(self.folder.history());
        }
        self.told.sections += 1;
        self.say(format_args!(
            "section {}: {} records of jobs, {} of topics, {}",
            self.told.sections,
            history.records.len(),
            topics.len(),
            if holds { "kept" } else { "BROKEN" }
        ));
        self.told.topics.add(&topics, broken);
        self.told.report += report?;
        self.told.data_bytes_most = self.told.data_bytes_most.max(self.folder.broker_bytes());
        Ok(holds)
    }

    /// It takes a second, in which nothing else runs.
    async fn check(&mut self, history: Arc<History>) -> Result<Report, Failure> {
        // The history has a start where its process was started, not where it served.
        let lag = self.witness.take_lag() + self.broker.longest_start;
        let options = Options {
            lag_ms: lag.as_millis() as u64,
            drain_ms: load::DRAIN_MAX.as_millis() as u64,
            resume_grace_ms: RESUME_GRACE_MS,
            // The client gives back by itself what was on its way when the connection broke.
            unseen_deliveries: true,
            described_max: DESCRIBED_MAX,
            ..Options::default()
        };
        let mut past = std::mem::take(&mut self.past);
        let checking = tokio::task::spawn_blocking(move || {
            let report = check_section(&history, &options, &mut past);
            (report, past)
        });
        let checked = checking.await;
        let (report, past) =
            checked.map_err(|panic| Failure::work(format!("the checker: {panic}")))?;
        self.past = past;
        Ok(report)
    }

    fn say(&self, text: std::fmt::Arguments<'_>) {
        if !self.asked.json {
            note(text);
        }
    }
}
