//! A history as a value and as JSON lines.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::{Event, Record};

/// Records in the order of real time. Line numbers of a report count from 1 and are those of
/// the file that [`Self::write`] makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// The records.
    pub records: Vec<Record>,
}

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It could not be read to its end.
    #[error("the history cannot be read after line {line}")]
    Io {
        /// The last line that was read.
        line: usize,
        /// Why.
        source: std::io::Error,
    },
    /// A line is no record.
    #[error("line {line} of the history is no record")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

impl History {
    /// Reads one record a line.
    ///
    /// # Errors
    /// The first line that cannot be read, or is no record.
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        let mut records = Vec::new();
        for text in input.lines() {
            let line = records.len() + 1;
            let text = text.map_err(|source| ReadError::Io {
                line: line - 1,
                source,
            })?;
            let record = serde_json::from_str(&text);
            records.push(record.map_err(|source| ReadError::Line { line, source })?);
        }
        Ok(Self { records })
    }

    /// Writes one record a line.
    ///
    /// # Errors
    /// Of the output.
    pub fn write(&self, mut output: impl Write) -> std::io::Result<()> {
        for record in &self.records {
            serde_json::to_writer(&mut output, record)?;
            output.write_all(b"\n")?;
        }
        output.flush()
    }

    /// Adds a record at the end.
    pub fn push(&mut self, at_ms: u64, event: Event) {
        self.records.push(Record { at_ms, event });
    }
}

impl From<Vec<Record>> for History {
    fn from(records: Vec<Record>) -> Self {
        Self { records }
    }
}
