//! What is not said.

use std::time::{Duration, Instant};

use verteilt_protocol::{ErrorCode, FrameType};

use crate::house::House;

#[test]
fn who_is_silent_for_two_heartbeats_is_closed_and_told() {
    let house = House::with(|config| config.heartbeat_ms = 250);
    let mut talks = house.peer();
    let mut silent = house.peer();
    talks.push("q", b"x");
    silent.subscribe(1, "q", 1);
    assert_eq!(silent.jobs()[0].attempt, 1);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_000) {
        talks.send_empty(FrameType::Heartbeat, 0);
        std::thread::sleep(Duration::from_millis(25));
    }
    silent.ends_with(ErrorCode::HeartbeatMissed);
    // Its job goes to others at once, and the one that beats goes on.
    let jobs = talks.reserve("q", 1, 0);
    assert_eq!(jobs[0].attempt, 2);
}

#[test]
fn the_broker_beats_when_it_has_nothing_to_say() {
    let house = House::with(|config| config.heartbeat_ms = 300);
    let mut peer = house.peer();
    let mut header = [0; 20];
    for _ in 0..3 {
        peer.send_empty(FrameType::Heartbeat, 0);
        peer.stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        std::io::Read::read_exact(&mut peer.stream, &mut header).unwrap();
        assert_eq!(header[4], FrameType::Heartbeat.number());
        assert_eq!(header[8..16], [0; 8], "correlation 0");
    }
}
