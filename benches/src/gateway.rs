//! A gateway as a child process, in front of a broker. Killed when dropped.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use crate::process::first_line;

/// A gateway that listens.
#[derive(Debug)]
pub struct Gateway {
    address: String,
    _child: Child,
}

impl Gateway {
    /// Starts `binary` as one in front of the broker at `url`, on a free port, without an access log.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start(binary: &Path, url: &str) -> Result<Self> {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("VERTEILT_") {
                command.env_remove(name);
            }
        }
        command.args(["gateway", "--listen", "127.0.0.1:0", "--access-log", "off"]);
        command.args(["--url", url]).env("VERTEILT_LOG", "error");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // A Ctrl-C at the terminal is for us.
            .process_group(0)
            .kill_on_drop(true)
            .spawn();
        let mut child = child.context("starting the gateway")?;
        let line = first_line(&mut child).await?;
        let address = line.strip_prefix("listening on http://");
        let address = address.with_context(|| format!("the gateway said {line:?}"))?;
        Ok(Self {
            address: address.to_owned(),
            _child: child,
        })
    }

    /// Where it listens, as host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}
