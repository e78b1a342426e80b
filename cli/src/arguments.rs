//! The command line as a whole. Each command's own arguments stand in its file in [`crate::cmd`].

use clap::{Parser, Subcommand};

use crate::cmd::backup::Backup;
use crate::cmd::bench::Bench;
use crate::cmd::checkpoint::Checkpoint;
use crate::cmd::completions::Completions;
use crate::cmd::gateway::Gateway;
use crate::cmd::push::Push;
use crate::cmd::queue::Queue;
use crate::cmd::restore::Restore;
use crate::cmd::result::ShowResult;
use crate::cmd::serve::Serve;
use crate::cmd::service::Service;
use crate::cmd::topic::Topic;
use crate::cmd::torture::Torture;
use crate::cmd::trace::Trace;
use crate::cmd::up::Up;
use crate::cmd::verify::Verify;
use crate::cmd::work::Work;
use crate::failure::EXITS_HELP;

/// Verteilt, a durable message broker: an acknowledgement means the bytes are on the disk
///
/// New here? `verteilt up` starts everything, does some real work and says what to try next.
#[derive(Debug, Parser)]
#[command(name = "verteilt", version, after_help = EXITS_HELP)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(Up),
    Serve(Box<Serve>),
    Gateway(Box<Gateway>),
    Push(Push),
    Work(Work),
    Queue(Queue),
    Topic(Topic),
    Service(Service),
    Trace(Trace),
    Result(ShowResult),
    Checkpoint(Checkpoint),
    Backup(Backup),
    Restore(Restore),
    Verify(Verify),
    Torture(Torture),
    Bench(Bench),
    Completions(Completions),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
