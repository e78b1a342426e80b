//! `verteilt gateway check`: is a route file right?

use std::path::{Path, PathBuf};

use clap::Args;
use verteilt_gateway::Table;

use crate::failure::{Exit, Failure};
use crate::output;

/// Read a route file as the gateway would, and say what is wrong with it
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The route file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Check {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let (_, table) = read(&self.file)?;
        let routes = table.len();
        output::line(&format!(
            "{}: {routes} routes, all right",
            self.file.display()
        ))?;
        Ok(Exit::Done)
    }
}

/// A route file: its text, and what it means.
pub(super) fn read(file: &Path) -> Result<(String, Table), Failure> {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read the route file {name}: {error}")))?;
    match Table::parse(&text) {
        Ok(table) => Ok((text, table)),
        Err(error) => {
            let mistakes = error.mistakes.iter();
            let lines: Vec<String> = mistakes
                .map(|mistake| format!("{name}:{}: {}", mistake.line, mistake.text))
                .collect();
            Err(Failure::usage(lines.join("\nverteilt: "))
                .advise("docs/http.md explains every key of a route file"))
        }
    }
}
