//! Writes what turns put out, and commits it: `commit.json` says how far every file counts, and a rename puts it in
//! place. What lies behind those lengths is cut off by whoever goes on.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    ENVELOPES_TOPIC, FilesError, Summary, cannot_read,
    changelog::Changelog,
    collate::PARTITION,
    disk::{AppendFile, Disk},
    index::{Cursor, Index},
};
use crate::{
    arrival::{Input, Position, Timestamp},
    correlate::Place,
    limits,
    mail::Digest,
    record::{self, Status},
    turn::{ArchiveFormat, Outgoing, Output, Written},
};

const COMMIT_VERSION: u32 = 1;

/// The outputs that are files of lines.
const LINES: [(Output, &str); 5] = [
    (Output::Archive, "archive.jsonl"),
    (Output::Ndr, "ndr.jsonl"),
    (Output::Activity, "activity.jsonl"),
    (Output::Ledger, "ledger.jsonl"),
    (Output::Rejected, "rejected.jsonl"),
];

/// The state that a collate goes on from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Commit {
    version: u32,
    /// Of the input and the manner of reading it.
    fingerprint: String,
    pub finished: bool,
    pub read: Cursor,
    /// How far time has run.
    pub now: Timestamp,
    /// Committed bytes of each file of lines.
    lengths: BTreeMap<String, u64>,
    drafts: DraftsLog,
    pub summary: Summary,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct DraftsLog {
    number: u64,
    length: u64,
}

/// The output folder, locked and brought to its last commit.
pub struct Writer {
    folder: PathBuf,
    disk: Disk,
    archive_format: ArchiveFormat,
    files: Vec<AppendFile>,
    drafts: Changelog,
    /// Where the drafts lie that were written since this was last asked.
    placed: Vec<Written>,
    pub commit: Commit,
    /// Files that the next commit counts, by their folder.
    written: BTreeMap<PathBuf, Vec<PathBuf>>,
    /// Those of them that were not there before.
    made: Vec<PathBuf>,
    /// Bytes put out since the last commit.
    pub uncommitted_bytes: u64,
    /// Held for as long as this lives.
    _lock: File,
}

/// What an output folder holds when it is opened.
pub enum Opened {
    /// Nothing, or part of this input's output.
    Writing(Box<Writer>),
    /// All of it.
    Finished(Summary),
}

pub struct Opening<'a> {
    pub folder: &'a Path,
    pub fingerprint: &'a str,
    pub archive_format: ArchiveFormat,
    /// Bytes ([`limits::FILES_COMPACT_BYTES_MIN`]).
    pub compact_bytes_min: u64,
}

impl Writer {
    /// Opens the folder, cuts every file to its committed length, and hands out the committed drafts.
    pub fn open(
        opening: &Opening<'_>,
        mut disk: Disk,
        restore: impl FnMut(Place, &[u8], Option<&[u8]>),
    ) -> Result<Opened, FilesError> {
        let folder = opening.folder;
        let state = state_folder(folder);
        refuse_foreign(folder)?;
        disk.create_folder(&state)?;
        let lock = lock(folder, &state)?;
        let commit = match read_commit(folder, opening.fingerprint)? {
            Some(commit) if commit.finished => {
                clean(&mut disk, &state, None)?;
                return Ok(Opened::Finished(commit.summary));
            }
            Some(commit) => commit,
            None => begin(&mut disk, folder, opening)?,
        };
        clean(&mut disk, &state, Some(commit.drafts.number))?;
        for name in ["originals", "rejected"] {
            disk.create_folder(&folder.join(name))?;
        }
        let mut files = Vec::new();
        for (_, name) in LINES {
            files.push(disk.open_append(folder.join(name), commit.lengths.get(name).copied().unwrap_or(0))?);
        }
        let DraftsLog { number, length } = commit.drafts;
        let drafts = Changelog::open(&mut disk, &state, number, length, opening.compact_bytes_min, restore)?;
        Ok(Opened::Writing(Box::new(Writer {
            folder: folder.to_owned(),
            disk,
            archive_format: opening.archive_format,
            files,
            drafts,
            placed: Vec::new(),
            commit,
            written: BTreeMap::new(),
            made: Vec::new(),
            uncommitted_bytes: 0,
            _lock: lock,
        })))
    }

    /// Takes one value; it counts from the next commit on.
    pub fn write(&mut self, outgoing: &Outgoing, index: &Index) -> Result<(), FilesError> {
        for (digest, bytes) in &outgoing.originals {
            self.write_file("originals", &format!("{digest}.eml"), bytes)?;
        }
        let value = outgoing.value.as_deref();
        match (outgoing.output, value) {
            (Output::Drafts, _) => self.write_draft(outgoing),
            (Output::Strays, _) => unreachable!("with one partition every arrival is at home"),
            (Output::Rejected, Some(value)) => self.write_rejected(outgoing, value, index),
            (Output::Archive, Some(value)) if self.archive_format == ArchiveFormat::Report => {
                self.write_report(outgoing, value)
            }
            (output, Some(value)) => self.write_line(output, value),
            (_, None) => Ok(()),
        }
    }

    fn write_draft(&mut self, outgoing: &Outgoing) -> Result<(), FilesError> {
        let (key, value) = (outgoing.key.clone().unwrap_or_default(), outgoing.value.as_deref());
        self.uncommitted_bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
        let place = self.drafts.append(&mut self.disk, &key, value)?;
        if value.is_some() {
            self.placed.push(Written { partition: PARTITION, key, place });
        }
        Ok(())
    }

    /// Where the drafts lie that were written since this was last asked.
    pub fn take_placed(&mut self) -> Vec<Written> {
        std::mem::take(&mut self.placed)
    }

    pub fn read_drafts(&mut self, places: &[Place]) -> Result<Vec<Bytes>, FilesError> {
        self.drafts.read(&mut self.disk, places)
    }

    /// Hands out the drafts anew, from their committed log.
    pub fn restore(&self, restore: impl FnMut(Place, &[u8], Option<&[u8]>)) -> Result<(), FilesError> {
        self.drafts.restore(restore)
    }

    fn write_line(&mut self, output: Output, line: &[u8]) -> Result<(), FilesError> {
        let number =
            LINES.iter().position(|(of, _)| *of == output).expect("every output but drafts and strays has its file");
        self.uncommitted_bytes += line.len() as u64 + 1;
        self.files[number].append(&mut self.disk, &[line.trim_ascii_end(), b"\n"])
    }

    /// A rejected arrival: its bytes as a file, the why and where as a line.
    fn write_rejected(&mut self, outgoing: &Outgoing, bytes: &[u8], index: &Index) -> Result<(), FilesError> {
        let text = |name: &str| header(outgoing, name).map(|text| text.into_owned()).unwrap_or_default();
        let position = rejected_position(outgoing);
        let offset = position.map_or(-1, |position| position.offset);
        let topic = text("topic");
        let extension = if topic == ENVELOPES_TOPIC { "json" } else { "eml" };
        let name = format!("{topic}-{offset}.{extension}");
        let line = RejectedLine {
            partition: position.map_or(-1, |position| position.partition),
            offset,
            reason: text("reason"),
            detail: text("detail"),
            source: position.and_then(|position| index.entry(position)).map(|entry| index.source(entry)),
            file: format!("rejected/{name}"),
            topic,
        };
        self.write_file("rejected", &name, bytes)?;
        let line = serde_json::to_vec(&line).map_err(|error| FilesError::Failed(error.to_string()))?;
        self.write_line(Output::Rejected, &line)
    }

    /// A merged journal report: the mail as a file named by its hash, with a line that says which record it is.
    fn write_report(&mut self, outgoing: &Outgoing, mail: &[u8]) -> Result<(), FilesError> {
        let sha256 = Digest::of(mail);
        let name = format!("{sha256}.eml");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let record = record::report::read(mail);
        let line = ReportLine {
            revision: record.as_ref().map(|record| record.revision),
            status: record.as_ref().map(|record| record.status),
            record_id: record.map(|record| record.record_id),
            key: outgoing.key.as_deref().map(text),
            headers: outgoing.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            file: format!("archive/{name}"),
            sha256,
            size: mail.len() as u64,
        };
        self.write_file("archive", &name, mail)?;
        let line = serde_json::to_vec(&line).map_err(|error| FilesError::Failed(error.to_string()))?;
        self.write_line(Output::Archive, &line)
    }

    /// Writes a file whose name its bytes or its arrival decide: written again it is the same.
    fn write_file(&mut self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), FilesError> {
        let folder = self.folder.join(folder);
        let path = folder.join(name);
        self.uncommitted_bytes += bytes.len() as u64;
        if !self.written.contains_key(&folder) {
            self.disk.create_folder(&folder)?;
        }
        // What was killed or lost its power leaves files with or without their bytes, and synced by nobody.
        let there = fs::metadata(&path).ok();
        let is_same = there.as_ref().is_some_and(|meta| meta.len() == bytes.len() as u64)
            && fs::read(&path).is_ok_and(|found| found == bytes);
        if !is_same {
            let scratch = state_folder(&self.folder).join("scratch");
            self.disk.write_whole(&path, &scratch, bytes, false)?;
        }
        if there.is_none() {
            self.made.push(path.clone());
        }
        self.written.entry(folder).or_default().push(path);
        Ok(())
    }

    /// Makes all that was written count, with `read` and `now` as where to go on. Says whether the drafts lie elsewhere now.
    pub fn commit(&mut self, read: Cursor, now: Timestamp) -> Result<bool, FilesError> {
        for (folder, files) in std::mem::take(&mut self.written) {
            self.disk.sync_files(&folder, &files)?;
        }
        for (file, (_, name)) in self.files.iter_mut().zip(LINES) {
            file.commit(&mut self.disk)?;
            self.commit.lengths.insert(name.to_owned(), file.length);
        }
        let state = state_folder(&self.folder);
        let replaced = self.drafts.commit(&mut self.disk, &state)?;
        self.commit.read = read;
        self.commit.now = now;
        self.commit.drafts = DraftsLog { number: self.drafts.number, length: self.drafts.length() };
        // From here on they may count, also where this fails.
        self.made.clear();
        write_commit(&mut self.disk, &self.folder, &self.commit)?;
        self.uncommitted_bytes = 0;
        match &replaced {
            Some(log) => self.disk.remove(log).map(|()| true),
            None => Ok(false),
        }
    }

    /// After an error: takes back what no commit counts, as far as the disk lets it. Returns the commit that counts.
    pub fn cut_back(&mut self) -> Result<Commit, FilesError> {
        // Asked of the disk: where a commit failed, nobody here knows which one it has.
        let commit = read_commit(&self.folder, &self.commit.fingerprint)?.unwrap_or_else(|| self.commit.clone());
        for (file, (_, name)) in self.files.iter_mut().zip(LINES) {
            file.cut(&mut self.disk, commit.lengths.get(name).copied().unwrap_or(0))?;
        }
        for path in std::mem::take(&mut self.made) {
            self.disk.remove(&path)?;
        }
        Ok(commit)
    }

    /// The last commit: the output is whole, and what was only needed to go on is removed.
    pub fn finish(&mut self, read: Cursor, now: Timestamp) -> Result<Summary, FilesError> {
        self.commit.finished = true;
        self.commit(read, now)?;
        clean(&mut self.disk, &state_folder(&self.folder), None)?;
        Ok(self.commit.summary)
    }
}

/// Where a rejected arrival lay, as its headers say.
pub fn rejected_position(outgoing: &Outgoing) -> Option<Position> {
    if outgoing.output != Output::Rejected {
        return None;
    }
    let input = if header(outgoing, "topic")? == ENVELOPES_TOPIC { Input::Envelopes } else { Input::Reports };
    let partition = header(outgoing, "partition")?.parse().ok()?;
    Some(Position { input, partition, offset: header(outgoing, "offset")?.parse().ok()? })
}

fn header<'a>(outgoing: &'a Outgoing, name: &str) -> Option<Cow<'a, str>> {
    let found = outgoing.headers.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| String::from_utf8_lossy(value))
}

#[derive(Serialize)]
struct RejectedLine {
    topic: String,
    partition: i32,
    offset: i64,
    reason: String,
    detail: String,
    source: Option<String>,
    file: String,
}

#[derive(Serialize)]
struct ReportLine {
    record_id: Option<String>,
    revision: Option<i32>,
    status: Option<Status>,
    key: Option<String>,
    #[serde(flatten)]
    headers: BTreeMap<String, String>,
    file: String,
    sha256: Digest,
    size: u64,
}

fn state_folder(folder: &Path) -> PathBuf {
    folder.join(".mailjournal")
}

fn commit_path(folder: &Path) -> PathBuf {
    state_folder(folder).join("commit.json")
}

/// A lock that ends with the process, however it ends.
fn lock(folder: &Path, state: &Path) -> Result<File, FilesError> {
    let path = state.join("lock");
    let file = File::create(&path).map_err(|error| super::disk::cannot_write(&path, &error))?;
    // A child that this process is just starting holds a copy of every open file until it runs its own program.
    let mut tries = (0..limits::FILES_LOCK_TRIES).map(|_| file.try_lock());
    let taken = tries.find(|taken| {
        let held = matches!(taken, Err(TryLockError::WouldBlock));
        if held {
            std::thread::sleep(limits::FILES_LOCK_PAUSE);
        }
        !held
    });
    match taken.unwrap_or(Err(TryLockError::WouldBlock)) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FilesError::Failed(format!(
            "another collate is writing {}: wait until it has ended, or name another --out",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(super::disk::cannot_write(&path, &error)),
    }
}

fn read_commit(folder: &Path, fingerprint: &str) -> Result<Option<Commit>, FilesError> {
    let path = commit_path(folder);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot_read(&path, &error)),
    };
    let commit: Commit = serde_json::from_slice(&text).map_err(|error| {
        FilesError::Failed(format!("{} cannot be understood ({error}): begin again with a new --out", path.display()))
    })?;
    if commit.version != COMMIT_VERSION || commit.fingerprint != fingerprint {
        return Err(FilesError::Usage(format!(
            "{} holds the output of another input, or of this one before it or the settings changed: name another --out",
            folder.display()
        )));
    }
    Ok(Some(commit))
}

/// A folder in which something lies, but no commit that says where it comes from, is somebody else's.
fn refuse_foreign(folder: &Path) -> Result<(), FilesError> {
    if commit_path(folder).exists() {
        return Ok(());
    }
    // What cannot be listed is not there yet, or told when it is written to.
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    let state = state_folder(folder);
    match entries.flatten().map(|entry| entry.path()).filter(|path| *path != state).min() {
        None => Ok(()),
        Some(found) => Err(FilesError::Usage(format!(
            "{} is not empty: it holds {}, and no collate wrote it there; name a new or an empty folder as --out",
            folder.display(),
            found.file_name().unwrap_or_default().display()
        ))),
    }
}

/// The first commit, of nothing: from it on, what lies in the folder is known to be ours.
fn begin(disk: &mut Disk, folder: &Path, opening: &Opening<'_>) -> Result<Commit, FilesError> {
    let commit = Commit {
        version: COMMIT_VERSION,
        fingerprint: opening.fingerprint.to_owned(),
        finished: false,
        read: Cursor::default(),
        now: Timestamp(i64::MIN),
        lengths: BTreeMap::new(),
        drafts: DraftsLog { number: 0, length: 0 },
        summary: Summary::default(),
    };
    write_commit(disk, folder, &commit)?;
    Ok(commit)
}

fn write_commit(disk: &mut Disk, folder: &Path, commit: &Commit) -> Result<(), FilesError> {
    let state = state_folder(folder);
    let text = serde_json::to_vec_pretty(commit).map_err(|error| FilesError::Failed(error.to_string()))?;
    disk.sync_folder(folder)?;
    disk.write_whole(&commit_path(folder), &state.join("commit.new"), &text, true)?;
    disk.sync_folder(&state)
}

/// Removes what a collate that was stopped left in the state folder, but the log of drafts named.
fn clean(disk: &mut Disk, state: &Path, keep: Option<u64>) -> Result<(), FilesError> {
    let keep = keep.map(|number| Changelog::path(state, number));
    let entries = fs::read_dir(state).map_err(|error| cannot_read(state, &error))?;
    for entry in entries {
        let path = entry.map_err(|error| cannot_read(state, &error))?.path();
        let name = path.file_name().unwrap_or_default();
        if name != "commit.json" && name != "lock" && Some(&path) != keep.as_ref() {
            disk.remove(&path)?;
        }
    }
    Ok(())
}
