//! Whether a broker runs, as its owner and those who come in see it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::engine::Failure;
use crate::space::{DiskRoom, ShownRoom};

/// Why a broker that ran has stopped by itself.
pub type BrokerFailure = Arc<Failure>;

/// Whether a broker can take work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// It takes work and acknowledges it.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
    /// How much room it has, once it runs and if it stands on a disk. One that is full stays ready:
    /// those who free the disk have to get in.
    pub disk: Option<DiskRoom>,
}

/// Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    state: Arc<watch::Sender<State>>,
    room: ShownRoom,
}

#[derive(Clone, Debug)]
enum State {
    Running,
    Stopping,
    /// It failed, and says so to its clients.
    Failing(BrokerFailure),
    /// Its owner has let go of it and waits.
    Dropped,
    Ended(Option<BrokerFailure>),
}

impl Status {
    pub(crate) fn running() -> Self {
        Self {
            state: Arc::new(watch::Sender::new(State::Running)),
            room: ShownRoom::default(),
        }
    }

    /// Where the broker shows how much room it has.
    pub(crate) fn room(&self) -> ShownRoom {
        self.room.clone()
    }

    pub(crate) fn health(&self) -> Health {
        let reason = match &*self.state.borrow() {
            State::Running => None,
            State::Stopping | State::Dropped => Some("the broker is stopping".to_owned()),
            State::Ended(None) => Some("the broker has stopped".to_owned()),
            State::Failing(failure) | State::Ended(Some(failure)) => Some(failure.to_string()),
        };
        Health {
            ready: reason.is_none(),
            reason,
            disk: self.room.get(),
        }
    }

    pub(crate) fn stopping(&self) {
        self.state.send_if_modified(|state| {
            let running = matches!(state, State::Running);
            if running {
                *state = State::Stopping;
            }
            running
        });
    }

    /// Whoever asks from now on hears why, also while last frames are on their way.
    pub(crate) fn failing(&self, failure: &BrokerFailure) {
        self.state.send_if_modified(|state| {
            let first = matches!(state, State::Running | State::Stopping);
            if first {
                *state = State::Failing(Arc::clone(failure));
            }
            first
        });
    }

    pub(crate) fn dropped(&self) {
        self.state.send_if_modified(|state| {
            let ended = matches!(state, State::Ended(_));
            if !ended {
                *state = State::Dropped;
            }
            !ended
        });
    }

    /// The first reason stays.
    pub(crate) fn end(&self, failure: Option<BrokerFailure>) {
        self.state.send_if_modified(|state| {
            let ended = matches!(state, State::Ended(_));
            if !ended {
                *state = State::Ended(failure);
            }
            !ended
        });
    }

    /// Waits until [`Self::dropped`] or [`Self::end`] was called.
    pub(crate) async fn is_over(&self) {
        let over = |state: &State| matches!(state, State::Dropped | State::Ended(_));
        // It cannot fail: the sender is held here.
        let _ = self.state.subscribe().wait_for(over).await;
    }

    /// Waits for the end, and gives its reason.
    pub(crate) async fn ended(&self) -> Option<BrokerFailure> {
        let is_end = |state: &State| matches!(state, State::Ended(_));
        match self.state.subscribe().wait_for(is_end).await.as_deref() {
            Ok(State::Ended(failure)) => failure.clone(),
            _ => None,
        }
    }

    /// As [`Self::ended`], but never for an end that was asked for.
    pub(crate) async fn failed(&self) -> BrokerFailure {
        match self.ended().await {
            Some(failure) => failure,
            None => std::future::pending().await,
        }
    }
}
