//! Reads the folder of a journal and changes nothing in it: for the offline check.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    JournalError, JournalLog, Recovered,
    disk::Disk,
    folder::{self, Listing},
    header::Identity,
    identity,
    log::FileLog,
    names,
    ready::{Shared, State},
    recovery::survey,
    segment::SegmentMaker,
    watermark::{Position, Watermark},
};

/// What an offline look at a journal found.
#[derive(Debug)]
pub(crate) struct Inspection {
    /// Every file, in the order of use.
    pub(crate) files: Vec<InspectedFile>,
    /// What an open would recover, a torn tail counted and not cut; and the batches themselves.
    /// `None` when an open would be refused.
    pub(crate) whole: Option<(Recovered, Arc<dyn JournalLog>)>,
}

/// One file of a journal.
#[derive(Debug)]
pub(crate) struct InspectedFile {
    /// Where it is, or should be.
    pub(crate) path: PathBuf,
    /// What it holds, in words, or what is wrong with it.
    pub(crate) finding: Result<String, JournalError>,
}

/// Looks at the journal in `dir`; a folder that is not there is an empty journal.
///
/// # Errors
/// When the folder cannot be listed.
pub(crate) fn inspect(dir: &Path) -> Result<Inspection, JournalError> {
    let disk = Disk::read_only();
    let listing = if dir.is_dir() {
        folder::list(&disk, dir)?
    } else {
        Listing::default()
    };
    let mut files = Vec::new();
    let whole = look(&disk, dir, &listing, &mut files);
    let others = [
        (&listing.spares, "spare, waits for its next use"),
        (
            &listing.unfinished,
            "unfinished, of a broker that was killed; the next start removes it",
        ),
        (&listing.foreign, "not of the journal, passed over"),
    ];
    for (paths, what) in others {
        files.extend(paths.iter().map(|path| InspectedFile {
            path: path.clone(),
            finding: Ok(what.to_owned()),
        }));
    }
    Ok(Inspection { files, whole })
}

/// A journal without a batch.
pub(crate) fn no_batches(dir: &Path) -> Arc<dyn JournalLog> {
    log(dir, Identity(0), State::default())
}

fn look(
    disk: &Disk,
    dir: &Path,
    listing: &Listing,
    files: &mut Vec<InspectedFile>,
) -> Option<(Recovered, Arc<dyn JournalLog>)> {
    let is_new = !listing.has_identity && !listing.has_watermark && listing.numbers.is_empty();
    if is_new {
        return Some((Recovered::default(), no_batches(dir)));
    }
    let identity = named(files, dir.join(names::IDENTITY_NAME), |path| {
        let identity = if listing.has_identity {
            identity::read(disk, dir)?
        } else {
            return Err(folder::missing(path));
        };
        Ok((identity, "the identity of the journal".to_owned()))
    });
    let identity = identity?;
    let watermark = named(files, dir.join(names::WATERMARK_NAME), |path| {
        if !listing.has_watermark {
            return Err(folder::missing(path));
        }
        let position = Watermark::open(disk, dir, identity)?.position();
        let text = format!("durable up to {} at least", position.lsn);
        Ok((position, text))
    });
    let maker = SegmentMaker {
        disk: disk.clone(),
        folder: dir.to_owned(),
        identity,
        segment_bytes: 0,
    };
    let position = watermark.unwrap_or_else(Position::default);
    let survey = survey(&maker, &listing.numbers, position);
    for (number, held) in survey.segments {
        let finding = held.map(|range| match range {
            Some(range) => format!("events {} to {}", range.first_lsn, range.last_lsn),
            None => "no events".to_owned(),
        });
        files.push(InspectedFile {
            path: names::segment(dir, number),
            finding,
        });
    }
    let recovery = match survey.whole? {
        Ok(recovery) => recovery,
        Err(error) => {
            files.push(InspectedFile {
                path: dir.to_owned(),
                finding: Err(error),
            });
            return None;
        }
    };
    watermark?;
    let state = State {
        live: recovery.live,
        shards: recovery.shards,
        position: recovery.position,
        ..State::default()
    };
    Some((recovery.summary, log(dir, identity, state)))
}

/// Notes one of the two files that a journal has once.
fn named<T>(
    files: &mut Vec<InspectedFile>,
    path: PathBuf,
    read: impl FnOnce(PathBuf) -> Result<(T, String), JournalError>,
) -> Option<T> {
    let (value, finding) = match read(path.clone()) {
        Ok((value, text)) => (Some(value), Ok(text)),
        Err(error) => (None, Err(error)),
    };
    files.push(InspectedFile { path, finding });
    value
}

fn log(dir: &Path, identity: Identity, state: State) -> Arc<dyn JournalLog> {
    let shared = Arc::new(Shared::new(dir.to_owned(), state));
    Arc::new(FileLog::new(shared, identity))
}
