//! The loop on a clock that stands still while anything can go on: whoever spins never gets further.

use std::time::Duration;

use super::running::{Running, pushed};
use super::*;
use crate::engine::{Chore, ChoreDone, Inbound, Workers, Workshop};

/// A test whose loop spins is given up after this (real) time.
const PATIENCE: Duration = Duration::from_secs(20);
/// More chores than any of these tests has use for.
const CHORES_MAX: usize = 200;

/// Takes its time for everything.
#[derive(Debug, Default)]
struct Slow {
    chores: Arc<parking_lot::Mutex<Vec<&'static str>>>,
    time: Duration,
}

impl Workshop for Slow {
    fn work(&self, who: &'static str, chore: Chore) -> ChoreDone {
        let mut chores = self.chores.lock();
        chores.push(who);
        assert!(chores.len() < CHORES_MAX, "no end of {who}");
        let time = self.time;
        Box::pin(async move {
            tokio::time::sleep(time).await;
            chore();
        })
    }
}

/// Runs a test of its own, on a paused clock, and gives it up if it does not end.
fn within_patience<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let (done, ended) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(test());
        done.send(()).unwrap();
    });
    ended.recv_timeout(PATIENCE).expect("it ends, and in time");
}

#[test]
fn a_stop_whose_grace_is_over_waits_for_the_disk_in_peace() {
    within_patience(|| async {
        let memory = Memory::new();
        let slow = Slow {
            time: Duration::from_secs(1),
            ..Slow::default()
        };
        let mut running = Running::start_with(&memory, Workers::Workshop(Arc::new(slow))).await;
        let push = running.push().await;
        assert!(running.handle.send(Inbound::Stop(0)).await);
        assert_eq!(pushed(&running.next().await), [push]);
        running.ended.await.unwrap().unwrap();
    });
}

#[test]
fn a_checkpoint_that_came_to_the_end_is_not_begun_again() {
    within_patience(|| async {
        let mut memory = Memory::new();
        memory.config.checkpoint_bytes = 64;
        let workers = || {
            let slow = Slow::default();
            (Arc::clone(&slow.chores), Workers::Workshop(Arc::new(slow)))
        };
        // The second one finds more in the journal than its checkpoints have to cover.
        for _ in 0..2 {
            let (chores, workers) = workers();
            let mut running = Running::start_with(&memory, workers).await;
            for _ in 0..5 {
                let push = running.push().await;
                assert_eq!(pushed(&running.next().await), [push]);
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
            let is_follower = |who: &&&str| **who == "follower";
            let count = chores.lock().iter().filter(is_follower).count();
            assert!(count > 0, "there were checkpoints");
            assert!(running.handle.send(Inbound::Stop(0)).await);
            running.ended.await.unwrap().unwrap();
        }
    });
}
