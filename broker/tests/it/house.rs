//! A broker in a folder of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use verteilt_broker::{Broker, BrokerConfig, BrokerFailure, StartError};

use crate::peer::Peer;

/// No test waits longer than this for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct House {
    pub(crate) config: BrokerConfig,
    // Before the folder, so that the broker is gone when the folder goes.
    broker: Option<Broker>,
    folder: TempDir,
}

impl House {
    /// With small segments, and no checkpoint that nobody asked for.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let mut house = Self::idle(change);
        house.go_on();
        house
    }

    /// Not started yet, so that something can be put into its folder before.
    pub(crate) fn idle(change: impl FnOnce(&mut BrokerConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = BrokerConfig::new(folder.path().join("data"), any);
        config.segment_bytes = 4 * 1024 * 1024;
        config.checkpoint_interval_ms = 3_600_000;
        config.resume_grace_ms = 400;
        change(&mut config);
        Self {
            config,
            broker: None,
            folder,
        }
    }

    /// Starts the broker again on what is there.
    pub(crate) fn go_on(&mut self) {
        self.try_to_go_on().unwrap();
    }

    pub(crate) fn try_to_go_on(&mut self) -> Result<(), StartError> {
        assert!(self.broker.is_none(), "it runs already");
        self.broker = Some(Broker::start(self.config.clone())?);
        Ok(())
    }

    /// Starts one that is expected not to start.
    pub(crate) fn refusal(&self) -> StartError {
        match Broker::start(self.config.clone()) {
            Ok(_) => panic!("the broker started"),
            Err(error) => error,
        }
    }

    pub(crate) fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("it runs")
    }

    pub(crate) fn stop(&mut self, grace: Duration) -> Result<(), BrokerFailure> {
        let broker = self.broker.take().expect("it runs");
        block_on(broker.stop(grace))
    }

    /// As [`Self::stop`], on a thread of its own.
    pub(crate) fn begin_to_stop(
        &mut self,
        grace: Duration,
    ) -> std::thread::JoinHandle<(Result<(), BrokerFailure>, Duration)> {
        let broker = self.broker.take().expect("it runs");
        std::thread::spawn(move || {
            let began = Instant::now();
            (block_on(broker.stop(grace)), began.elapsed())
        })
    }

    /// Without a word to anyone.
    pub(crate) fn drop_broker(&mut self) {
        drop(self.broker.take().expect("it runs"));
    }

    /// As [`Self::drop_broker`], if there is one.
    pub(crate) fn leave(&mut self) {
        self.broker = None;
    }

    /// Drops it and starts it again.
    pub(crate) fn restart(&mut self) {
        self.drop_broker();
        self.go_on();
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker().local_addr()
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::connect(self.address(), &Peer::some_id())
    }

    pub(crate) fn peer_of(&self, session: &[u8; 16]) -> Peer {
        Peer::connect(self.address(), session)
    }

    pub(crate) fn data(&self) -> &Path {
        &self.config.data
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(3 * PATIENCE, future)
            .await
            .expect("it ends in time")
    })
}

/// Asks again and again until the answer is yes.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
