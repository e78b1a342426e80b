//! The configuration of `verteilt serve`: flags over environment over `verteilt.toml` over the
//! defaults. `verteilt.toml` beside this crate's manifest explains every key.

mod environment;
mod refusal;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use figment::Figment;
use figment::providers::{Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};
use serde::{Deserializer, Serializer};

use crate::broker_process;
use crate::failure::Failure;
use crate::units::{Size, Span};

/// The file that is read without being named, if it is there.
pub(crate) const FILE: &str = "verteilt.toml";

/// Everything that can be set. Its `Default` is the broker's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    pub(crate) data: PathBuf,
    pub(crate) disk_reserve: Size,
    pub(crate) listen: SocketAddr,
    pub(crate) metrics: Listener,
    pub(crate) allow_unauthenticated: bool,
    pub(crate) grace: Span,
    pub(crate) busy_poll_us: u64,
    pub(crate) logging: Logging,
    pub(crate) connections: Connections,
    pub(crate) journal: Journal,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) memory: Memory,
    pub(crate) queues: Queues,
    pub(crate) results: Results,
}

/// `[logging]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Logging {
    pub(crate) format: LogFormat,
    pub(crate) filter: String,
}

/// `[connections]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Connections {
    pub(crate) max: usize,
    pub(crate) heartbeat: Span,
    pub(crate) handshake_deadline: Span,
    pub(crate) resume_grace: Span,
    pub(crate) push_credit_bytes: Size,
}

/// `[journal]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Journal {
    pub(crate) segment_bytes: Size,
    pub(crate) bytes_max: Size,
}

/// `[checkpoint]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Checkpoint {
    pub(crate) bytes: Size,
    pub(crate) interval: Span,
}

/// `[memory]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Memory {
    pub(crate) job_bytes_max: Size,
    pub(crate) cache_bytes: Size,
    pub(crate) store_cache_bytes: Size,
}

/// `[queues]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Queues {
    pub(crate) max: u32,
}

/// `[results]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Results {
    pub(crate) keep: Span,
    pub(crate) max: usize,
    pub(crate) bytes_max: Size,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where something may listen that need not: an address, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Off,
    At(SocketAddr),
}

/// Why a text is no address to listen on.
#[derive(Debug, thiserror::Error)]
#[error("{found:?} is not `off` and not an address such as 127.0.0.1:7490")]
pub(crate) struct ListenerError {
    found: String,
}

impl FromStr for Listener {
    type Err = ListenerError;

    fn from_str(text: &str) -> Result<Self, ListenerError> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| ListenerError {
            found: text.to_owned(),
        })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Serialize for Listener {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listener {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Config {
    /// Defaults, then the file, then the environment. Without a name, [`FILE`] is read if it is
    /// there; a file that was named must be there.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let path = file.unwrap_or(Path::new(FILE));
        if file.is_some() && !path.is_file() {
            return Err(Failure::usage(format!(
                "there is no configuration file {}",
                path.display()
            ))
            .advise("`verteilt serve --print-config` prints one to start from"));
        }
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if path.is_file() {
            figment = figment.merge(Toml::file_exact(path));
        }
        figment
            .merge(environment::provider())
            .extract()
            .map_err(|error| refusal::explain(error, path))
    }

    /// As a file that [`Config::load`] reads.
    pub(crate) fn to_toml(&self) -> Result<String, Failure> {
        toml::to_string(self)
            .map_err(|error| Failure::usage(format!("cannot write this configuration: {error}")))
    }

    /// Refuses to open the broker to other machines while anybody there could use it.
    pub(crate) fn check_exposure(&self) -> Result<(), Failure> {
        let metrics = match self.metrics {
            Listener::Off => None,
            Listener::At(address) => Some(("metrics", address)),
        };
        let open = [Some(("listen", self.listen)), metrics]
            .into_iter()
            .flatten()
            .find(|(_, address)| !address.ip().to_canonical().is_loopback());
        match open {
            Some((key, address)) if !self.allow_unauthenticated => Err(Failure::usage(format!(
                "`{key}` is {address}: other machines could reach the broker, and no \
                 authentication is configured"
            ))
            .advise(
                "listen on 127.0.0.1, or pass --allow-unauthenticated (allow_unauthenticated = \
                 true) if the network itself keeps others out",
            )),
            _ => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        broker_process::default_config()
    }
}

// A section that a file leaves out, or fills in part, keeps the broker's defaults for the rest.
macro_rules! default_of_section {
    ($($section:ident: $key:ident),+) => {
        $(impl Default for $section {
            fn default() -> Self {
                Config::default().$key
            }
        })+
    };
}
default_of_section!(
    Logging: logging,
    Connections: connections,
    Journal: journal,
    Checkpoint: checkpoint,
    Memory: memory,
    Queues: queues,
    Results: results
);

#[cfg(test)]
mod tests;
