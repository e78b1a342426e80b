//! What happens to requests in a run: drawn before it begins, as all else in a plan.

use crate::dice::Dice;
use crate::plan::{Fault, FaultPlan, crash_or_break};

/// Services and those who ask them; nothing in most runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestSetting {
    pub(crate) services: u64,
    pub(crate) callers: u32,
    pub(crate) servers: Vec<ServerPlan>,
}

/// One process that serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerPlan {
    pub(crate) service: u64,
    pub(crate) concurrency: u32,
}

/// One request of a caller.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestPlan {
    pub(crate) at_ms: u64,
    pub(crate) caller: u32,
    pub(crate) service: u64,
    pub(crate) number: u64,
    /// Bytes of its body.
    pub(crate) size: u32,
    /// In so many pieces; 0: as a whole.
    pub(crate) pieces: u32,
    pub(crate) deadline_ms: u64,
    /// Its caller goes after so long, if it goes.
    pub(crate) gives_up_ms: Option<u64>,
}

/// Requests of a run that has any.
const REQUESTS: u64 = 200;
/// So many runs of a hundred have requests.
const SHARE: u64 = 30;

impl RequestSetting {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        if !dice.percent(SHARE) {
            return Self::default();
        }
        let services = dice.between(1, 3);
        // Some services have nobody, and some have several.
        let servers = (0..dice.between(1, 5)).map(|_| ServerPlan {
            service: dice.below(services),
            concurrency: dice.of_list(&[1, 3, 32]),
        });
        let servers = servers.collect();
        Self {
            services,
            callers: dice.between(1, 3) as u32,
            servers,
        }
    }

    /// Those who are connected for the sake of requests.
    pub(crate) fn clients(&self) -> u32 {
        self.callers + self.servers.len() as u32
    }
}

pub(crate) fn requests(
    setting: &RequestSetting,
    load_ms: u64,
    dice: &mut Dice,
) -> Vec<RequestPlan> {
    if setting.callers == 0 {
        return Vec::new();
    }
    let mut at_ms = 0;
    let mut requests: Vec<RequestPlan> = (0..REQUESTS)
        .map(|number| {
            if dice.percent(30) {
                at_ms = dice.below(load_ms);
            }
            RequestPlan {
                at_ms,
                caller: dice.below(setting.callers.into()) as u32,
                service: dice.below(setting.services),
                number,
                size: match dice.below(30) {
                    0 => dice.between(0, 300_000) as u32,
                    1..6 => dice.between(0, 5_000) as u32,
                    _ => dice.between(0, 120) as u32,
                },
                pieces: if dice.percent(25) {
                    dice.between(1, 9) as u32
                } else {
                    0
                },
                deadline_ms: dice.of_list(&[5, 60, 400, 3_000, 30_000]),
                gives_up_ms: dice.percent(10).then(|| dice.below(200)),
            }
        })
        .collect();
    requests.sort_by_key(|request| request.at_ms);
    requests
}

/// What breaks for those who have to do with requests; clients from `first` on.
pub(crate) fn faults(
    setting: &RequestSetting,
    first: u32,
    load_ms: u64,
    dice: &mut Dice,
) -> Vec<FaultPlan> {
    let mut faults = Vec::new();
    if setting.callers == 0 {
        return faults;
    }
    let mut add = |dice: &mut Dice, fault| {
        let at_ms = dice.between(5, load_ms);
        faults.push(FaultPlan { at_ms, fault });
    };
    for _ in 0..dice.below(4) {
        let fault = crash_or_break(dice, first, setting.clients());
        add(dice, fault);
    }
    for _ in 0..dice.below(3) {
        let server = dice.below(setting.servers.len() as u64) as u32;
        add(dice, Fault::ServerDies { server });
    }
    faults
}
