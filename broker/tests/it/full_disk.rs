//! A disk that is nearly full, because nearly all of it is to stay free.

use verteilt_protocol::{ErrorCode, FrameType, wire};

use crate::house::House;
use crate::job::body;
use crate::peer::{Peer, push_of};
use crate::topic_peer::publish_of;

/// More than any disk has.
const ALL_OF_IT: u64 = 1 << 60;

fn refused(peer: &mut Peer, kind: FrameType, message: &impl prost::Message, payload: &[u8]) {
    let correlation = peer.send(kind, message, payload);
    let error = peer.error(correlation);
    assert_eq!(
        error.code,
        ErrorCode::DiskFull.number(),
        "{}",
        error.message
    );
    assert!(error.retryable && error.retry_after_ms > 0);
    assert!(
        error.message.contains(&ALL_OF_IT.to_string()),
        "{}",
        error.message
    );
}

#[test]
fn a_start_on_a_full_disk_takes_nothing_in_and_frees_what_it_can() {
    let mut house = House::start();
    let mut peer = house.peer();
    let bodies: Vec<_> = (0..20).map(|seed| body(seed, 5_000)).collect();
    let all: Vec<&[u8]> = bodies.iter().map(|body| &body[..]).collect();
    peer.push_many("q", &all);
    peer.create("log", 1);
    peer.publish("log", 0, &[b"kept"]);
    house.drop_broker();
    house.config.disk_reserve_bytes = ALL_OF_IT;
    house.go_on();

    let mut peer = house.peer();
    // Far more than the credit of a connection: it is given back for what is refused, too.
    let large = vec![7; 200_000];
    for _ in 0..20 {
        peer.wait_for_credit();
        refused(&mut peer, FrameType::Push, &push_of("q", &[&large]), &large);
    }
    let publish = publish_of("log", &[b"no"]);
    refused(&mut peer, FrameType::Publish, &publish, b"no");
    let options = wire::JobOptions {
        durability: wire::Durability::Memory.into(),
        ..wire::JobOptions::default()
    };
    peer.push_with("m", options, &[b"takes no room"]);

    let jobs = peer.take_reserved("q", 20);
    for (job, body) in jobs.iter().zip(&bodies) {
        assert_eq!(job.body, *body);
        peer.ack(job);
    }
    assert_eq!(peer.stats("q").done, 20);
    peer.checkpoint();
    assert!(house.broker().health().disk.unwrap().is_full);
    assert!(house.broker().health().ready);

    house.drop_broker();
    house.config.disk_reserve_bytes = 16 << 20;
    house.go_on();
    let mut peer = house.peer();
    peer.push("q", b"again");
    assert!(!house.broker().health().disk.unwrap().is_full);
}
