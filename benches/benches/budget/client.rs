//! The client on a connection in memory, whose other end answers every push and looks at nothing in it:
//! what is counted is the way from the calls to the bytes of the frame, and from the answer to the
//! callers.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Builder;
use verteilt_client::{Client, Connecting, Connector};
use verteilt_protocol::{CAPABILITY_JOBS, FrameType, VERSIONS, decode, encode, limits, wire};

use crate::callgrind::repeat;

const BODY_BYTES: usize = 256;
const PIPE_BYTES: usize = 1024 * 1024;

/// `jobs` single pushes at one time, until all are answered.
pub(crate) fn pushes(jobs: usize) {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let body = verteilt_benches::body(BODY_BYTES);
    let client = Client::builder().connector(Pipe { jobs }).connect();
    let client = runtime.block_on(client).expect("the pipe answers");
    repeat(|| {
        let pushes = (0..jobs).map(|_| client.push("bench", Bytes::clone(&body)));
        let answers = runtime.block_on(join_all(pushes));
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    });
}

#[derive(Debug)]
struct Pipe {
    jobs: usize,
}

impl Connector for Pipe {
    fn connect(&self) -> Connecting<'_> {
        let (ours, theirs) = duplex(PIPE_BYTES);
        tokio::spawn(answer(theirs, self.jobs as u32));
        Box::pin(async { Ok(Box::new(ours) as _) })
    }

    fn address(&self) -> String {
        "a pipe".to_owned()
    }
}

async fn answer(mut stream: DuplexStream, jobs: u32) -> io::Result<()> {
    let (mut incoming, mut outgoing) = (BytesMut::new(), BytesMut::new());
    while stream.read_buf(&mut incoming).await? > 0 {
        while let Some(frame) = decode(&mut incoming).map_err(io::Error::other)? {
            let out = &mut outgoing;
            match frame.kind() {
                Some(FrameType::Hello) => {
                    encode(
                        out,
                        FrameType::Welcome,
                        0,
                        frame.correlation,
                        &welcome(),
                        &[],
                    );
                }
                Some(FrameType::Push) => {
                    let pushed = pushed(frame.correlation, jobs);
                    encode(out, FrameType::Pushed, 0, 0, &pushed, &[]);
                }
                _ => {}
            }
        }
        stream.write_all(&outgoing).await?;
        outgoing.clear();
    }
    Ok(())
}

fn pushed(correlation: u64, count: u32) -> wire::Pushed {
    wire::Pushed {
        results: vec![wire::PushResult {
            correlation,
            first_id: 1,
            count,
            ..wire::PushResult::default()
        }],
        credit: u64::from(count) * BODY_BYTES as u64,
    }
}

fn welcome() -> wire::Welcome {
    wire::Welcome {
        version: *VERSIONS.end(),
        capabilities: vec![CAPABILITY_JOBS.to_owned()],
        broker_id: Bytes::from_static(&[7; limits::ID_BYTES]),
        epoch: 1,
        limits: Some(wire::Limits {
            frame_bytes: limits::FRAME_BYTES_MAX as u32,
            body_bytes: limits::BODY_BYTES_MAX,
            header_bytes: limits::HEADER_BYTES_MAX as u32,
            batch_jobs: limits::BATCH_JOBS_MAX as u32,
            name_bytes: limits::NAME_BYTES_MAX as u32,
        }),
        heartbeat_ms: limits::HEARTBEAT_MS,
        push_credit: limits::PUSH_CREDIT_BYTES,
        ..wire::Welcome::default()
    }
}
