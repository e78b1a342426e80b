//! A broker on a thread of its own, from its data to the moment the thread has ended.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::bare::{BareBroker, Ground};
use crate::config::BrokerConfig;
use crate::embed::LocalDoor;
use crate::engine::Failure;
use crate::error::StartError;
use crate::folder::Folder;
use crate::net::{Reception, listen};
use crate::recovery;
use crate::status::{BrokerFailure, Health, Status};

/// Connections that the kernel holds until they are accepted.
const LISTEN_BACKLOG: i32 = 1_024;
/// After the engine has ended, connections get so long to take their last frames.
const LAST_FRAMES: Duration = Duration::from_secs(2);
/// The same where somebody who drops the broker is held up by it.
const LAST_FRAMES_DROPPED: Duration = Duration::from_millis(100);

/// Where a broker keeps what it must not lose.
#[derive(Debug)]
pub(crate) enum Place {
    /// In the folder that its configuration names.
    Folder,
    /// Nowhere: it goes with the broker.
    Memory(Ground),
}

/// The owner's side of a broker that runs. Dropping it ends the broker, and blocks until then.
#[derive(Debug)]
pub(crate) struct Running {
    address: Option<SocketAddr>,
    door: LocalDoor,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Recovers what is there, listens if there is an address for it, and serves. Blocks until it
    /// serves. All of it happens on the new thread: of what the calling thread has about it, a
    /// runtime for instance, or a clock that stands still for a test, the broker sees nothing.
    pub(crate) fn start(
        config: BrokerConfig,
        listen: Option<SocketAddr>,
        place: Place,
    ) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let (opened, told) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("verteilt-broker".to_owned())
            .spawn(move || run(&config, listen, place, &opened))
            .map_err(StartError::Thread)?;
        let refused = match told.recv() {
            Ok(Ok((door, address))) => {
                return Ok(Self {
                    address,
                    door,
                    thread: Some(thread),
                });
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        match (thread.join(), refused) {
            (Ok(()), Some(error)) => Err(error),
            (Ok(()), None) => unreachable!("the thread says how it went, or panics"),
            (Err(panic), _) => resume_unwind(panic),
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    pub(crate) fn door(&self) -> &LocalDoor {
        &self.door
    }

    pub(crate) fn health(&self) -> Health {
        self.door.status.health()
    }

    pub(crate) async fn failed(&self) -> BrokerFailure {
        self.door.status.failed().await
    }

    pub(crate) async fn stop(self, grace: Duration) -> Result<(), BrokerFailure> {
        let status = &self.door.status;
        status.stopping();
        self.door.reception.door().stop(grace).await;
        status.ended().await.map_or(Ok(()), Err)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A child that this process forked has no such thread, and locks that the parent's threads
        // held at that moment are held in it for ever.
        if self.door.is_forked() {
            return;
        }
        self.door.status.dropped();
        self.door.reception.door().stop_now();
        let here = std::thread::current().id();
        // Whoever is dropped on the broker's own thread, by a waker for instance, cannot wait for it.
        let thread = self.thread.take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != here) {
            // A panic of the thread has been shown by the panic hook.
            let _ = thread.join();
        }
    }
}

type Opened = Result<(LocalDoor, Option<SocketAddr>), StartError>;

/// The whole life of the broker's thread.
fn run(
    config: &BrokerConfig,
    listen: Option<SocketAddr>,
    place: Place,
    opened: &SyncSender<Opened>,
) {
    let status = Status::running();
    let _ending = Ending(status.clone());
    // Whoever asked waits for the answer.
    let tell = |answer| drop(opened.send(answer));
    let (runtime, house) = match House::open(config, listen, place, &status) {
        Ok(house) => house,
        Err(error) => return tell(Err(error)),
    };
    let (reception, address) = (house.reception.clone(), house.address);
    let door = LocalDoor::new(reception, status.clone(), runtime.handle().clone());
    tell(Ok((door, address)));
    let result = runtime.block_on(house.serve(&status));
    status.end(result.err());
}

/// Whatever ends the thread, those who wait for the end hear of it.
struct Ending(Status);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(Some(Arc::new(Failure::ThreadGone("broker"))));
    }
}

/// A broker with all that it has opened.
struct House {
    bare: BareBroker,
    reception: Reception,
    listener: Option<StdListener>,
    address: Option<SocketAddr>,
    /// Last, so that nobody else gets it while anything here is open.
    folder: Option<Folder>,
}

impl House {
    fn open(
        config: &BrokerConfig,
        listen: Option<SocketAddr>,
        place: Place,
        status: &Status,
    ) -> Result<(Runtime, Self), StartError> {
        let folder = match &place {
            Place::Folder => Some(Folder::open(&config.data)?),
            Place::Memory(_) => None,
        };
        // Bound before recovery: a wrong address is told at once, and early clients wait in line.
        let listener = listen.map(bind).transpose()?;
        let (listener, address) = listener.unzip();
        let ground = match (place, &folder) {
            (Place::Memory(ground), _) => ground,
            (Place::Folder, folder) => {
                let folder = folder.as_ref().expect("it was opened above");
                recovery::ground(config, folder)?
            }
        };
        let mut bare = BareBroker::open(config, ground)?;
        bare.show_room(status.room());
        let reception = Reception::new(bare.door(), config.connections_max);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time();
        if listener.is_some() {
            runtime.enable_io();
        }
        let runtime = runtime.build().map_err(StartError::Thread)?;
        let house = Self {
            bare,
            reception,
            listener,
            address,
            folder,
        };
        Ok((runtime, house))
    }

    async fn serve(self, status: &Status) -> Result<(), BrokerFailure> {
        let (bare, tracker) = (self.bare, self.reception.tracker().clone());
        let cancel = CancellationToken::new();
        if let Some(listener) = self.listener {
            let listener = TcpListener::from_std(listener).map_err(|error| {
                tracing::error!(%error, "cannot listen");
                Arc::new(Failure::ThreadGone("listener"))
            })?;
            tracker.spawn(listen(listener, self.reception, cancel.clone()));
        }
        let result = bare.run().await.map_err(Arc::new);
        match &result {
            Ok(()) => status.stopping(),
            Err(failure) => {
                tracing::error!(%failure, "the broker stops");
                status.failing(failure);
            }
        }
        cancel.cancel();
        tracker.close();
        let patience = async {
            tokio::select! {
                () = tokio::time::sleep(LAST_FRAMES) => {}
                () = status.is_over() => tokio::time::sleep(LAST_FRAMES_DROPPED).await,
            }
        };
        tokio::select! {
            () = tracker.wait() => {}
            () = patience => {}
        }
        drop(self.folder);
        result
    }
}

fn bind(address: SocketAddr) -> Result<(StdListener, SocketAddr), StartError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restart must not wait for connections of the run before to be forgotten by the kernel.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        let listener = StdListener::from(socket);
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound().map_err(|source| StartError::Listen { address, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody waits for ever for the end of a broker whose thread is gone.
    #[test]
    fn the_end_of_the_thread_is_told_whatever_ends_it() {
        let status = Status::running();
        let ending = Ending(status.clone());
        let thread = std::thread::spawn(move || {
            let _ending = ending;
            std::panic::resume_unwind(Box::new("on purpose"));
        });
        assert!(thread.join().is_err());
        let health = status.health();
        assert!(!health.ready);
        let reason = health.reason.unwrap();
        assert!(reason.contains("broker thread ended"), "{reason}");
    }
}
