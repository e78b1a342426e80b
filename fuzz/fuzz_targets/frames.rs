#![no_main]
//! Bytes from the network become frames: never a panic, never more memory than the frame limit,
//! and the same frames however the bytes were cut on their way.

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use verteilt_protocol::limits::FRAME_BYTES_MAX;
use verteilt_protocol::{Frame, FrameHeader, decode};

/// Most bytes that a waiting decoder may hold: one frame and its length field.
const HELD_BYTES_MAX: usize = FRAME_BYTES_MAX + 4;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = frames_of(&[bytes]);
    let (head, tail) = bytes.split_at(usize::from(cut).min(bytes.len()));
    assert_eq!(
        whole,
        frames_of(&[head, tail]),
        "frames depend on where the bytes were cut"
    );
});

/// The frames of a stream that arrives in pieces, and whether it ended in an error.
fn frames_of(pieces: &[&[u8]]) -> (Vec<Frame>, bool) {
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let announced = FrameHeader::peek(&buffer);
            match decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(checked(frame, announced.ok().flatten())),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
        let held = buffer.capacity() - buffer.len();
        assert!(
            held <= HELD_BYTES_MAX + bytes_in(pieces),
            "more memory reserved than a frame"
        );
    }
    (frames, false)
}

/// A decoded frame is what its header announced.
fn checked(frame: Frame, announced: Option<FrameHeader>) -> Frame {
    let header = announced.expect("a decoded frame had a header that could be peeked at");
    let counted = 16 + frame.meta.len() + frame.payload.len();
    assert_eq!(header.length as usize, counted);
    assert_eq!(header.meta_length as usize, frame.meta.len());
    assert!(counted <= FRAME_BYTES_MAX);
    frame
}

fn bytes_in(pieces: &[&[u8]]) -> usize {
    // A BytesMut may double what it holds.
    2 * pieces.iter().map(|piece| piece.len()).sum::<usize>()
}
