//! The log on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogFormat;
use crate::failure::Failure;

/// These come before what the configuration says; the first that is set counts.
const VARIABLES: [&str; 2] = ["VERTEILT_LOG", "RUST_LOG"];

/// Client commands say on their own what goes wrong; their log is for whoever looks for a bug.
pub(crate) const QUIET: &str = "off";

/// Starts the log. `filter` is what goes in if the environment does not say otherwise, such as
/// `info` or `info,verteilt_broker=debug`.
pub(crate) fn start(format: LogFormat, filter: &str) -> Result<(), Failure> {
    let variable = VARIABLES.into_iter().find_map(|name| {
        std::env::var(name)
            .ok()
            .filter(|set| !set.is_empty())
            .map(|set| (name, set))
    });
    let (source, text) = variable.unwrap_or(("logging.filter", filter.to_owned()));
    let filter = EnvFilter::try_new(&text)
        .map_err(|error| Failure::usage(format!("{source} is {text:?}: {error}")))?;
    let log = fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match format {
        LogFormat::Text => log.with_ansi(wants_colours()).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    started.map_err(|error| Failure::work(format!("cannot start the log: {error}")))
}

fn wants_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}
