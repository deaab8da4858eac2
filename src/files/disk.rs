//! Every way in which this shell changes the disk, in one place: so that each failure names its file, and a test can
//! fail any one of them.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::FilesError;
use crate::limits::FILES_WRITE_BYTES;

/// Asked before each change to the disk; an error is what the disk would have said.
pub type Fault = Box<dyn FnMut(Change, &Path) -> io::Result<()> + Send>;

/// A change to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Folder,
    Create,
    Append,
    Sync,
    Rename,
    Remove,
    Truncate,
}

pub struct Disk {
    /// Whether what is committed is to survive a power failure, not only the end of the process.
    pub durable: bool,
    pub fault: Option<Fault>,
}

impl Disk {
    fn attempt<T>(
        &mut self,
        change: Change,
        path: &Path,
        action: impl FnOnce(&Path) -> io::Result<T>,
    ) -> Result<T, FilesError> {
        let allowed = self.fault.as_mut().map_or(Ok(()), |fault| fault(change, path));
        allowed.and_then(|()| action(path)).map_err(|error| cannot_write(path, &error))
    }

    pub fn create_folder(&mut self, path: &Path) -> Result<(), FilesError> {
        self.attempt(Change::Folder, path, |path| fs::create_dir_all(path))
    }

    /// Writes a file whole or not at all: under `scratch` first.
    pub fn write_whole(&mut self, path: &Path, scratch: &Path, bytes: &[u8], sync: bool) -> Result<(), FilesError> {
        let sync = sync && self.durable;
        self.attempt(Change::Create, scratch, |scratch| {
            let mut file = File::create(scratch)?;
            file.write_all(bytes)?;
            if sync { file.sync_all() } else { Ok(()) }
        })?;
        self.attempt(Change::Rename, path, |path| fs::rename(scratch, path))
    }

    /// Makes sure that files and the names in `folder` are on the disk.
    pub fn sync_files(&mut self, folder: &Path, files: &[PathBuf]) -> Result<(), FilesError> {
        if !self.durable || files.is_empty() {
            return Ok(());
        }
        self.attempt(Change::Sync, folder, |folder| {
            files.par_iter().try_for_each(|path| File::open(path)?.sync_all())?;
            File::open(folder)?.sync_all()
        })
    }

    pub fn sync_folder(&mut self, folder: &Path) -> Result<(), FilesError> {
        if !self.durable {
            return Ok(());
        }
        self.attempt(Change::Sync, folder, |folder| File::open(folder)?.sync_all())
    }

    pub fn remove(&mut self, path: &Path) -> Result<(), FilesError> {
        self.attempt(Change::Remove, path, |path| match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        })
    }

    /// Opens a file to append to, cut to what was committed of it.
    pub fn open_append(&mut self, path: PathBuf, committed: u64) -> Result<AppendFile, FilesError> {
        let file = self.attempt(Change::Create, &path, |path| {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
        })?;
        let length = file.metadata().map_err(|error| cannot_write(&path, &error))?.len();
        if length < committed {
            return Err(FilesError::Failed(format!(
                "{} has {length} bytes, but {committed} were committed: somebody changed it; begin again with a new --out",
                path.display()
            )));
        }
        let mut opened = AppendFile { path, file, buffer: Vec::new(), length: committed };
        if length > committed {
            let file = &opened.file;
            self.attempt(Change::Truncate, &opened.path, |_| file.set_len(committed))?;
        }
        opened.file.seek(SeekFrom::Start(committed)).map_err(|error| cannot_write(&opened.path, &error))?;
        Ok(opened)
    }
}

/// A file that only grows. What is appended reaches the disk at [`AppendFile::commit`] at the latest.
pub struct AppendFile {
    pub path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// With what is buffered.
    pub length: u64,
}

impl AppendFile {
    pub fn append(&mut self, disk: &mut Disk, parts: &[&[u8]]) -> Result<(), FilesError> {
        for part in parts {
            self.buffer.extend_from_slice(part);
            self.length += part.len() as u64;
        }
        if self.buffer.len() >= FILES_WRITE_BYTES { self.flush(disk) } else { Ok(()) }
    }

    pub fn flush(&mut self, disk: &mut Disk) -> Result<(), FilesError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let (file, buffer) = (&mut self.file, &self.buffer);
        disk.attempt(Change::Append, &self.path, |_| file.write_all(buffer))?;
        self.buffer.clear();
        self.buffer.shrink_to(4 * FILES_WRITE_BYTES);
        Ok(())
    }

    /// Takes back all behind `committed` bytes, written or not.
    pub fn cut(&mut self, disk: &mut Disk, committed: u64) -> Result<(), FilesError> {
        self.buffer.clear();
        self.length = committed;
        let file = &mut self.file;
        disk.attempt(Change::Truncate, &self.path, |_| {
            file.set_len(committed)?;
            file.seek(SeekFrom::Start(committed)).map(|_| ())
        })
    }

    pub fn commit(&mut self, disk: &mut Disk) -> Result<(), FilesError> {
        self.flush(disk)?;
        if !disk.durable {
            return Ok(());
        }
        let file = &self.file;
        disk.attempt(Change::Sync, &self.path, |_| file.sync_data())
    }
}

pub fn cannot_write(path: &Path, error: &io::Error) -> FilesError {
    FilesError::Failed(format!(
        "cannot write {}: {error}. What was committed stays as it is: mend the cause and run the same command again, it goes on from there",
        path.display()
    ))
}
