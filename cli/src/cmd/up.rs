//! `verteilt up`: everything in one process, doing real work on files of this machine.
//!
//! | file | what it knows |
//! |---|---|
//! | [`house`] | broker, gateway, metrics and a small shop: starting, telling where, stopping |
//! | [`node`] | whether this machine can run the part of the shop that is written for Node |
//! | [`children`] | the processes of that part: started, started again, ended |
//! | [`files`] | which files of this machine become jobs |
//! | [`sums`] | the work: push, checksum, count |
//! | [`totals`] | what came out, for people |

mod children;
mod files;
mod house;
mod node;
mod sums;
mod totals;

use std::path::PathBuf;

use clap::Args;

use crate::broker_process;
use crate::config::LogFormat;
use crate::failure::{Exit, Failure};
use crate::logging;
use crate::output;
use crate::signals::StopSignals;

use house::House;
use node::Node;
use totals::Totals;

/// Try it: a broker, a gateway and a small shop, and real work on files of this machine
///
/// Starts a broker, an HTTP gateway and a small shop on this machine only, makes files jobs and lets
/// workers compute their checksums, then stays up for you to try more. The page that it names shows
/// requests on their way.
///
/// Where Node 20 or newer is, and `npm ci --prefix services` was typed, the shop has all its services:
/// those of Node run in processes of their own, which are started again when they die.
#[derive(Debug, Args)]
pub(crate) struct Up {
    /// The folder of all data; made if it is not there
    #[arg(long, value_name = "DIR", default_value = broker_process::DATA)]
    data: PathBuf,
    /// Whose files to work on [default: /usr/share/doc, or another that is there]
    #[arg(long, value_name = "DIR")]
    files: Option<PathBuf>,
    /// Most files to work on
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    files_max: usize,
    /// The services of the shop that run in Node
    #[arg(long, value_name = "DIR", default_value = "services")]
    services: PathBuf,
    /// Start none of them
    #[arg(long)]
    without_node: bool,
    /// End after the work
    #[arg(long)]
    once: bool,
}

impl Up {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        logging::start(LogFormat::Text, "warn")?;
        let signals = StopSignals::listen()?;
        let folder = files::folder(self.files.as_deref())?;
        let mut house = House::open(&self.data).await?;
        let node = self.look_for_node().await;
        if let Some(Node::Ready(services)) = &node {
            house.start_node(services);
        }
        let end = tokio::select! {
            end = self.use_house(&house, node, &folder, &signals) => end,
            failure = house.broker.failed() => Err(broker_process::broken(&failure)),
        };
        let closed = house.close(&signals).await;
        let exit = end?;
        closed?;
        Ok(exit)
    }

    /// `None`: not wanted.
    async fn look_for_node(&self) -> Option<Node> {
        if self.without_node || self.once {
            return None;
        }
        Some(node::look(&self.services).await)
    }

    async fn use_house(
        &self,
        house: &House,
        node: Option<Node>,
        folder: &std::path::Path,
        signals: &StopSignals,
    ) -> Result<Exit, Failure> {
        house.tell(node)?;
        let (files, cut) = files::find(folder.to_owned(), self.files_max).await?;
        let more = if cut {
            " (there are more, this is enough to see)"
        } else {
            ""
        };
        output::line(&format!(
            "\nfound {} files in {}{more}",
            files.len(),
            folder.display()
        ))?;
        let connection = house.connect().await?;
        let totals = sums::run(&connection, files, &signals.gently).await?;
        connection.close().await;
        let Some(totals) = totals else {
            output::line("stopped; what is left is done at the next `verteilt up`")?;
            return Ok(if self.once {
                signals.exit()
            } else {
                Exit::Done
            });
        };
        Totals::tell(&totals)?;
        if self.once {
            return Ok(Exit::Done);
        }
        house.tell_next(folder)?;
        signals.gently.cancelled().await;
        Ok(Exit::Done)
    }
}
