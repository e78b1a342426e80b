//! The names in the folder of a journal.

use std::path::{Path, PathBuf};

pub(super) const IDENTITY_NAME: &str = "journal.meta";
pub(super) const WATERMARK_NAME: &str = "watermark";
const SUFFIX: &str = ".journal";
const SPARE_PREFIX: &str = "spare-";
const UNFINISHED_PREFIX: &str = "unfinished-";

/// What a name says that a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment with its use number.
    Segment(u64),
    /// A whole file that waits for its next use.
    Spare,
    /// A file that was being made when the broker ended.
    Unfinished,
    Identity,
    Watermark,
    /// Nothing of the journal's.
    Foreign,
}

pub(super) fn kind(name: &str) -> Kind {
    if name == IDENTITY_NAME {
        return Kind::Identity;
    }
    if name == WATERMARK_NAME {
        return Kind::Watermark;
    }
    if name.starts_with(UNFINISHED_PREFIX) {
        return Kind::Unfinished;
    }
    let Some(stem) = name.strip_suffix(SUFFIX) else {
        return Kind::Foreign;
    };
    if stem.starts_with(SPARE_PREFIX) {
        return Kind::Spare;
    }
    let digits = stem.len() == 16 && stem.bytes().all(|byte| byte.is_ascii_digit());
    stem.parse()
        .ok()
        .filter(|_| digits)
        .map_or(Kind::Foreign, Kind::Segment)
}

pub(super) fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016}{SUFFIX}"))
}

/// The name of a segment's file between two uses; `number` is the use that ended.
pub(super) fn spare(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{SPARE_PREFIX}{number:016}{SUFFIX}"))
}

/// The name of a file until it is whole and synced.
pub(super) fn unfinished(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{UNFINISHED_PREFIX}{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_what_the_file_is() {
        assert_eq!(kind("0000000000000007.journal"), Kind::Segment(7));
        assert_eq!(kind("spare-0000000000000007.journal"), Kind::Spare);
        assert_eq!(
            kind("unfinished-0000000000000007.journal"),
            Kind::Unfinished
        );
        assert_eq!(kind("journal.meta"), Kind::Identity);
        assert_eq!(kind("watermark"), Kind::Watermark);
        assert_eq!(kind("7.journal"), Kind::Foreign);
        assert_eq!(kind("+000000000000007.journal"), Kind::Foreign);
        assert_eq!(kind("notes.txt"), Kind::Foreign);
    }
}
