//! A broker from start to stop: its threads, and the only way to reach them.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bare::{BareBroker, Door};
use crate::config::BrokerConfig;
use crate::engine::Failure;
use crate::error::StartError;
use crate::folder::Folder;
use crate::net::listen;
use crate::recovery;

/// Connections that the kernel holds until they are accepted.
const LISTEN_BACKLOG: i32 = 1_024;
/// After the engine has ended, connections get so long to take their last frames.
const LAST_FRAMES: Duration = Duration::from_secs(2);

/// Why a broker that ran has stopped by itself.
pub type BrokerFailure = Arc<Failure>;

/// Whether a broker can take work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// It takes work and acknowledges it.
    pub ready: bool,
    /// Why not.
    pub reason: Option<String>,
}

#[derive(Clone, Debug)]
enum State {
    Running,
    Stopping,
    Ended(Option<BrokerFailure>),
}

/// A running broker. Dropping it stops it without waiting for work in flight; what was
/// acknowledged is on disk either way. Dropping blocks until the threads have ended.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    door: Door,
    state: Arc<watch::Sender<State>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Broker {
    /// Opens the data folder, recovers what is in it, and begins to listen. Blocks until then;
    /// the broker runs on threads of its own.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then, and nothing was changed that recovery would not change.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a broker owns what it was told"
    )]
    pub fn start(config: BrokerConfig) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let folder = Folder::open(&config.data)?;
        // Bound before recovery: a wrong address is told at once, and early clients wait in line.
        let listener = bind(config.listen).map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let ground = recovery::ground(&config, &folder)?;
        let bare = BareBroker::open(&config, ground)?;
        let door = bare.door();
        let state = Arc::new(watch::Sender::new(State::Running));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let connections_max = config.connections_max;
        let run = serve(bare, connections_max, folder, listener, Arc::clone(&state));
        let ended = Arc::clone(&state);
        let thread = std::thread::Builder::new()
            .name("verteilt-broker".to_owned())
            .spawn(move || {
                let failure = runtime.block_on(run).err().map(Arc::new);
                ended.send_replace(State::Ended(failure));
            })
            .map_err(StartError::Thread)?;
        Ok(Self {
            address,
            door,
            state,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Whether it can take work. Cheap.
    #[must_use]
    pub fn health(&self) -> Health {
        let reason = match &*self.state.borrow() {
            State::Running => None,
            State::Stopping => Some("the broker is stopping".to_owned()),
            State::Ended(None) => Some("the broker has stopped".to_owned()),
            State::Ended(Some(failure)) => Some(failure.to_string()),
        };
        Health {
            ready: reason.is_none(),
            reason,
        }
    }

    /// Waits until the broker has stopped by itself, because it could not keep its promises any
    /// longer. Never ends for one that is stopped by [`Self::stop`].
    pub async fn failed(&self) -> BrokerFailure {
        let mut state = self.state.subscribe();
        loop {
            if let State::Ended(Some(failure)) = &*state.borrow_and_update() {
                return Arc::clone(failure);
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops: no new jobs in, no new leases, and work in flight may finish for `grace`. Leases that
    /// are still held then stay good for their sessions to come back after the next start.
    ///
    /// # Errors
    /// Why the broker had stopped by itself, or did while it was stopping.
    pub async fn stop(self, grace: Duration) -> Result<(), BrokerFailure> {
        self.state.send_if_modified(|state| {
            let running = matches!(state, State::Running);
            if running {
                *state = State::Stopping;
            }
            running
        });
        self.door.stop(grace).await;
        let mut state = self.state.subscribe();
        loop {
            if let State::Ended(failure) = &*state.borrow_and_update() {
                return failure.clone().map_or(Ok(()), Err);
            }
            if state.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.door.stop_now();
        if let Some(thread) = self.thread.lock().take() {
            // A panic of the thread has been logged by the panic hook.
            let _ = thread.join();
        }
    }
}

async fn serve(
    bare: BareBroker,
    connections_max: usize,
    folder: Folder,
    listener: StdListener,
    state: Arc<watch::Sender<State>>,
) -> Result<(), Failure> {
    let tracker = TaskTracker::new();
    let cancel = CancellationToken::new();
    let listener = TcpListener::from_std(listener).map_err(|error| {
        tracing::error!(%error, "cannot listen");
        Failure::ThreadGone("listener")
    })?;
    let accepting = listen(
        listener,
        bare.door(),
        connections_max,
        tracker.clone(),
        cancel.clone(),
    );
    tracker.spawn(accepting);
    let result = bare.run().await;
    if let Err(failure) = &result {
        tracing::error!(%failure, "the broker stops");
    }
    state.send_if_modified(|state| {
        *state = State::Stopping;
        false
    });
    cancel.cancel();
    tracker.close();
    let _ = tokio::time::timeout(LAST_FRAMES, tracker.wait()).await;
    drop(folder);
    result
}

fn bind(address: SocketAddr) -> std::io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restart must not wait for connections of the run before to be forgotten by the kernel.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}
