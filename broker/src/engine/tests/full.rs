//! The loop on a disk that is nearly full.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use verteilt_protocol::{ErrorCode, FrameType, wire};

use super::running::{Running, pushed};
use super::*;
use crate::engine::{Inbound, Workers};
use crate::space::Space;

const PATIENCE: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// A disk whose room is whatever a test says.
#[derive(Debug, Default)]
struct Disk(AtomicU64);

impl Space for Disk {
    fn free_bytes(&self) -> io::Result<u64> {
        match self.0.load(Ordering::Relaxed) {
            u64::MAX => Err(io::Error::other("on purpose")),
            bytes => Ok(bytes),
        }
    }

    fn place(&self) -> String {
        "/the/folder".to_owned()
    }
}

impl Disk {
    fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

async fn start(free_bytes: u64) -> (Arc<Disk>, Running) {
    let mut memory = Memory::new();
    memory.config.disk_reserve_bytes = 100 * MIB;
    let disk = Arc::new(Disk::default());
    disk.set(free_bytes);
    let space = Arc::clone(&disk) as Arc<dyn Space>;
    let running = Running::start_on(&memory, Workers::Threads, Some(space)).await;
    (disk, running)
}

/// Pushes once; `None` when that was taken.
async fn refusal(running: &mut Running) -> Option<wire::Error> {
    let push = running.push().await;
    let frame = running.next().await;
    if frame.kind() == Some(FrameType::Pushed) {
        assert_eq!(pushed(&frame), [push]);
        return None;
    }
    assert_eq!(frame.kind(), Some(FrameType::Error));
    assert_eq!(frame.correlation, push);
    Some(frame.message().unwrap())
}

async fn pushes_until(running: &mut Running, is_full: bool) {
    let until = Instant::now() + PATIENCE;
    while refusal(running).await.is_some() != is_full {
        assert!(Instant::now() < until, "not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_starts_full_and_goes_on_by_itself_when_there_is_room() {
    let (disk, mut running) = start(99 * MIB).await;
    let error = refusal(&mut running)
        .await
        .expect("it is full from the first push on");
    assert_eq!(error.code, ErrorCode::DiskFull.number());
    assert!(error.retryable && error.retry_after_ms > 0);
    let (free, reserve) = ((99 * MIB).to_string(), (100 * MIB).to_string());
    for word in ["/the/folder", &free, &reserve, "Acknowledge or purge"] {
        assert!(error.message.contains(word), "{word}: {}", error.message);
    }
    disk.set(200 * MIB);
    pushes_until(&mut running, false).await;
    disk.set(0);
    pushes_until(&mut running, true).await;
}

#[tokio::test]
async fn a_disk_that_does_not_answer_stays_what_it_was() {
    let (disk, mut running) = start(200 * MIB).await;
    disk.set(u64::MAX);
    for _ in 0..30 {
        assert!(refusal(&mut running).await.is_none());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    disk.set(0);
    pushes_until(&mut running, true).await;
    assert!(running.handle.send(Inbound::Stop(0)).await);
    running.ended.await.unwrap().unwrap();
}
