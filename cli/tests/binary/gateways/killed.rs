//! The storm over workers that are processes, killed at random and replaced while it goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::caller::{Answer, Caller};
use super::{CALLERS, WORKERS, requests};
use crate::gateway::Gateway;
use crate::process::{Broker, until};
use crate::worker::{CONCURRENCY, WORKER_FIELD, Worker, answer_to};

/// Times at which workers are killed: one of them, or several, or all.
const KILLS: u64 = 12;
/// What somebody waits who was told that nobody is there.
const PAUSE: Duration = Duration::from_millis(10);
const DISK: &str = "[[routes]]\npath = \"/storm/{*rest}\"\nservice = \"storm\"\n\
     durability = \"disk\"\ndeadline_ms = 100000\n";

/// Says who is killed when; `STORM_SEED` makes it others.
struct Fate(u64);

impl Fate {
    fn new() -> Self {
        let asked = std::env::var("STORM_SEED").ok();
        Self(asked.map_or(1, |asked| asked.parse().unwrap()))
    }

    /// Below `end`.
    fn next(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % end
    }
}

/// How a request ended: its status, and who answered.
type Ends = BTreeMap<u64, (u16, Option<String>)>;

/// Everything that is known when the storm is over.
struct Story {
    ends: Ends,
    survivors: Vec<Worker>,
    fallen: Vec<Worker>,
}

/// Of different lengths: an answer that is cut or joined shows.
fn body(number: u64) -> String {
    format!("request {number}{}", " ".repeat(number as usize % 200))
}

/// Sends requests over a gateway until none is left, each once; `numbers` gives them out.
fn call(gateways: [&str; 2], numbers: &AtomicU64, end: u64) -> Ends {
    let mut caller = Caller::connect(gateways[0]).unwrap();
    let mut other = Caller::connect(gateways[1]).unwrap();
    let mut ends = Ends::new();
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return ends;
        }
        // Of durability `disk` a third is not waited for. In memory the preference has no effect.
        let prefer = if number.is_multiple_of(3) {
            "Prefer: respond-async\r\n"
        } else {
            ""
        };
        let line = format!("POST /storm/x\r\n{prefer}");
        let hangs = |error| panic!("request {number} hangs or broke off: {error}");
        let mut answer = caller.ask(&line, &body(number)).unwrap_or_else(hangs);
        while answer.status == 202 {
            let location = answer
                .field("location")
                .unwrap_or_else(|| panic!("{answer:?}"));
            let line = format!("GET {location}\r\nPrefer: wait=50\r\n");
            answer = other.ask(&line, "").unwrap_or_else(hangs);
        }
        ends.insert(number, (answer.status, check(number, &answer)));
        if answer.status == 503 {
            std::thread::sleep(PAUSE);
        }
    }
}

/// An answer is that of this request, or a problem that may be; gives who answered.
fn check(number: u64, answer: &Answer) -> Option<String> {
    if answer.status == 200 {
        let own = answer_to(&body(number));
        assert_eq!(answer.body, own, "the answer of another");
        return Some(answer.field(WORKER_FIELD).unwrap().to_owned());
    }
    let may_be = matches!(answer.status, 502..=504);
    assert!(may_be, "request {number}: {answer:?}");
    None
}

/// Puts that many requests through two gateways, and kills.
fn storm(gateway: &[&str], requests: u64) -> Story {
    let broker = Broker::start();
    let mut names = 0..;
    let mut start = || {
        let name = format!("worker {}", names.next().unwrap());
        Worker::start(&broker.url, "storm", &name)
    };
    let mut crew: Vec<_> = (0..WORKERS).map(|_| start()).collect();
    let gateways = [(); 2].map(|()| Gateway::start(&broker, gateway));
    let [one, other] = &gateways;
    let (numbers, mut fallen) = (AtomicU64::new(0), Vec::new());
    let mut ends = Ends::new();
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let numbers = &numbers;
                let mut urls = [&*one.url, &*other.url];
                urls.rotate_left(caller % 2);
                scope.spawn(move || call(urls, numbers, requests))
            })
            .collect();
        let mut fate = Fate::new();
        let mut times: Vec<_> = (0..KILLS).map(|_| fate.next(requests)).collect();
        times.sort_unstable();
        for time in times {
            until("the storm goes on", || {
                numbers.load(Ordering::Relaxed) > time
            });
            for _ in 0..=fate.next(WORKERS as u64) {
                let victim = fate.next(crew.len() as u64) as usize;
                crew[victim].kill();
                fallen.push(crew.swap_remove(victim));
            }
            crew.resize_with(WORKERS, &mut start);
        }
        for caller in callers {
            ends.append(&mut caller.join().unwrap());
        }
    });
    crew.iter_mut().for_each(Worker::kill);
    assert_eq!(ends.len() as u64, requests, "each has an end");
    Story {
        ends,
        survivors: crew,
        fallen,
    }
}

impl Story {
    /// The number of each request that these began, and by whom.
    fn begun(workers: &[Worker]) -> Vec<(u64, &str)> {
        let of = |worker: &Worker| {
            let numbers = worker.begun().into_iter().map(|begun| {
                let (number, _) = begun.split_once(' ').unwrap();
                number.parse().unwrap()
            });
            numbers.collect::<Vec<u64>>()
        };
        let all = workers.iter();
        all.flat_map(|worker| of(worker).into_iter().map(|number| (number, &*worker.name)))
            .collect()
    }

    /// By request, those who began it and lived to the end, and those who did and were killed.
    fn runs(&self) -> BTreeMap<u64, [Vec<&str>; 2]> {
        let mut runs = BTreeMap::<_, [Vec<_>; 2]>::new();
        for (at, workers) in [&self.survivors, &self.fallen].into_iter().enumerate() {
            for (number, name) in Self::begun(workers) {
                runs.entry(number).or_default()[at].push(name);
            }
        }
        runs
    }

    fn count(&self, status: u16) -> u64 {
        let ends = self.ends.values();
        ends.filter(|(found, _)| *found == status).count() as u64
    }
}

#[test]
fn workers_that_are_killed_harm_only_what_they_held() {
    let story = storm(&["--access-log", "off"], requests());
    let runs = story.runs();
    let nobody = [Vec::new(), Vec::new()];
    for (number, (status, answered)) in &story.ends {
        let [living, killed] = runs.get(number).unwrap_or(&nobody);
        assert!(living.len() + killed.len() <= 1, "{number} ran twice");
        if !living.is_empty() {
            assert_eq!(*status, 200, "{number} was at {living:?}, who lived");
        }
        if let Some(answered) = answered {
            let began = living.contains(&&**answered) || killed.contains(&&**answered);
            assert!(began, "{answered} answered {number} without having it");
        }
        // NO_WORKER says that it was not begun.
        if *status == 503 {
            assert!(killed.is_empty(), "{number} was at {killed:?}");
        }
    }
    assert!(story.fallen.len() as u64 >= KILLS);
    let held_max = story.fallen.len() as u64 * u64::from(CONCURRENCY);
    assert!(story.count(502) <= held_max, "{}", story.count(502));
}

#[test]
fn requests_on_the_disk_are_answered_whoever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let routes = folder.path().join("routes.toml");
    std::fs::write(&routes, DISK).unwrap();
    let options = ["--access-log", "off", "--routes", routes.to_str().unwrap()];
    let story = storm(&options, requests() / 4);
    let runs = story.runs();
    for (number, (status, answered)) in &story.ends {
        assert_eq!(*status, 200, "{number} was accepted");
        let [living, killed] = &runs[number];
        let answered = answered.as_deref().unwrap();
        // Nobody who lived lost one, so it is the last who has it, and the one who answers.
        assert!(living.len() <= 1, "{number} ran at {living:?}");
        let is_last = living.is_empty() && killed.contains(&answered);
        let is_right = is_last || living.contains(&answered);
        assert!(
            is_right,
            "{number}: {answered}, not {living:?} or {killed:?}"
        );
        let mut once = killed.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(
            once.len(),
            killed.len(),
            "{number} twice at one of {killed:?}"
        );
    }
    assert!(story.fallen.len() as u64 >= KILLS);
}
