//! Why a broker does not start. Each text says what to do next.

use std::io;
use std::path::PathBuf;

use crate::engine::Failure;
use crate::lock::FolderOwner;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("the configuration cannot be used: {0}")]
    Config(String),
    /// The data folder cannot be used.
    #[error(
        "cannot {what} ({}): {source}. Check that the path is right, that this user may write there \
         and that the disk is healthy and not full, then start again", path.display()
    )]
    Folder {
        /// The folder or the file in it.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another broker has it.
    #[error(
        "{} uses the data folder {}. Stop it first, or name another folder",
        named(owner.as_ref()), path.display()
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who has it, if that could be read.
        owner: Option<FolderOwner>,
    },
    /// It holds something else.
    #[error("{} was not written by verteilt. Name another data folder", path.display())]
    NotAFolder {
        /// The folder that holds other files.
        path: PathBuf,
    },
    /// The file that names it is gone or damaged.
    #[error(
        "{} {why}, so nothing beside it can be trusted. Check the disk, then restore the data \
         folder from a copy; or name another one if this is not a data folder", path.display()
    )]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It was written by another version.
    #[error(
        "{} has format {format}, which this version does not know. Start the version that wrote it",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u8,
    },
    /// The journal begins after the store ends.
    #[error(
        "the store holds events up to {store}, the journal begins at {journal}: what is between \
         is missing. Restore the whole data folder from one copy"
    )]
    Gap {
        /// Last event in the store.
        store: u64,
        /// First event in the journal.
        journal: u64,
    },
    /// The journal is gone or ends before the store does.
    #[error(
        "the store holds events up to {store}, the journal ends at {journal}. The folder \
         `journal` was removed or replaced; restore the whole data folder from one copy"
    )]
    JournalBehind {
        /// Last event in the store.
        store: u64,
        /// Last event in the journal.
        journal: u64,
    },
    /// What is on disk cannot be read.
    #[error("{0}")]
    Recovery(#[from] Failure),
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}. Is another broker running there? Name another \
         address, or port 0 for a free one"
    )]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread or runtime could be made.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

fn named(owner: Option<&FolderOwner>) -> String {
    match owner {
        Some(owner) if owner.is_this_process => "another broker of this process".to_owned(),
        Some(owner) => format!(
            "the broker of process {} ({})",
            owner.process, owner.program
        ),
        None => "another broker".to_owned(),
    }
}
