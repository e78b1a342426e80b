//! What happens to requests of durability `disk` in a run: drawn before it begins, piece by piece.

use crate::dice::Dice;
use crate::plan::{
    Fault, FaultPlan, STALL_MS_MAX, Setting, a_break, crash, crash_or_break, full_disk,
};
use crate::request_plan::{RequestSetting, ServerPlan};

/// Those who have such requests; nobody in most runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DurableSetting {
    pub(crate) callers: u32,
}

/// Something that a caller does with one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DurableStep {
    pub(crate) at_ms: u64,
    pub(crate) caller: u32,
    pub(crate) request: u64,
    pub(crate) deed: DurableDeed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum DurableDeed {
    /// Sent, for the first time or again.
    Send(SendPlan),
    /// Asked for, with so much time for the result to come.
    Ask { wait_ms: u64 },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SendPlan {
    pub(crate) service: u64,
    /// Bytes of its body.
    pub(crate) size: u32,
    /// Another request under the same id.
    pub(crate) is_other: bool,
    pub(crate) deadline_ms: u64,
    /// Its caller waits for the result; else it goes on.
    pub(crate) waits: bool,
    /// Its caller goes after so long, if it goes.
    pub(crate) gives_up_ms: Option<u64>,
}

/// Numbers of these requests begin here.
pub(crate) const DURABLE: u64 = 500_000;
/// Requests of a run that has any.
const REQUESTS: u64 = 100;
/// So many runs of a hundred that have requests have some of these.
const SHARE: u64 = 50;
/// A request is sent again, or asked for, at most so much later.
const LATER_MS_MAX: u64 = 2_000;

impl DurableSetting {
    /// With more of those who serve: what one loses another one gets.
    pub(crate) fn draw(requests: &mut RequestSetting, dice: &mut Dice) -> Self {
        if requests.callers == 0 || !dice.percent(SHARE) {
            return Self::default();
        }
        for _ in 0..dice.below(4) {
            requests.servers.push(ServerPlan {
                service: dice.below(requests.services),
                concurrency: dice.of_list(&[1, 3, 32]),
            });
        }
        Self {
            callers: dice.between(1, 3) as u32,
        }
    }
}

pub(crate) fn steps(setting: &Setting, dice: &mut Dice) -> Vec<DurableStep> {
    if setting.durable.callers == 0 {
        return Vec::new();
    }
    let callers = u64::from(setting.durable.callers);
    let mut at_ms = 0;
    let mut steps = Vec::new();
    for request in DURABLE..DURABLE + REQUESTS {
        if dice.percent(40) {
            at_ms = dice.below(setting.load_ms);
        }
        let mut add = |dice: &mut Dice, at_ms, deed| {
            steps.push(DurableStep {
                at_ms,
                caller: dice.below(callers) as u32,
                request,
                deed,
            });
        };
        let send = SendPlan {
            service: dice.below(setting.requests.services),
            size: match dice.below(30) {
                0 => dice.between(0, 60_000) as u32,
                1..6 => dice.between(0, 5_000) as u32,
                _ => dice.between(0, 120) as u32,
            },
            is_other: false,
            deadline_ms: dice.of_list(&[40, 1_000, 5_000, 10_000, 10_000]),
            waits: dice.percent(50),
            gives_up_ms: dice.percent(15).then(|| dice.below(100)),
        };
        add(dice, at_ms, DurableDeed::Send(send));
        // Most are sent once; a few by several at the same moment.
        while dice.percent(35) {
            let later_ms = match dice.percent(30) {
                true => 0,
                false => dice.below(LATER_MS_MAX),
            };
            let again = SendPlan {
                is_other: dice.percent(15),
                deadline_ms: dice.of_list(&[400, 3_000, 10_000]),
                waits: dice.percent(30),
                gives_up_ms: dice.percent(15).then(|| dice.below(100)),
                ..send
            };
            add(dice, at_ms + later_ms, DurableDeed::Send(again));
        }
        while dice.percent(45) {
            let later_ms = dice.below(LATER_MS_MAX);
            let wait_ms = dice.of_list(&[0, 0, 50, 1_000]);
            add(dice, at_ms + later_ms, DurableDeed::Ask { wait_ms });
        }
    }
    steps.sort_by_key(|step| step.at_ms);
    steps
}

/// What breaks for those who have to do with them, and for the broker meanwhile, beside `others`.
pub(crate) fn faults(setting: &Setting, others: &[FaultPlan], dice: &mut Dice) -> Vec<FaultPlan> {
    let mut faults = Vec::new();
    if setting.durable.callers == 0 {
        return faults;
    }
    // A disk that is full already does not fill again.
    let is_full = others.iter().any(FaultPlan::fills_the_disk);
    let mut add = |dice: &mut Dice, fault| {
        let at_ms = dice.between(5, setting.load_ms);
        faults.push(FaultPlan { at_ms, fault });
    };
    for _ in 0..dice.below(3) {
        let fault = crash(dice);
        add(dice, fault);
    }
    // Callers of requests in memory, those who serve, and callers of these.
    let clients = setting.requests.clients() + setting.durable.callers;
    for _ in 0..dice.between(1, 4) {
        let fault = crash_or_break(dice, setting.first_caller(), clients);
        add(dice, fault);
    }
    for _ in 0..dice.below(4) {
        let server = dice.below(setting.requests.servers.len() as u64) as u32;
        add(dice, Fault::ServerDies { server });
    }
    let first_server = setting.first_caller() + setting.requests.callers;
    let servers = setting.requests.servers.len() as u32;
    for _ in 0..dice.below(6) {
        let fault = a_break(dice, first_server, servers);
        add(dice, fault);
    }
    // Longer than heartbeats allow: the broker gives up a worker that does not know of it.
    if dice.percent(40) {
        let stall = Fault::Stall {
            client: first_server + dice.below(servers.into()) as u32,
            up: dice.percent(80),
            down: dice.percent(50),
            ms: dice.between(500, STALL_MS_MAX),
        };
        add(dice, stall);
    }
    if dice.percent(25) && !is_full {
        let full = full_disk(setting, dice);
        add(dice, full);
    }
    if dice.percent(40) {
        add(dice, Fault::Checkpoint);
    }
    faults
}
