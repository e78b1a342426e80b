//! Decisions: pure functions of the state as it is. Each file holds one family of commands.

pub(crate) mod admin;
mod change;
mod connect;
pub(crate) mod dispatch;
pub(crate) mod group;
pub(crate) mod lease;
mod publish;
pub(crate) mod push;
mod read;
mod reading;
pub(crate) mod retention;
mod settle;
pub(crate) mod subscribe;
mod topic;

pub(crate) use change::Change;
pub(crate) use reading::TopicChange;
pub(crate) use topic::all_stats as all_topics;

use crate::command::{Caller, Command};
use crate::effect::{Effect, Refusal};
use crate::event::Event;
use crate::id::{ConnectionId, Millis};
use crate::shard::Shard;

/// What was decided, in the order in which it takes place.
#[derive(Debug, Default)]
pub(crate) struct Decision {
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) enum Step {
    /// Journaled if durable, and applied.
    Event(Event),
    /// A change to what is known of connections; never journaled.
    Change(Change),
    Tell(ConnectionId, Effect),
}

impl Decision {
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    fn event(&mut self, event: Event) {
        self.steps.push(Step::Event(event));
    }

    fn change(&mut self, change: Change) {
        self.steps.push(Step::Change(change));
    }

    fn change_topic(&mut self, change: TopicChange) {
        self.change(Change::Topic(change));
    }

    fn tell(&mut self, to: ConnectionId, effect: Effect) {
        self.steps.push(Step::Tell(to, effect));
    }

    fn done(&mut self, caller: Caller) {
        self.tell(
            caller.connection,
            Effect::Done {
                correlation: caller.correlation,
            },
        );
    }

    fn refuse(&mut self, caller: Caller, refusal: Refusal) {
        let correlation = caller.correlation;
        self.tell(
            caller.connection,
            Effect::Refused {
                correlation,
                refusal,
            },
        );
    }
}

/// Decides one command.
pub(crate) fn command(
    shard: &Shard,
    caller: Caller,
    command: Command,
    now_ms: Millis,
    out: &mut Decision,
) {
    let result = match command {
        Command::Connect { held } => connect::connect(shard, caller, held, out),
        Command::Disconnect => connect::disconnect(shard, caller, out),
        Command::Hold(held) => connect::hold(shard, caller, held, out),
        Command::Push(push) => push::push(shard, caller, push, now_ms, out),
        Command::PushPart {
            upload,
            index,
            payload,
        } => push::part(shard, caller, upload, index, payload, out),
        Command::Subscribe {
            subscription,
            queue,
            credit_jobs,
            credit_bytes,
        } => {
            let credit = (credit_jobs, credit_bytes);
            subscribe::subscribe(shard, caller, subscription, &queue, credit, out)
        }
        Command::Unsubscribe { subscription } => {
            subscribe::unsubscribe(shard, caller, subscription, out)
        }
        Command::Reserve {
            queue,
            jobs_max,
            wait_ms,
        } => {
            let until_ms = now_ms.saturating_add(wait_ms);
            subscribe::reserve(shard, caller, &queue, jobs_max, until_ms, out)
        }
        Command::Cancel { correlation } => subscribe::cancel(shard, caller, correlation, out),
        Command::Settle(settle) => settle::settle(shard, caller, settle, now_ms, out),
        Command::Stats {
            namespace,
            queue,
            after,
        } => admin::stats(shard, caller, &namespace, queue.as_deref(), &after, out),
        Command::Peek {
            queue,
            state,
            jobs_max,
        } => admin::peek(shard, caller, &queue, state, jobs_max, now_ms, out),
        Command::Pause { queue, paused } => admin::pause(shard, caller, &queue, paused, out),
        Command::Purge { queue, jobs_max } => admin::purge(shard, caller, &queue, jobs_max, out),
        Command::Topic(command) => topic::command(shard, caller, command, now_ms, out),
        Command::Refuse(refusal) => Err(refusal),
        Command::Drain => {
            out.change(Change::Drain);
            Ok(())
        }
        Command::DiskFull(is_full) => {
            out.change(Change::DiskFull(is_full));
            Ok(())
        }
    };
    if let Err(refusal) = result {
        out.refuse(caller, refusal);
    }
}
