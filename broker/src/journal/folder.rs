//! Opens the folder of a journal: tells a new one from an old one, tidies up after a crash, and
//! makes the first segment.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    JournalError, JournalOptions, Recovered,
    disk::Disk,
    header::Identity,
    identity,
    index::Index,
    names::{self, Kind},
    ready::{Live, State},
    recovery::recover,
    segment::SegmentMaker,
    watermark::Watermark,
};

/// An opened folder.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) maker: SegmentMaker,
    pub(super) watermark: Watermark,
    pub(super) state: State,
    pub(super) sequence: u64,
    pub(super) is_sealed: bool,
    pub(super) summary: Recovered,
}

/// What files there are.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) numbers: Vec<u64>,
    pub(super) spares: Vec<PathBuf>,
    pub(super) unfinished: Vec<PathBuf>,
    pub(super) foreign: Vec<PathBuf>,
    pub(super) has_identity: bool,
    pub(super) has_watermark: bool,
}

pub(super) fn open(
    disk: Disk,
    folder: &Path,
    options: &JournalOptions,
) -> Result<Opened, JournalError> {
    disk.create_folder(folder)?;
    let listing = list(&disk, folder)?;
    tidy(&disk, folder, &listing)?;
    let identity = open_identity(&disk, folder, &listing)?;
    let mut watermark = open_watermark(&disk, folder, identity, &listing)?;
    let segment_bytes = options.segment_bytes;
    let maker = SegmentMaker {
        disk,
        folder: folder.to_owned(),
        identity,
        segment_bytes,
    };

    let recovery = recover(&maker, &listing.numbers, watermark.position())?;
    watermark.advance(recovery.position)?;

    let mut state = State {
        live: recovery.live,
        ready: recovery.ready,
        spares: keep_spares(&maker, listing.spares, options)?,
        shards: recovery.shards,
        position: recovery.position,
        next_number: listing.numbers.last().map_or(1, |last| last + 1),
        ..State::default()
    };
    if state.live.is_empty() {
        let segment = Arc::new(maker.create(state.next_number)?);
        state.next_number += 1;
        let index = Index::new(segment.bytes);
        state.live.push_back(Live { segment, index });
    }
    Ok(Opened {
        maker,
        watermark,
        state,
        sequence: recovery.sequence,
        is_sealed: recovery.is_sealed,
        summary: recovery.summary,
    })
}

pub(super) fn list(disk: &Disk, folder: &Path) -> Result<Listing, JournalError> {
    let mut listing = Listing::default();
    for name in disk.names(folder)? {
        match names::kind(&name) {
            Kind::Segment(number) => listing.numbers.push(number),
            Kind::Spare => listing.spares.push(folder.join(name)),
            Kind::Unfinished => listing.unfinished.push(folder.join(name)),
            Kind::Identity => listing.has_identity = true,
            Kind::Watermark => listing.has_watermark = true,
            Kind::Foreign => listing.foreign.push(folder.join(name)),
        }
    }
    listing.numbers.sort_unstable();
    listing.spares.sort_unstable();
    Ok(listing)
}

/// Removes what was being made when the broker ended.
fn tidy(disk: &Disk, folder: &Path, listing: &Listing) -> Result<(), JournalError> {
    for path in &listing.unfinished {
        disk.remove(path)?;
    }
    if !listing.unfinished.is_empty() {
        disk.sync_folder(folder)?;
    }
    Ok(())
}

fn open_identity(disk: &Disk, folder: &Path, listing: &Listing) -> Result<Identity, JournalError> {
    if listing.has_identity {
        return identity::read(disk, folder);
    }
    if listing.has_watermark || !listing.numbers.is_empty() {
        return Err(missing(folder.join(names::IDENTITY_NAME)));
    }
    identity::create(disk, folder)
}

fn open_watermark(
    disk: &Disk,
    folder: &Path,
    identity: Identity,
    listing: &Listing,
) -> Result<Watermark, JournalError> {
    if listing.has_watermark {
        return Watermark::open(disk, folder, identity);
    }
    if !listing.numbers.is_empty() {
        return Err(missing(folder.join(names::WATERMARK_NAME)));
    }
    Watermark::create(disk, folder, identity)
}

pub(super) fn missing(file: PathBuf) -> JournalError {
    let why = "the file is missing, though other files of the journal are there";
    JournalError::Damaged {
        file,
        lsn: 0,
        offset: 0,
        why,
    }
}

/// Keeps the spare files that the next uses can take, and deletes the others.
fn keep_spares(
    maker: &SegmentMaker,
    paths: Vec<PathBuf>,
    options: &JournalOptions,
) -> Result<Vec<PathBuf>, JournalError> {
    let mut kept = Vec::new();
    for path in paths {
        let bytes = maker.disk.open(&path)?.length()?;
        if bytes == u64::from(maker.segment_bytes) && kept.len() < options.recycled_segments_max {
            kept.push(path);
        } else {
            maker.disk.remove(&path)?;
        }
    }
    Ok(kept)
}
