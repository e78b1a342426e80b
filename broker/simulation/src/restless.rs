//! Virtual time stands still while anybody is busy: whoever never comes to rest would keep the run
//! from ending.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;

/// So often nobody has to be asked at one moment; a run asks a thousand times at most.
const POLLS_MAX: u32 = 20_000;

/// A future that has to wait for time to pass now and then.
pub(crate) struct Restless<F> {
    future: Pin<Box<F>>,
    moment: Instant,
    polls: u32,
}

impl<F: Future> Restless<F> {
    pub(crate) fn new(future: F) -> Self {
        Self {
            future: Box::pin(future),
            moment: Instant::now(),
            polls: 0,
        }
    }
}

impl<F: Future> Future for Restless<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let now = Instant::now();
        if now > self.moment {
            (self.moment, self.polls) = (now, 0);
        }
        self.polls += 1;
        assert!(
            self.polls < POLLS_MAX,
            "the broker never comes to rest: it goes round without waiting"
        );
        self.future.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_may_go_on() {
        Restless::new(async {
            for _ in 0..2 * POLLS_MAX {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "never comes to rest")]
    async fn whoever_goes_round_is_found() {
        Restless::new(async {
            loop {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}
