//! What an offline check found.

use std::path::PathBuf;

use serde::Serialize;

/// All that one check found. As JSON it has these fields by these names.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// What was checked.
    pub path: PathBuf,
    /// A data folder or a backup.
    pub kind: ReportKind,
    /// The one word.
    pub verdict: Verdict,
    /// Bytes of a last write that a crash tore; nobody was told of it, and the next start cuts it.
    pub torn_tail_bytes: u64,
    /// Every file, sound or not.
    pub files: Vec<FileReport>,
    /// Everything that is wrong; empty unless the verdict is damaged.
    pub problems: Vec<Problem>,
    /// The log sequence number of the checkpoint in the store; 0 when there is none.
    pub checkpoint_lsn: u64,
    /// The last log sequence number of all.
    pub last_lsn: u64,
    /// Jobs and bodies that were looked at.
    pub jobs: u64,
    /// Jobs by queue and state; empty when the state could not be brought together.
    pub queues: Vec<QueueReport>,
    /// Records that topics keep.
    pub records: u64,
    /// What topics keep; empty when the state could not be brought together.
    pub topics: Vec<TopicReport>,
}

/// What was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// The data folder of a broker.
    DataFolder,
    /// A file that a backup wrote.
    Backup,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything is there and proven.
    Sound,
    /// As above; the last write was torn by a crash, which is normal and loses nothing.
    SoundWithTornTail,
    /// Something that was durable is missing or changed.
    Damaged,
}

/// One file, or the files of the store together.
#[derive(Debug, Clone, Serialize)]
pub struct FileReport {
    /// Where it is, below the folder that was checked.
    pub file: PathBuf,
    /// Its size; 0 when it is missing.
    pub bytes: u64,
    /// Whether it is as it should be.
    pub sound: bool,
    /// What it holds or what is wrong, in words.
    pub what: String,
}

/// Something that is wrong.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// In which file, below the folder that was checked.
    pub file: PathBuf,
    /// Where in the file, if that is known.
    pub offset: Option<u64>,
    /// Which log sequence number should stand there, if that is known.
    pub lsn: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: &'static str,
}

/// The jobs of one queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct QueueReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub queue: String,
    /// Nothing is handed out.
    pub paused: bool,
    /// Jobs that wait for their time.
    pub scheduled: u64,
    /// Jobs that may run.
    pub ready: u64,
    /// Jobs that workers held.
    pub leased: u64,
    /// Jobs that wait for their time after a failed run.
    pub failed: u64,
    /// Jobs that used up their runs.
    pub dead: u64,
}

/// The records of one topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TopicReport {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// Records that are kept.
    pub records: u64,
    /// Bytes that are kept, with what stands around them.
    pub bytes: u64,
    /// Groups with a position.
    pub groups: u64,
}

impl Report {
    pub(crate) fn new(path: PathBuf, kind: ReportKind) -> Self {
        Self {
            path,
            kind,
            verdict: Verdict::Sound,
            torn_tail_bytes: 0,
            files: Vec::new(),
            problems: Vec::new(),
            checkpoint_lsn: 0,
            last_lsn: 0,
            jobs: 0,
            queues: Vec::new(),
            records: 0,
            topics: Vec::new(),
        }
    }

    /// Notes a file that is as it should be.
    pub(super) fn sound(&mut self, file: PathBuf, bytes: u64, what: impl Into<String>) {
        self.files.push(FileReport {
            file,
            bytes,
            sound: true,
            what: what.into(),
        });
    }

    /// Notes something that is wrong.
    pub(super) fn problem(&mut self, file: PathBuf, what: impl Into<String>) {
        self.add(file, None, None, what.into());
    }

    /// As [`Self::problem`], with the place.
    pub(super) fn add(
        &mut self,
        file: PathBuf,
        offset: Option<u64>,
        lsn: Option<u64>,
        what: String,
    ) {
        self.verdict = Verdict::Damaged;
        let advice = match self.kind {
            ReportKind::DataFolder => {
                "leave the folder as it is, check the disk, and restore a backup"
            }
            ReportKind::Backup => "do not restore this backup; take another one",
        };
        self.problems.push(Problem {
            file,
            offset,
            lsn,
            what,
            advice,
        });
    }

    /// Whether anything wrong was found so far.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.verdict == Verdict::Damaged
    }
}
