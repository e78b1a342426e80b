//! `verteilt completions`: a script that lets a shell complete our command line.

use std::io::{self, Write as _};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::{Exit, Failure};

/// Print completions for a shell
///
/// For bash: `verteilt completions bash > ~/.local/share/bash-completion/completions/verteilt`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(&self) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(
            self.shell,
            &mut Arguments::command(),
            "verteilt",
            &mut script,
        );
        io::stdout()
            .write_all(&script)
            .map_err(|error| Failure::output(&error))?;
        Ok(Exit::Done)
    }
}
