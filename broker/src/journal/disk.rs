//! Every system call of the journal that touches the disk, in one place: so that every error names
//! its file, and so that tests can make any one of them fail or record them all.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use bytes::{Bytes, BytesMut};

#[cfg(test)]
use super::tests::hook::{DiskHook, DiskOperation};
use super::{JournalError, aligned::Aligned, layout::PAGE_BYTES};

/// From here on a read passes by the page cache: batches are written past it, so nothing of them is
/// there, and the copy out of it costs more than the read. Smaller ones gain from its reading ahead.
const LARGE_READ_BYTES: usize = 64 * 1024;

/// The disk. In production nothing but the file system; in tests it may carry a hook.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// Existing files are opened for reading only, so that a write fails.
    pub(super) is_read_only: bool,
    #[cfg(test)]
    pub(super) hook: Option<std::sync::Arc<dyn DiskHook>>,
}

impl Disk {
    /// The disk as the offline check sees it: nothing that exists can be written.
    pub(super) fn read_only() -> Self {
        Self {
            is_read_only: true,
            #[cfg(test)]
            hook: None,
        }
    }

    /// Creates a file that must not exist yet.
    pub(super) fn create(&self, path: &Path) -> Result<DiskFile, JournalError> {
        #[cfg(test)]
        self.ask(&DiskOperation::Create(path), path, "create")?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        self.open_with(&options, path, "create")
    }

    /// Opens an existing file for reading and, unless the disk is read-only, writing.
    pub(super) fn open(&self, path: &Path) -> Result<DiskFile, JournalError> {
        let mut options = OpenOptions::new();
        options.read(true).write(!self.is_read_only);
        self.open_with(&options, path, "open")
    }

    fn open_with(
        &self,
        options: &OpenOptions,
        path: &Path,
        op: &'static str,
    ) -> Result<DiskFile, JournalError> {
        let file = options
            .open(path)
            .map_err(|source| refused(path, op, source))?;
        Ok(DiskFile {
            file,
            path: path.to_owned(),
            disk: self.clone(),
            past_cache: OnceLock::new(),
        })
    }

    /// Renames within a folder; durable after [`Disk::sync_folder`].
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), JournalError> {
        #[cfg(test)]
        self.ask(&DiskOperation::Rename(from, to), from, "rename")?;
        fs::rename(from, to).map_err(|source| refused(from, "rename", source))
    }

    /// Deletes a file; durable after [`Disk::sync_folder`].
    pub(super) fn remove(&self, path: &Path) -> Result<(), JournalError> {
        #[cfg(test)]
        self.ask(&DiskOperation::Remove(path), path, "delete")?;
        fs::remove_file(path).map_err(|source| refused(path, "delete", source))
    }

    /// Makes created, renamed and deleted names durable.
    pub(super) fn sync_folder(&self, folder: &Path) -> Result<(), JournalError> {
        #[cfg(test)]
        self.ask(&DiskOperation::SyncFolder, folder, "sync")?;
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| refused(folder, "sync", source))
    }

    /// Makes a folder and its parents, durably.
    pub(super) fn create_folder(&self, folder: &Path) -> Result<(), JournalError> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        self.create_folder(parent)?;
        fs::create_dir(folder).map_err(|source| refused(folder, "create", source))?;
        self.sync_folder(parent)
    }

    /// The names in a folder, in no order. Names that are not text are nothing of ours.
    pub(super) fn names(&self, folder: &Path) -> Result<Vec<String>, JournalError> {
        let listing = fs::read_dir(folder).map_err(|source| refused(folder, "list", source))?;
        let mut names = Vec::new();
        for entry in listing {
            let entry = entry.map_err(|source| refused(folder, "list", source))?;
            names.extend(entry.file_name().into_string());
        }
        Ok(names)
    }

    #[cfg(test)]
    fn ask(
        &self,
        operation: &DiskOperation<'_>,
        path: &Path,
        op: &'static str,
    ) -> Result<(), JournalError> {
        match &self.hook {
            Some(hook) => hook
                .before(operation)
                .map_err(|source| refused(path, op, source)),
            None => Ok(()),
        }
    }
}

/// One open file.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: File,
    path: PathBuf,
    #[cfg_attr(not(test), allow(dead_code))]
    disk: Disk,
    /// The same file for large reads, once there was one; `None` where that is not to be had.
    past_cache: OnceLock<Option<File>>,
}

impl DiskFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The same file for writes that pass by the page cache; `None` where that is not to be had. Such
    /// writes need memory that begins at a page, and offsets and lengths of whole sectors.
    pub(super) fn direct(&self) -> Option<Self> {
        let options = past_cache(OpenOptions::new().write(true))?;
        self.disk.open_with(&options, &self.path, "open").ok()
    }

    /// Follows a rename.
    pub(super) fn renamed(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// Writes all of `bytes`: one `pwrite` unless the kernel takes fewer.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), JournalError> {
        #[cfg(test)]
        self.disk.ask(
            &DiskOperation::Write(&self.path, offset, bytes),
            &self.path,
            "write",
        )?;
        self.file
            .write_all_at(bytes, offset)
            .map_err(|source| self.refused("write", source))
    }

    /// `fdatasync`: what was written is on the disk, and the size if it changed.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        #[cfg(test)]
        self.disk
            .ask(&DiskOperation::Sync(&self.path), &self.path, "sync")?;
        self.file
            .sync_data()
            .map_err(|source| self.refused("sync", source))
    }

    pub(super) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), JournalError> {
        self.file
            .read_exact_at(bytes, offset)
            .map_err(|source| self.refused("read", source))
    }

    /// Reads this many bytes into memory of their own.
    pub(super) fn read(&self, offset: u64, length: usize) -> Result<Bytes, JournalError> {
        if length >= LARGE_READ_BYTES
            && let Some(bytes) = self.read_past_cache(offset, length)
        {
            return Ok(bytes);
        }
        let mut bytes = BytesMut::zeroed(length);
        self.read_at(&mut bytes, offset)?;
        Ok(bytes.freeze())
    }

    /// None if that is not to be had, or fails: the other way either can, or names the error.
    fn read_past_cache(&self, offset: u64, length: usize) -> Option<Bytes> {
        let open = || {
            past_cache(OpenOptions::new().read(true))?
                .open(&self.path)
                .ok()
        };
        let file = self.past_cache.get_or_init(open).as_ref()?;
        let before = usize::try_from(offset % u64::from(PAGE_BYTES)).ok()?;
        let extent = (before + length).next_multiple_of(PAGE_BYTES as usize);
        let mut memory = Aligned::zeros(extent);
        let read = file.read_exact_at(memory.bytes_mut(), offset - before as u64);
        read.is_ok()
            .then(|| memory.into_part(before..before + length))
    }

    pub(super) fn length(&self) -> Result<u64, JournalError> {
        let metadata = self
            .file
            .metadata()
            .map_err(|source| self.refused("inspect", source))?;
        Ok(metadata.len())
    }

    fn refused(&self, op: &'static str, source: io::Error) -> JournalError {
        refused(&self.path, op, source)
    }
}

fn refused(path: &Path, op: &'static str, source: io::Error) -> JournalError {
    JournalError::Io {
        path: path.to_owned(),
        op,
        source,
    }
}

fn past_cache(options: &mut OpenOptions) -> Option<OpenOptions> {
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
    Some(options.custom_flags(direct).clone())
}

/// True when the file system does not take the write in this form.
pub(super) fn is_unsupported(error: &JournalError) -> bool {
    matches!(
        error,
        JournalError::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
        )
    )
}

/// True when the disk had no room, which may pass, unlike every other error.
pub(super) fn is_full(error: &JournalError) -> bool {
    matches!(
        error,
        JournalError::Io { source, .. } if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    )
}
