//! One client that does one thing after the other and keeps book of what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use verteilt_client::{Client, ClientError, Job, PushOptions, Reconnect};

const QUEUE: &str = "faults";
/// An answer that takes longer does not come.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const BODY_BYTES_MAX: u64 = 120_000;
/// Jobs that the client has in hand.
const HELD_MAX: usize = 5;
/// Longer than any run.
const LEASE: Duration = Duration::from_secs(3_600);

/// What was asked and answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// Bodies that were sent, numbered from 1.
    sent: u64,
    /// Jobs that the broker has taken, with the numbers of their bodies.
    taken: BTreeMap<u64, u64>,
    /// Jobs that the broker said are done.
    done: BTreeSet<u64>,
    /// The one whose ack was not answered.
    asked: Option<u64>,
    /// When each durable step was asked for and answered, in seconds since 1970.
    times: Vec<(f64, f64)>,
}

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All was answered.
    Answered,
    /// The connection was lost.
    Lost,
    /// The connection stands, and no answer comes.
    Silent,
}

impl Book {
    pub(crate) fn times(&self) -> &[(f64, f64)] {
        &self.times
    }

    /// Another broker goes on from here.
    pub(crate) fn forget_times(&mut self) {
        self.times.clear();
    }

    /// Pushes, takes, acks and asks for checkpoints until so many steps are done or one fails.
    pub(crate) fn write(&mut self, url: &str, steps: usize) -> End {
        block_on(async {
            let Ok(client) = connect(url).await else {
                return End::Lost;
            };
            let mut held = Vec::new();
            for step in 1..=steps {
                let did = tokio::time::timeout(ANSWER_MAX, self.step(&client, step, &mut held));
                match did.await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return End::Lost,
                    Err(_) => return End::Silent,
                }
            }
            End::Answered
        })
    }

    async fn step(
        &mut self,
        client: &Client,
        step: usize,
        held: &mut Vec<Job>,
    ) -> Result<(), ClientError> {
        let began = now();
        let is_durable = match step % 12 {
            0 => {
                client.checkpoint().await?;
                false
            }
            3 | 6 | 9 if held.len() < HELD_MAX => {
                let jobs = client.reserve(QUEUE, 2, Duration::ZERO).await?;
                let is_any = !jobs.is_empty();
                held.extend(jobs);
                is_any
            }
            4 | 7 | 10 if !held.is_empty() => {
                let job = held.remove(0);
                self.asked = Some(job.id());
                job.ack().await?;
                self.done.extend(self.asked.take());
                true
            }
            _ => {
                self.sent += 1;
                let (number, lease) = (self.sent, Some(LEASE));
                let options = PushOptions {
                    lease,
                    ..PushOptions::default()
                };
                let pushed = client.push_with(QUEUE, body(number), &options).await?;
                self.taken.insert(pushed.id, number);
                true
            }
        };
        if is_durable {
            self.times.push((began, now()));
        }
        Ok(())
    }

    /// Takes everything that is there and compares: nothing that was acknowledged is missing, every
    /// body is as it was sent, and nothing that is done comes again.
    pub(crate) fn compare(&self, url: &str) {
        let there = block_on(async {
            let client = connect(url).await.unwrap();
            let stats = client.queue_stats(Some(QUEUE)).await;
            let waiting = stats.map_or(0, |stats| stats[0].ready + stats[0].leased);
            let mut there = Vec::new();
            while (there.len() as u64) < waiting {
                let some = client.reserve(QUEUE, 1_000, Duration::from_secs(60)).await;
                let some = some.unwrap();
                assert!(!some.is_empty(), "{} of {waiting} jobs come", there.len());
                there.extend(some);
            }
            there
        });
        let mut open: BTreeSet<u64> = self.taken.keys().copied().collect();
        open.retain(|id| !self.done.contains(id) && self.asked != Some(*id));
        for job in there {
            let (id, bytes) = (job.id(), job.body());
            let number = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            assert!(
                number <= self.sent && *bytes == body(number),
                "body of job {id}"
            );
            assert!(!self.done.contains(&id), "job {id} is done and comes again");
            let taken = self.taken.get(&id).copied();
            assert!(
                taken.is_none_or(|taken| taken == number),
                "job {id} is another"
            );
            open.remove(&id);
        }
        assert!(open.is_empty(), "acknowledged and gone: {open:?}");
    }
}

async fn connect(url: &str) -> Result<Client, ClientError> {
    let reconnect = Reconnect {
        deadline: Some(Duration::from_millis(200)),
        ..Reconnect::default()
    };
    Client::builder()
        .url(url)
        .reconnect(reconnect)
        .connect()
        .await
}

/// Its number, then bytes that depend on it.
fn body(number: u64) -> Vec<u8> {
    let length = 8 + (number.wrapping_mul(48_271) % BODY_BYTES_MAX) as usize;
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = number.to_le_bytes().to_vec();
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(work)
}
