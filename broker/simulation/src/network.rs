//! The network between clients and the broker.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;
use verteilt_broker::bare::Door;
use verteilt_client::{Connecting, Connector};

use crate::dice::Dice;
use crate::pipe::{End, Manners, Pipe};
use crate::plan::SLOW_CAPACITY;
use crate::trace::Fingerprint;

/// Cheap to clone; all clones are one network.
#[derive(Clone, Debug)]
pub(crate) struct Network(Arc<Mutex<State>>);

struct State {
    dice: Dice,
    fingerprint: Fingerprint,
    manners: Manners,
    /// There while a broker serves.
    door: Option<Door>,
    /// The broker's side of each connection.
    serving: Vec<AbortOnDropHandle<()>>,
    links: BTreeMap<u64, Link>,
    next: u64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Link {
    client: u32,
    up: Pipe,
    down: Pipe,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Both sides see it at once; what was under way is lost.
    Both,
    /// The client sees it at once; what it sent before arrives, even behind its next connection.
    ClientFirst {
        /// So much later the broker sees it, too.
        lag_ms: u64,
    },
    /// The broker sees it at once; its last answers arrive.
    BrokerFirst {
        /// So much later the client sees it, too.
        lag_ms: u64,
    },
}

impl Network {
    pub(crate) fn new(seed: u64, manners: Manners, fingerprint: Fingerprint) -> Self {
        Self(Arc::new(Mutex::new(State {
            dice: Dice::of(seed, 0x6e65_7477),
            fingerprint,
            manners,
            door: None,
            serving: Vec::new(),
            links: BTreeMap::new(),
            next: 0,
        })))
    }

    /// A broker takes connections from now on.
    pub(crate) fn open(&self, door: Door) {
        self.0.lock().door = Some(door);
    }

    /// No more connections are taken.
    pub(crate) fn shut(&self) {
        self.0.lock().door = None;
    }

    /// The broker's process is gone, and its ends of the connections with it. Either its machine
    /// told the clients, or they hear nothing more.
    pub(crate) fn broker_gone(&self, silent: bool) {
        let (serving, links) = {
            let mut state = self.0.lock();
            state.door = None;
            (
                std::mem::take(&mut state.serving),
                std::mem::take(&mut state.links),
            )
        };
        for link in links.values() {
            for pipe in [&link.up, &link.down] {
                if silent {
                    pipe.go_silent();
                } else {
                    pipe.break_after(Duration::ZERO);
                }
            }
        }
        drop(serving);
    }

    /// Waits until the connections of a broker that has ended are done, or the time is up.
    pub(crate) async fn served(&self, patience: Duration) {
        let serving = std::mem::take(&mut self.0.lock().serving);
        let all = async {
            for task in serving {
                // Its panic has been noted by the hook.
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(patience, all).await;
    }

    pub(crate) fn break_links(&self, client: u32, how: Break) {
        let state = self.0.lock();
        for link in state.links.values().filter(|link| link.client == client) {
            let later = |lag_ms| Duration::from_millis(lag_ms);
            match how {
                Break::Both => {
                    link.up.break_after(Duration::ZERO);
                    link.down.break_after(Duration::ZERO);
                }
                Break::ClientFirst { lag_ms } => {
                    link.down.break_after(Duration::ZERO);
                    link.up.break_after(later(lag_ms));
                }
                Break::BrokerFirst { lag_ms } => {
                    link.up.break_after(Duration::ZERO);
                    link.down.break_after(later(lag_ms));
                }
            }
        }
    }

    pub(crate) fn stall(&self, client: u32, up: bool, down: bool, time: Duration) {
        let state = self.0.lock();
        for link in state.links.values().filter(|link| link.client == client) {
            if up {
                link.up.stall(time);
            }
            if down {
                link.down.stall(time);
            }
        }
    }

    /// The client reads slowly from now on: hardly anything fits into the connection.
    pub(crate) fn slow_down(&self, client: u32) {
        let state = self.0.lock();
        let slow = Manners {
            capacity: SLOW_CAPACITY,
            piece_max: 128,
            delayed_percent: 30,
            ..state.manners
        };
        for link in state.links.values().filter(|link| link.client == client) {
            link.down.set_manners(slow);
        }
    }

    fn link(&self, client: u32) -> io::Result<End> {
        let mut state = self.0.lock();
        let Some(door) = state.door.clone() else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        state.next += 1;
        let number = state.next;
        let (manners, fingerprint) = (state.manners, state.fingerprint.clone());
        let mut pipe = |side: u64| {
            let dice = Dice::new(state.dice.next());
            Pipe::new(manners, dice, fingerprint.clone(), number * 2 + side)
        };
        let (up, down) = (pipe(0), pipe(1));
        let ends = (
            End::new(down.clone(), up.clone()),
            End::new(up.clone(), down.clone()),
        );
        state.links.insert(number, Link { client, up, down });
        let network = self.clone();
        let serving = tokio::spawn(async move {
            door.serve(ends.1).await;
            network.0.lock().links.remove(&number);
        });
        state.serving.retain(|task| !task.is_finished());
        state.serving.push(AbortOnDropHandle::new(serving));
        Ok(ends.0)
    }

    /// How this client connects.
    pub(crate) fn connector(&self, client: u32) -> Wire {
        Wire {
            network: self.clone(),
            client,
        }
    }
}

/// One client's way to the broker.
#[derive(Debug)]
pub(crate) struct Wire {
    network: Network,
    client: u32,
}

impl Connector for Wire {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let delay_ms = {
                let mut state = self.network.0.lock();
                let most = state.manners.latency_ms_max;
                state.dice.between(0, most)
            };
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            let end = self.network.link(self.client)?;
            Ok(Box::new(end) as Box<dyn verteilt_client::Transport>)
        })
    }

    fn address(&self) -> String {
        "simulated".to_owned()
    }
}
