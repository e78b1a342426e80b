//! What happens in a run: all of it is drawn from the seed before the run begins, piece by piece, so
//! that pieces can be taken away and the others stay as they are.

use crate::dice::Dice;
use crate::durable_plan::{self, DurableDeed, DurableSetting, DurableStep};
use crate::network::Break;
use crate::pipe::Manners;
use crate::request_plan::{self, RequestPlan, RequestSetting};
use crate::room::Squeeze;
use crate::topic_plan::{self, Keeps, PublishPlan, Subject, TopicSetting};

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it came from.
    pub seed: u64,
    pub(crate) setting: Setting,
    pub(crate) pushes: Vec<PushPlan>,
    pub(crate) publishes: Vec<PublishPlan>,
    pub(crate) requests: Vec<RequestPlan>,
    pub(crate) durable: Vec<DurableStep>,
    pub(crate) faults: Vec<FaultPlan>,
}

/// What does not change during a run.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) queues: u64,
    pub(crate) producers: u32,
    pub(crate) workers: Vec<WorkerPlan>,
    pub(crate) topics: TopicSetting,
    pub(crate) requests: RequestSetting,
    pub(crate) durable: DurableSetting,
    pub(crate) manners: Manners,
    /// Longest time of one piece of work on the disk.
    pub(crate) write_ms_max: u64,
    pub(crate) segment_bytes: u32,
    pub(crate) checkpoint_bytes: u64,
    pub(crate) checkpoint_interval_ms: u64,
    pub(crate) journal_bytes_max: u64,
    pub(crate) cache_bytes: usize,
    pub(crate) push_credit_bytes: u64,
    pub(crate) heartbeat_ms: u32,
    pub(crate) resume_grace_ms: u64,
    /// Bodies are so many times as large as usual: then the journal fills and pushes are held.
    pub(crate) weight: u64,
    /// After this nothing is broken any more.
    pub(crate) load_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerPlan {
    pub(crate) queue: u64,
    /// 0: takes jobs by RESERVE, one piece after the other.
    pub(crate) credit: u32,
    pub(crate) credit_bytes: u64,
}

/// One push of a producer.
#[derive(Clone, Debug)]
pub(crate) struct PushPlan {
    pub(crate) at_ms: u64,
    pub(crate) producer: u32,
    pub(crate) queue: u64,
    /// One job each; bytes of its body.
    pub(crate) sizes: Vec<u32>,
    /// The number of the first body; the others follow.
    pub(crate) first_number: u64,
    pub(crate) memory: bool,
    pub(crate) priority: i32,
    pub(crate) delay_ms: u64,
    pub(crate) lease_ms: u64,
    /// 0: the default.
    pub(crate) attempts: u32,
    /// Given up after so long, if at all.
    pub(crate) deadline_ms: Option<u64>,
}

/// Something that breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultPlan {
    pub(crate) at_ms: u64,
    pub(crate) fault: Fault,
}

impl FaultPlan {
    pub(crate) fn fills_the_disk(&self) -> bool {
        matches!(self.fault, Fault::FullDisk { .. })
    }
}

/// What breaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The broker's process, or the power of its machine.
    Crash {
        power: bool,
        down_ms: u64,
        /// The start after it is cut short at this operation of the store.
        again_in_start: Option<u64>,
    },
    /// Stopped in peace, and started again.
    Stop {
        grace_ms: u64,
        down_ms: u64,
    },
    /// A write or a sync of the journal fails.
    Journal {
        after: u64,
        sync: bool,
    },
    /// An operation of the store fails.
    Store {
        after: u64,
    },
    Break {
        client: u32,
        how: Break,
    },
    Stall {
        client: u32,
        up: bool,
        down: bool,
        ms: u64,
    },
    SlowReader {
        client: u32,
    },
    /// A worker's process ends, and another one begins.
    WorkerDies {
        worker: u32,
    },
    Checkpoint,
    Clock {
        by_ms: i64,
    },
    /// The disk fills, for so long or until the end.
    FullDisk {
        how: Squeeze,
        ms: Option<u64>,
    },
    /// The process of one who reads a topic ends, and another one begins.
    ReaderDies {
        reader: u32,
    },
    /// The process of one who serves requests ends, and another one begins.
    ServerDies {
        server: u32,
    },
    /// A topic keeps more or less from now on.
    Keeps {
        topic: u64,
        keeps: Keeps,
    },
    /// A topic is deleted.
    Delete {
        topic: u64,
    },
}

/// What the connection of a slow reader holds.
pub(crate) const SLOW_CAPACITY: usize = 512;
/// One side of a connection sees its end at most so much later than the other.
const BREAK_LAG_MS_MAX: u64 = 400;
/// Longest stall of a connection.
pub(crate) const STALL_MS_MAX: u64 = 2_500;

impl Plan {
    /// The run of this seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut setting = Setting::draw(&mut Dice::of(seed, 1));
        let dice = &mut Dice::of(seed, 5);
        let subject = Subject::draw(dice);
        let (load_ms, weight) = (setting.load_ms, setting.weight);
        setting.topics = TopicSetting::draw(subject, load_ms, dice);
        if subject == Subject::Topics {
            (setting.producers, setting.queues) = (0, 0);
            setting.workers.clear();
        }
        let jobs = match subject {
            Subject::Jobs => JOBS,
            Subject::Both => JOBS / 2,
            Subject::Topics => 0,
        };
        let asking = &mut Dice::of(seed, 7);
        setting.requests = RequestSetting::draw(asking);
        let keeping = &mut Dice::of(seed, 8);
        setting.durable = DurableSetting::draw(&mut setting.requests, keeping);
        let mut faults = faults(&setting, &mut Dice::of(seed, 3));
        let dice = &mut Dice::of(seed, 6);
        let first = setting.first_publisher();
        faults.extend(topic_plan::faults(&setting.topics, first, load_ms, dice));
        let publishes = topic_plan::publishes(subject, &setting.topics, (load_ms, weight), dice);
        let first = setting.first_caller();
        faults.extend(request_plan::faults(
            &setting.requests,
            first,
            load_ms,
            asking,
        ));
        let more = durable_plan::faults(&setting, &faults, keeping);
        faults.extend(more);
        faults.sort_by_key(|plan| plan.at_ms);
        Self {
            seed,
            pushes: pushes(&setting, jobs, &mut Dice::of(seed, 2)),
            publishes,
            requests: request_plan::requests(&setting.requests, load_ms, asking),
            durable: durable_plan::steps(&setting, keeping),
            faults,
            setting,
        }
    }

    /// Whether there are requests of durability `disk` in it.
    #[must_use]
    pub fn has_durable_requests(&self) -> bool {
        !self.durable.is_empty()
    }

    /// Whether the disk has an end.
    pub(crate) fn is_bounded(&self) -> bool {
        self.faults.iter().any(FaultPlan::fills_the_disk)
    }

    /// How long after the broker did something a client may see it.
    pub(crate) fn lag_ms(&self) -> u64 {
        let setting = &self.setting;
        let latency_ms = setting.manners.latency_ms_max;
        let usual_ms = 4 * latency_ms + 6 * setting.write_ms_max + BREAK_LAG_MS_MAX;
        // All bytes may wait in the same connection, each on its third way to a worker.
        let sizes = self.pushes.iter().flat_map(|push| &push.sizes);
        let bytes: u64 = sizes.map(|size| u64::from(*size) + 100).sum();
        let sizes = self.publishes.iter().flat_map(|publish| &publish.sizes);
        let bytes: u64 = bytes + sizes.map(|size| u64::from(*size) + 100).sum::<u64>();
        let sizes = self.requests.iter().map(|request| request.size);
        let bytes: u64 = bytes + sizes.map(|size| u64::from(size) + 500).sum::<u64>();
        let sends = self.durable.iter().filter_map(|step| match step.deed {
            DurableDeed::Send(send) => Some(u64::from(send.size) + 500),
            DurableDeed::Ask { .. } => None,
        });
        let bytes: u64 = bytes + sends.sum::<u64>();
        let is_slow = |plan: &FaultPlan| matches!(plan.fault, Fault::SlowReader { .. });
        let capacity = if self.faults.iter().any(is_slow) {
            SLOW_CAPACITY
        } else {
            setting.manners.capacity
        };
        let bytes_a_ms = capacity as u64 / latency_ms.max(1);
        let stalls = self.faults.iter().any(|plan| {
            matches!(
                plan.fault,
                Fault::Stall { .. } | Fault::SlowReader { .. } | Fault::Crash { power: true, .. }
            )
        });
        let stalled_ms = if stalls {
            STALL_MS_MAX + 4 * u64::from(setting.heartbeat_ms)
        } else {
            0
        };
        usual_ms + 3 * bytes / bytes_a_ms + stalled_ms
    }
}

impl Setting {
    /// Clients have numbers: first who pushes, then who works, who publishes, who reads, who asks,
    /// who serves, and who asks with durability `disk`.
    pub(crate) fn first_publisher(&self) -> u32 {
        self.producers + 1 + self.workers.len() as u32
    }

    pub(crate) fn first_caller(&self) -> u32 {
        self.first_publisher() + self.topics.clients()
    }

    pub(crate) fn first_durable(&self) -> u32 {
        self.first_caller() + self.requests.clients()
    }

    fn draw(dice: &mut Dice) -> Self {
        let queues = dice.between(1, 3);
        let workers = (0..dice.between(1, 4))
            .map(|_| WorkerPlan {
                queue: dice.below(queues),
                credit: if dice.percent(25) {
                    0
                } else {
                    dice.of_list(&[1, 2, 8, 32])
                },
                credit_bytes: dice.of_list(&[600, 8 * 1024 * 1024]),
            })
            .collect::<Vec<_>>();
        let weight = if dice.percent(10) { 10 } else { 1 };
        let latency_ms_max = dice.of_list(&[0, 1, 3, 20]);
        // What comes much too late tells the checker too little.
        let capacity_min = if weight > 1 || latency_ms_max > 3 {
            64 * 1024
        } else {
            0
        };
        let manners = Manners {
            latency_ms_max,
            delayed_percent: dice.of_list(&[5, 20, 60]),
            capacity: capacity_min.max(dice.of_list(&[4 * 1024, 64 * 1024, 256 * 1024])),
            piece_max: dice.of_list(&[64, 1_400, 64 * 1024]),
        };
        let segment_bytes: u32 = dice.of_list(&[512 * 1024, 1024 * 1024]);
        Self {
            queues,
            producers: dice.between(1, 3) as u32,
            workers,
            topics: TopicSetting::default(),
            requests: RequestSetting::default(),
            durable: DurableSetting::default(),
            manners,
            write_ms_max: dice.of_list(&[0, 2, 10, 60]),
            segment_bytes,
            checkpoint_bytes: dice.of_list(&[2, 16, 64, 256]) * 1024,
            checkpoint_interval_ms: dice.of_list(&[50, 500, 5_000]),
            journal_bytes_max: dice.of_list(&[1, 4]) * u64::from(segment_bytes),
            cache_bytes: dice.of_list(&[0, 4 * 1024, 1024 * 1024]),
            push_credit_bytes: dice.of_list(&[512, 16 * 1024, 1024 * 1024]),
            heartbeat_ms: 500,
            resume_grace_ms: dice.of_list(&[100, 1_000, 10_000]),
            weight,
            load_ms: dice.between(1_500, 5_000),
        }
    }
}

/// Longer than a run waits for the last job: a lease that nobody holds any more and that only its
/// time ends is found.
const LEASE_MS: u64 = 600_000;

/// Jobs of a run in the pushes: enough for more than a thousand operations.
const JOBS: u64 = 840;

/// A batch of this size goes into one frame, so its jobs have ids without a gap.
const BATCH_BYTES_MAX: u32 = 200 * 1024;

fn pushes(setting: &Setting, jobs_max: u64, dice: &mut Dice) -> Vec<PushPlan> {
    let mut pushes = Vec::new();
    let mut number = 0;
    // Most come in bursts: that is when batches, windows and credit have to do with one another.
    let mut at_ms = 0;
    while number < jobs_max {
        if dice.percent(15) {
            at_ms = dice.below(setting.load_ms);
        }
        let jobs = if dice.percent(20) {
            dice.between(2, 12)
        } else {
            1
        };
        let size = |dice: &mut Dice| match dice.below(50) {
            0 => dice.between(0, 12_000),
            1..6 => dice.between(0, 2_000),
            _ => dice.between(0, 120),
        };
        let sizes = (0..jobs).map(|_| (size(dice) * setting.weight) as u32);
        let mut sizes: Vec<u32> = sizes.collect();
        let too_large = |sizes: &[u32]| sizes.iter().sum::<u32>() > BATCH_BYTES_MAX;
        while sizes.len() > 1 && too_large(&sizes) {
            sizes.pop();
        }
        let jobs = sizes.len() as u64;
        pushes.push(PushPlan {
            at_ms,
            producer: dice.below(u64::from(setting.producers)) as u32,
            queue: dice.below(setting.queues),
            sizes,
            first_number: number,
            memory: dice.percent(8),
            priority: if dice.percent(30) {
                dice.below(5) as i32 - 2
            } else {
                0
            },
            delay_ms: if dice.percent(10) {
                dice.between(1, 900)
            } else {
                0
            },
            lease_ms: if dice.percent(25) {
                dice.between(20, 400)
            } else {
                LEASE_MS
            },
            attempts: if dice.percent(10) {
                dice.between(1, 3) as u32
            } else {
                0
            },
            deadline_ms: dice.percent(4).then(|| dice.between(1, 60)),
        });
        number += jobs;
    }
    pushes.sort_by_key(|push| push.at_ms);
    pushes
}

fn faults(setting: &Setting, dice: &mut Dice) -> Vec<FaultPlan> {
    let clients = setting.producers + setting.workers.len() as u32 + setting.topics.clients();
    let mut faults = Vec::new();
    let mut add = |dice: &mut Dice, fault| {
        let at_ms = dice.between(5, setting.load_ms);
        faults.push(FaultPlan { at_ms, fault });
    };
    for _ in 0..dice.between(1, 3) {
        let crash = crash(dice);
        add(dice, crash);
    }
    for _ in 0..dice.below(5) {
        let fault = a_break(dice, 1, clients);
        add(dice, fault);
    }
    for _ in 0..dice.below(4) {
        add(dice, Fault::Checkpoint);
    }
    if dice.percent(25) {
        let stall = Fault::Stall {
            client: 1 + dice.below(clients.into()) as u32,
            up: dice.percent(60),
            down: dice.percent(60),
            ms: dice.between(50, STALL_MS_MAX),
        };
        add(dice, stall);
    }
    if dice.percent(10) {
        let client = 1 + dice.below(clients.into()) as u32;
        add(dice, Fault::SlowReader { client });
    }
    if dice.percent(30) && !setting.workers.is_empty() {
        let worker = dice.below(setting.workers.len() as u64) as u32;
        add(dice, Fault::WorkerDies { worker });
    }
    if dice.percent(20) {
        let sync = dice.percent(50);
        let after = dice.below(20);
        add(dice, Fault::Journal { after, sync });
    }
    if dice.percent(20) {
        let after = dice.below(60);
        add(dice, Fault::Store { after });
    }
    if dice.percent(20) {
        let by_ms = dice.of_list(&[-3_600_000, -500, 700, 3_600_000]);
        add(dice, Fault::Clock { by_ms });
    }
    if dice.percent(20) {
        let stop = Fault::Stop {
            grace_ms: dice.below(300),
            down_ms: dice.below(300),
        };
        add(dice, stop);
    }
    if dice.percent(20) {
        let full = full_disk(setting, dice);
        add(dice, full);
    }
    faults
}

/// The disk fills.
pub(crate) fn full_disk(setting: &Setting, dice: &mut Dice) -> Fault {
    let ms = Some(dice.between(50, 2_500));
    let few = dice.below(64 * 1024);
    match dice.below(4) {
        // Somebody else's files.
        0 => Fault::FullDisk {
            how: Squeeze::Taken(few / 2),
            ms,
        },
        // It stays as it is: room comes of jobs that are done. The journal may keep two segments,
        // and a third is how much more there has to be before pushes go on.
        1 => Fault::FullDisk {
            how: Squeeze::Kept(few + 3 * u64::from(setting.segment_bytes)),
            // Records and results stay, and so would a full disk.
            ms: ms.filter(|_| !setting.topics.topics.is_empty() || setting.durable.callers > 0),
        },
        _ => Fault::FullDisk {
            how: Squeeze::Kept(few),
            ms,
        },
    }
}

/// For one of so many clients from `first` on.
pub(crate) fn a_break(dice: &mut Dice, first: u32, clients: u32) -> Fault {
    let how = match dice.below(3) {
        0 => Break::Both,
        1 => Break::ClientFirst {
            lag_ms: dice.below(300),
        },
        _ => Break::BrokerFirst {
            lag_ms: dice.below(300),
        },
    };
    let client = first + dice.below(clients.into()) as u32;
    Fault::Break { client, how }
}

/// Mostly a connection of one of so many clients from `first` on.
pub(crate) fn crash_or_break(dice: &mut Dice, first: u32, clients: u32) -> Fault {
    if dice.percent(30) {
        crash(dice)
    } else {
        a_break(dice, first, clients)
    }
}

pub(crate) fn crash(dice: &mut Dice) -> Fault {
    Fault::Crash {
        power: dice.percent(50),
        down_ms: if dice.percent(50) {
            dice.below(5)
        } else {
            dice.below(2_000)
        },
        again_in_start: dice.percent(20).then(|| dice.below(30)),
    }
}
