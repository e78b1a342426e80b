//! What happens to topics in a run: drawn before it begins, as all else in a plan.

use crate::dice::Dice;
use crate::plan::{Fault, FaultPlan, crash_or_break};

/// Topics and those who use them; nothing in a run of jobs alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct TopicSetting {
    pub(crate) topics: Vec<TopicPlan>,
    pub(crate) publishers: u32,
    pub(crate) readers: Vec<ReaderPlan>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicPlan {
    pub(crate) partitions: u32,
    pub(crate) keeps: Keeps,
}

/// What a topic keeps; 0: everything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Keeps {
    pub(crate) age_ms: u64,
    pub(crate) bytes: u64,
}

/// One process that reads, again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReaderPlan {
    pub(crate) topic: u64,
    /// The number of its group, if it has one.
    pub(crate) group: Option<u64>,
    /// Comes at this time first.
    pub(crate) from_ms: u64,
    /// Reads about so long at a time; 0: to the end.
    pub(crate) stays_ms: u64,
    pub(crate) credit_records: u32,
    pub(crate) credit_bytes: u64,
    /// Records taken at a time, at most.
    pub(crate) batch: u64,
    /// How often it commits what it has got, of a hundred times.
    pub(crate) commits_percent: u64,
}

/// Where records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To any partition, in turn.
    Turn,
    /// By the key of each.
    Keys,
    Partition(u32),
}

/// One publish of a publisher.
#[derive(Clone, Debug)]
pub(crate) struct PublishPlan {
    pub(crate) at_ms: u64,
    pub(crate) publisher: u32,
    pub(crate) topic: u64,
    pub(crate) way: Way,
    /// One record each; bytes of its value.
    pub(crate) sizes: Vec<u32>,
    /// The number of the first value; the others follow.
    pub(crate) first_number: u64,
    /// Given up after so long, if at all.
    pub(crate) deadline_ms: Option<u64>,
}

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Jobs,
    Both,
    Topics,
}

impl Subject {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        dice.of_list(&[Self::Jobs, Self::Both, Self::Topics])
    }

    /// So many records are published.
    const fn records(self) -> u64 {
        match self {
            Self::Jobs => 0,
            Self::Both => 500,
            Self::Topics => 1_000,
        }
    }
}

impl Keeps {
    fn draw(dice: &mut Dice) -> Self {
        let age_ms = dice.between(200, 3_000);
        let bytes = dice.between(200, 40_000);
        match dice.below(10) {
            0..4 => Self::default(),
            4..7 => Self { age_ms: 0, bytes },
            7..9 => Self { age_ms, bytes: 0 },
            _ => Self { age_ms, bytes },
        }
    }
}

impl TopicSetting {
    pub(crate) fn draw(subject: Subject, load_ms: u64, dice: &mut Dice) -> Self {
        if subject == Subject::Jobs {
            return Self::default();
        }
        let topics: Vec<TopicPlan> = (0..dice.between(1, 2))
            .map(|_| TopicPlan {
                partitions: dice.of_list(&[1, 1, 2, 3, 5]),
                keeps: Keeps::draw(dice),
            })
            .collect();
        let readers = (0..dice.between(2, 5))
            .map(|_| ReaderPlan {
                topic: dice.below(topics.len() as u64),
                group: dice.percent(70).then(|| dice.below(2)),
                from_ms: if dice.percent(50) {
                    0
                } else {
                    dice.below(load_ms)
                },
                stays_ms: if dice.percent(60) {
                    0
                } else {
                    dice.between(20, 2_000)
                },
                credit_records: dice.of_list(&[1, 4, 50, 0]),
                credit_bytes: dice.of_list(&[1, 2_000, 0]),
                batch: dice.of_list(&[1, 10, 100]),
                commits_percent: dice.of_list(&[5, 40, 100]),
            })
            .collect();
        Self {
            topics,
            publishers: dice.between(1, 3) as u32,
            readers,
        }
    }

    /// Those who are connected for the sake of topics.
    pub(crate) fn clients(&self) -> u32 {
        self.publishers + self.readers.len() as u32
    }
}

pub(crate) fn publishes(
    subject: Subject,
    setting: &TopicSetting,
    (load_ms, weight): (u64, u64),
    dice: &mut Dice,
) -> Vec<PublishPlan> {
    let mut publishes = Vec::new();
    let (mut number, mut at_ms) = (0, 0);
    while number < subject.records() {
        if dice.percent(20) {
            at_ms = dice.below(load_ms);
        }
        let topic = dice.below(setting.topics.len() as u64);
        let partitions = u64::from(setting.topics[topic as usize].partitions);
        let records = if dice.percent(25) {
            dice.between(2, 30)
        } else {
            1
        };
        let size = |dice: &mut Dice| match dice.below(60) {
            0 => dice.between(0, 12_000),
            1..6 => dice.between(0, 2_000),
            _ => dice.between(0, 120),
        };
        publishes.push(PublishPlan {
            at_ms,
            publisher: dice.below(u64::from(setting.publishers)) as u32,
            topic,
            way: match dice.below(3) {
                0 => Way::Turn,
                1 => Way::Keys,
                _ => Way::Partition(dice.below(partitions) as u32),
            },
            sizes: (0..records).map(|_| (size(dice) * weight) as u32).collect(),
            first_number: number,
            deadline_ms: dice.percent(4).then(|| dice.between(1, 60)),
        });
        number += records;
    }
    publishes.sort_by_key(|publish| publish.at_ms);
    publishes
}

/// What breaks for those who use topics; clients from `first` on.
pub(crate) fn faults(
    setting: &TopicSetting,
    first: u32,
    load_ms: u64,
    dice: &mut Dice,
) -> Vec<FaultPlan> {
    let mut faults = Vec::new();
    if setting.topics.is_empty() {
        return faults;
    }
    let (topics, readers) = (setting.topics.len() as u64, setting.readers.len() as u64);
    let mut add = |dice: &mut Dice, fault| {
        let at_ms = dice.between(5, load_ms);
        faults.push(FaultPlan { at_ms, fault });
    };
    for _ in 0..dice.below(4) {
        let fault = crash_or_break(dice, first, setting.clients());
        add(dice, fault);
    }
    for _ in 0..dice.below(3) {
        let reader = dice.below(readers) as u32;
        add(dice, Fault::ReaderDies { reader });
    }
    for _ in 0..dice.below(3) {
        let topic = dice.below(topics);
        let keeps = Keeps::draw(dice);
        add(dice, Fault::Keeps { topic, keeps });
    }
    if topics > 1 && dice.percent(15) {
        add(dice, Fault::Delete { topic: topics - 1 });
    }
    faults
}
