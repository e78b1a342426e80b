//! `verteilt gateway`: HTTP in front of services and queues.
//!
//! | file | what it knows |
//! |---|---|
//! | [`check`] | `verteilt gateway check`: is a route file right? |
//! | [`run`] | the gateway as a process: start, reload, end |

mod check;
mod run;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use verteilt_gateway::{AccessFormat, Network};
use verteilt_protocol::limits;

use crate::broker_process::loopback;
use crate::config::{Listener, LogFormat};
use crate::connect::BrokerAddress;
use crate::failure::{Exit, Failure};
use crate::units::Span;

/// Run an HTTP gateway in front of a broker
///
/// Passes /SERVICE/... on to the service of that name, or what the route file says where. Any number
/// of gateways can run. SIGHUP reads the route file again, as every change of it does; SIGTERM and
/// SIGINT let requests in flight end for the grace time.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Gateway {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Check),
}

#[derive(Debug, Args)]
struct Serve {
    /// Where HTTP is served; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value_t = loopback(limits::GATEWAY_PORT))]
    listen: SocketAddr,
    /// The route file [default: /SERVICE/... to every service]
    #[arg(long, value_name = "FILE")]
    routes: Option<PathBuf>,
    #[command(flatten)]
    broker: BrokerAddress,
    /// Where /metrics, /health and /ready are served beside the gateway's own, or "off"
    #[arg(long, value_name = "ADDR", default_value = "off")]
    metrics: Listener,
    /// A line on standard output for each request to a service
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    access_log: Access,
    /// A proxy whose X-Forwarded-For and X-Forwarded-Proto count, such as 10.0.0.0/8; may be given
    /// again
    #[arg(long, value_name = "NETWORK")]
    trust_proxy: Vec<Network>,
    /// Connections at one time
    #[arg(long, value_name = "N", default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
    /// How long requests in flight may go on after a signal
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: Span,
    /// Listen to other machines although the gateway asks nobody who they are
    #[arg(long)]
    allow_unauthenticated: bool,
    /// How the log on standard error is written
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Access {
    Off,
    Text,
    Json,
}

impl Access {
    const fn format(self) -> Option<AccessFormat> {
        match self {
            Self::Off => None,
            Self::Text => Some(AccessFormat::Text),
            Self::Json => Some(AccessFormat::Json),
        }
    }
}

impl Gateway {
    pub(crate) async fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Some(Command::Check(check)) => check.run(),
            None => run::run(self.serve).await,
        }
    }
}
