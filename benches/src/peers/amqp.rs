//! As much of AMQP 0-9-1 as the load needs: one channel, publishing with confirms, consuming with acks.

use anyhow::{Context, Result, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes};

use super::wire::{Answers, Wire};
use crate::QUEUE;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const FRAME_END: u8 = 0xCE;
const FRAME_BYTES_MAX: u32 = 128 * 1024;
/// Type, channel, length; and the end.
const AROUND_BYTES: usize = 7 + 1;

/// Class and method.
type Method = (u16, u16);
const START: Method = (10, 10);
const START_OK: Method = (10, 11);
const TUNE: Method = (10, 30);
const TUNE_OK: Method = (10, 31);
const OPEN: Method = (10, 40);
const OPEN_OK: Method = (10, 41);
const CHANNEL_OPEN: Method = (20, 10);
const CHANNEL_OPEN_OK: Method = (20, 11);
const CHANNEL_CLOSE: Method = (20, 40);
const CHANNEL_CLOSE_OK: Method = (20, 41);
const DECLARE: Method = (50, 10);
const DECLARE_OK: Method = (50, 11);
const QOS: Method = (60, 10);
const QOS_OK: Method = (60, 11);
const CONSUME: Method = (60, 20);
const CONSUME_OK: Method = (60, 21);
const PUBLISH: Method = (60, 40);
const DELIVER: Method = (60, 60);
const ACK: Method = (60, 80);
const SELECT: Method = (85, 10);
const SELECT_OK: Method = (85, 11);

/// Bits of queue.declare.
const PASSIVE: u8 = 1;
const DURABLE: u8 = 2;
/// content header: the delivery mode is there, and it is persistent.
const HAS_DELIVERY_MODE: u16 = 1 << 12;
const PERSISTENT: u8 = 2;

/// A connection with its channel.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Wire,
    confirms: Confirms,
}

/// What came on the channel.
pub(super) enum Event {
    /// So many publishes are confirmed.
    Confirmed(u64),
    /// A job, to be acked under this tag.
    Delivered(u64),
}

struct Frame {
    kind: u8,
    payload: Bytes,
}

impl Connection {
    pub(super) async fn open(port: u16) -> Result<Self> {
        let wire = Wire::open(port).await?;
        let mut this = Self {
            wire,
            confirms: Confirms::default(),
        };
        this.wire.send(b"AMQP\x00\x00\x09\x01").await?;
        this.expect(START).await?;
        let mut start_ok = Vec::new();
        start_ok.put_u32(0);
        put_short(&mut start_ok, "PLAIN");
        put_long(&mut start_ok, b"\0guest\0guest");
        put_short(&mut start_ok, "en_US");
        this.wire.send(&method(0, START_OK, &start_ok)).await?;
        this.expect(TUNE).await?;
        let mut tune_ok = Vec::new();
        tune_ok.put_u16(1);
        tune_ok.put_u32(FRAME_BYTES_MAX);
        tune_ok.put_u16(0);
        this.wire.send(&method(0, TUNE_OK, &tune_ok)).await?;
        let mut open = Vec::new();
        put_short(&mut open, "/");
        open.put_u16(0);
        this.wire.send(&method(0, OPEN, &open)).await?;
        this.expect(OPEN_OK).await?;
        this.call(CHANNEL_OPEN, &[0], CHANNEL_OPEN_OK).await?;
        Ok(this)
    }

    /// Declares a durable queue of this kind; the number of jobs that are ready in it.
    pub(super) async fn declare(&mut self, queue: &str, kind: &str) -> Result<u64> {
        let mut table = Vec::new();
        put_short(&mut table, "x-queue-type");
        table.put_u8(b'S');
        put_long(&mut table, kind.as_bytes());
        self.declare_as(queue, DURABLE, &table).await
    }

    /// The number of jobs that are ready in a queue that is there.
    pub(super) async fn ready(&mut self, queue: &str) -> Result<u64> {
        self.declare_as(queue, PASSIVE, &[]).await
    }

    async fn declare_as(&mut self, queue: &str, bits: u8, table: &[u8]) -> Result<u64> {
        let mut declare = Vec::new();
        declare.put_u16(0);
        put_short(&mut declare, queue);
        declare.put_u8(bits);
        put_long(&mut declare, table);
        let mut answer = self.call(DECLARE, &declare, DECLARE_OK).await?;
        let name = usize::from(answer.try_get_u8()?);
        ensure!(answer.len() >= name, "a queue.declare-ok is cut short");
        answer.advance(name);
        Ok(answer.try_get_u32()?.into())
    }

    /// From now on every publish is confirmed.
    pub(super) async fn confirm(&mut self) -> Result<()> {
        self.call(SELECT, &[0], SELECT_OK).await?;
        Ok(())
    }

    /// Has jobs delivered, so many unacked at most.
    pub(super) async fn consume(&mut self, queue: &str, prefetch: u16) -> Result<()> {
        let mut qos = Vec::new();
        qos.put_u32(0);
        qos.put_u16(prefetch);
        qos.put_u8(0);
        self.call(QOS, &qos, QOS_OK).await?;
        let mut consume = Vec::new();
        consume.put_u16(0);
        put_short(&mut consume, queue);
        put_short(&mut consume, "c");
        consume.put_u8(0);
        consume.put_u32(0);
        self.call(CONSUME, &consume, CONSUME_OK).await?;
        Ok(())
    }

    /// Closes the channel: what was sent on it before has been read when this is answered.
    pub(super) async fn close(mut self) -> Result<()> {
        let close = [0, 200, 0, 0, 0, 0, 0];
        self.wire.send(&method(1, CHANNEL_CLOSE, &close)).await?;
        loop {
            let frame = self.frame().await?;
            if frame.kind == METHOD && frame.payload.starts_with(&id(CHANNEL_CLOSE_OK)) {
                return Ok(());
            }
        }
    }

    /// The next event, if all of it is here.
    pub(super) fn event_here(&mut self) -> Result<Option<Event>> {
        let Some(frame) = first_frame(&self.wire.incoming) else {
            return Ok(None);
        };
        let mut payload = &frame[7..frame.len() - 1];
        match (payload.try_get_u16()?, payload.try_get_u16()?) {
            ACK => {
                let (tag, multiple) = (payload.try_get_u64()?, payload.try_get_u8()? & 1 == 1);
                let confirmed = self.confirms.take(tag, multiple);
                let length = frame.len();
                self.wire.incoming.advance(length);
                Ok(Some(Event::Confirmed(confirmed)))
            }
            DELIVER => {
                let consumer = usize::from(payload.try_get_u8()?);
                ensure!(payload.len() >= consumer, "a basic.deliver is cut short");
                payload.advance(consumer);
                let tag = payload.try_get_u64()?;
                let Some(length) = delivery_bytes(&self.wire.incoming)? else {
                    return Ok(None);
                };
                self.wire.incoming.advance(length);
                Ok(Some(Event::Delivered(tag)))
            }
            other => bail!("{}", complaint(other, payload)),
        }
    }

    pub(super) async fn event(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.event_here()? {
                return Ok(event);
            }
            self.wire.more().await?;
        }
    }

    async fn call(&mut self, ask: Method, arguments: &[u8], answer: Method) -> Result<Bytes> {
        self.wire.send(&method(1, ask, arguments)).await?;
        self.expect(answer).await
    }

    async fn expect(&mut self, wanted: Method) -> Result<Bytes> {
        let mut payload = self.frame().await?.payload;
        let found = (payload.try_get_u16()?, payload.try_get_u16()?);
        ensure!(found == wanted, "{}", complaint(found, &payload));
        Ok(payload)
    }

    async fn frame(&mut self) -> Result<Frame> {
        loop {
            if let Some(frame) = first_frame(&self.wire.incoming) {
                let length = frame.len();
                let frame = self.wire.incoming.split_to(length).freeze();
                let payload = frame.slice(7..length - 1);
                return Ok(Frame {
                    kind: frame[0],
                    payload,
                });
            }
            self.wire.more().await?;
        }
    }
}

impl Answers for Connection {
    fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    fn request(&self, body: &[u8]) -> Vec<u8> {
        publish(QUEUE, body)
    }

    fn take_answers(&mut self) -> Result<u64> {
        let mut answers = 0;
        while let Some(event) = self.event_here()? {
            match event {
                Event::Confirmed(jobs) => answers += jobs,
                Event::Delivered(_) => bail!("a job came to a producer"),
            }
        }
        Ok(answers)
    }
}

/// Which publishes are confirmed: one by one in any order, or all up to one.
#[derive(Debug, Default)]
struct Confirms {
    /// All up to this one are.
    all_up_to: u64,
    /// Beyond that, those that came early.
    early: std::collections::BTreeSet<u64>,
}

impl Confirms {
    /// How many more are confirmed by this.
    fn take(&mut self, tag: u64, multiple: bool) -> u64 {
        let before = self.all_up_to + self.early.len() as u64;
        if multiple {
            self.all_up_to = self.all_up_to.max(tag);
            self.early = self.early.split_off(&(self.all_up_to + 1));
        } else if tag > self.all_up_to {
            self.early.insert(tag);
        }
        while self.early.remove(&(self.all_up_to + 1)) {
            self.all_up_to += 1;
        }
        self.all_up_to + self.early.len() as u64 - before
    }
}

/// One persistent job.
pub(super) fn publish(queue: &str, body: &[u8]) -> Vec<u8> {
    let mut publish = Vec::new();
    publish.put_u16(0);
    put_short(&mut publish, "");
    put_short(&mut publish, queue);
    publish.put_u8(0);
    let mut out = method(1, PUBLISH, &publish);
    let mut header = Vec::new();
    header.put_u16(PUBLISH.0);
    header.put_u16(0);
    header.put_u64(body.len() as u64);
    header.put_u16(HAS_DELIVERY_MODE);
    header.put_u8(PERSISTENT);
    out.extend(frame(HEADER, 1, &header));
    out.extend(frame(BODY, 1, body));
    out
}

/// Acks one job.
pub(super) fn ack(tag: u64) -> Vec<u8> {
    let mut ack = Vec::new();
    ack.put_u64(tag);
    ack.put_u8(0);
    method(1, ACK, &ack)
}

fn method(channel: u16, method: Method, arguments: &[u8]) -> Vec<u8> {
    frame(METHOD, channel, &[&id(method), arguments].concat())
}

fn id((class, method): Method) -> [u8; 4] {
    let ([a, b], [c, d]) = (class.to_be_bytes(), method.to_be_bytes());
    [a, b, c, d]
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + AROUND_BYTES);
    out.put_u8(kind);
    out.put_u16(channel);
    out.put_u32(payload.len() as u32);
    out.extend_from_slice(payload);
    out.put_u8(FRAME_END);
    out
}

/// The first frame, if all of it is here.
fn first_frame(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(3..7)?.try_into().map(u32::from_be_bytes).ok()?;
    bytes.get(..length as usize + AROUND_BYTES)
}

/// Bytes of a whole delivery: the method, the header, and as many bodies as it tells of.
fn delivery_bytes(bytes: &[u8]) -> Result<Option<usize>> {
    let mut taken = first_frame(bytes).map_or(0, <[u8]>::len);
    let Some(header) = first_frame(&bytes[taken..]) else {
        return Ok(None);
    };
    ensure!(header[0] == HEADER, "a delivery without a header");
    let length = header.get(11..19).context("a header that is cut short")?;
    let mut left = u64::from_be_bytes(length.try_into()?);
    taken += header.len();
    while left > 0 {
        let Some(body) = first_frame(&bytes[taken..]) else {
            return Ok(None);
        };
        ensure!(body[0] == BODY, "a delivery without its body");
        left = left.saturating_sub((body.len() - AROUND_BYTES) as u64);
        taken += body.len();
    }
    Ok(Some(taken))
}

fn put_short(out: &mut Vec<u8>, text: &str) {
    out.put_u8(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn put_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.extend_from_slice(bytes);
}

/// A close says why, as text behind two bytes.
fn complaint(method: Method, arguments: &[u8]) -> String {
    let text = String::from_utf8_lossy(arguments.get(3..).unwrap_or_default());
    format!("RabbitMQ sent {method:?}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confirms_count_each_publish_once() {
        let mut confirms = Confirms::default();
        assert_eq!(confirms.take(2, false), 1);
        assert_eq!(confirms.take(2, false), 0);
        assert_eq!(confirms.take(4, false), 1);
        assert_eq!(confirms.take(3, true), 2);
        assert_eq!(confirms.take(5, true), 1);
        assert_eq!(confirms.take(5, true), 0);
        assert_eq!((confirms.all_up_to, confirms.early.len()), (5, 0));
    }
}
