//! One golden frame: made from Rust values, compared with Rust values.

use std::fmt::Debug;

use bytes::BytesMut;
use prost::Message;
use verteilt_protocol::{Frame, FrameType, decode, encode, encode_empty};

/// A frame with its name; `check` compares a decoded frame with the message it was made from.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) kind: FrameType,
    pub(crate) bytes: Vec<u8>,
    check: Box<dyn Fn(&Frame)>,
}

/// A frame with a message.
pub(crate) fn case<M>(
    name: &'static str,
    kind: FrameType,
    correlation: u64,
    message: M,
    payload: &[u8],
) -> Case
where
    M: Message + Default + PartialEq + Debug + 'static,
{
    let mut out = BytesMut::new();
    encode(&mut out, kind, 0, correlation, &message, payload);
    let payload = payload.to_vec();
    let check = move |frame: &Frame| {
        assert_eq!(frame.message::<M>().unwrap(), message, "{name}");
        assert_eq!((frame.flags, frame.correlation), (0, correlation), "{name}");
        assert_eq!(frame.payload, payload, "{name}");
    };
    Case {
        name,
        kind,
        bytes: out.to_vec(),
        check: Box::new(check),
    }
}

/// A frame without message and payload.
pub(crate) fn empty(name: &'static str, kind: FrameType, flags: u8, correlation: u64) -> Case {
    let mut out = BytesMut::new();
    encode_empty(&mut out, kind, flags, correlation);
    let check = move |frame: &Frame| {
        assert_eq!(
            (frame.flags, frame.correlation),
            (flags, correlation),
            "{name}"
        );
        assert!(frame.meta.is_empty() && frame.payload.is_empty(), "{name}");
    };
    Case {
        name,
        kind,
        bytes: out.to_vec(),
        check: Box::new(check),
    }
}

impl Case {
    /// Decodes the bytes of a file, which are this frame and nothing more.
    pub(crate) fn decodes_to_its_message(&self, bytes: &[u8]) {
        let mut buffer = BytesMut::from(bytes);
        let frame = decode(&mut buffer).unwrap().unwrap();
        assert!(buffer.is_empty(), "{}: bytes are left over", self.name);
        assert_eq!(frame.kind(), Some(self.kind), "{}", self.name);
        (self.check)(&frame);
    }
}
