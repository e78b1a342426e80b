//! What cannot be gone on from.

use std::io::{Seek, SeekFrom, Write};

use verteilt_protocol::{FrameType, wire};

use crate::house::{House, block_on, eventually};
use crate::job::body;

/// The journal changes under a running broker: whoever reads it next finds out.
#[test]
fn a_journal_that_changes_on_the_disk_ends_the_broker() {
    let mut house = House::start();
    let mut peer = house.peer();
    let body = body(1, 200_000);
    for _ in 0..5 {
        peer.push("q", &body);
    }
    let folder = std::fs::read_dir(house.data().join("journal")).unwrap();
    let mut paths: Vec<_> = folder.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with('0'));
    paths.sort();
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .open(&paths[0])
        .unwrap();
    file.seek(SeekFrom::Start(300_000)).unwrap();
    file.write_all(b"not what was written").unwrap();
    peer.send(FrameType::Checkpoint, &wire::Checkpoint {}, b"");
    let failure = block_on(house.broker().failed());
    let text = failure.to_string();
    assert!(text.contains(".journal"), "{text}");
    let health = house.broker().health();
    assert!(!health.ready && health.reason.is_some());
    // It says why before it closes, and takes nobody in any more.
    let frames = peer.rest();
    let goodbye = frames
        .iter()
        .find(|frame| frame.kind() == Some(FrameType::Goodbye));
    let goodbye: wire::Goodbye = goodbye.expect("a GOODBYE").message().unwrap();
    assert!(!goodbye.reason.is_empty());
    let address = house.address();
    eventually("it listens no more", || {
        std::net::TcpStream::connect(address).is_err()
    });
    let result = house.stop(std::time::Duration::ZERO);
    assert_eq!(result.unwrap_err().to_string(), text);
    // And it does not start on it.
    let refusal = house.refusal().to_string();
    assert!(refusal.contains(".journal"), "{refusal}");
}
