//! What there is to read, in reading order, without any mail's bytes: about 100 bytes of memory an arrival.
//!
//! Reading order: mails of a folder with an `arrivals.jsonl`, and envelope events, by time, then as listed; mails of
//! any other source in name order (an mbox's in its order). Sources are merged by time, a mail before an envelope event
//! of the same time, then as the paths were named.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader},
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::UNIX_EPOCH,
};

use sha2::{Digest as _, Sha256};

use super::{
    FilesError, Progress, Stage, cannot_read,
    listed::{self, BadLines, Listed},
    mbox::{self, Span},
    walk::{Source, walk},
};
use crate::{
    arrival::{Input, Position, Timestamp},
    limits::{ERROR_DETAIL_CHARS_MAX, FILES_ARRIVALS_MAX, FILES_READ_BYTES},
    mail::Digest,
};

/// One arrival: where its bytes lie and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Index into [`Index::files`].
    pub file: u32,
    pub span: Span,
    pub at: Timestamp,
    /// The line of an `arrivals.jsonl` that describes it.
    pub told: Option<Told>,
    /// By what the sources are merged: the highest time of its source so far.
    merge_at: Timestamp,
    /// The lowest time of this arrival and all that follow in its topic.
    floor: Timestamp,
}

/// A line of a file: which file, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub file: u32,
    pub length: u32,
    pub start: u64,
}

/// A file that holds arrivals or describes them.
#[derive(Debug, PartialEq, Eq)]
pub struct InputFile {
    pub path: PathBuf,
    /// An mbox, or lines: an arrival's source needs its byte offset as well.
    pub holds_many: bool,
    /// As it was found, before anything of it was read.
    pub stamp: Stamp,
}

/// What tells that a file has changed, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    length: u64,
    /// Nanoseconds since 1970; 0 where the file system does not tell.
    modified: u128,
}

impl Stamp {
    pub fn of(file: &File) -> io::Result<Stamp> {
        let meta = file.metadata()?;
        let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        Ok(Stamp { length: meta.len(), modified: modified.as_nanos() })
    }
}

/// How far both topics have been read: arrivals, which is the next offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    pub reports: u64,
    pub envelopes: u64,
}

#[derive(Debug, Default)]
pub struct Index {
    pub files: Vec<InputFile>,
    reports: Vec<Entry>,
    envelopes: Vec<Entry>,
    /// Tells this input, read in this way, from any other.
    pub fingerprint: String,
    /// Files that were not read ([`super::walk::Found::skipped`]).
    pub skipped: u64,
}

impl Index {
    /// Finds all arrivals of `paths`. `manner` is what else decides the output; `stop`, once set, ends it.
    pub fn build(
        paths: &[PathBuf],
        out: &Path,
        manner: &str,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Progress),
    ) -> Result<Index, FilesError> {
        let found = walk(paths, out)?;
        let index = Index { skipped: found.skipped, ..Index::default() };
        let mut builder = Builder { index, hash: Sha256::new(), bad_lines: BadLines::default(), stop, tell };
        builder.hash.update(manner);
        for source in found.sources {
            builder.take(source)?;
        }
        let Builder { mut index, hash, bad_lines, .. } = builder;
        bad_lines.check()?;
        index.fingerprint = Digest(hash.finalize().into()).to_string();
        for entries in [&mut index.reports, &mut index.envelopes] {
            // Stable, and within a source `merge_at` never falls: a merge of the sources.
            entries.sort_by_key(|entry| entry.merge_at);
            let mut floor = Timestamp(i64::MAX);
            for entry in entries.iter_mut().rev() {
                floor = floor.min(entry.at);
                entry.floor = floor;
            }
        }
        Ok(index)
    }

    pub fn arrivals(&self) -> u64 {
        (self.reports.len() + self.envelopes.len()) as u64
    }

    pub fn entry(&self, position: Position) -> Option<&Entry> {
        let entries = match position.input {
            Input::Reports => &self.reports,
            Input::Envelopes => &self.envelopes,
            Input::Strays => return None,
        };
        usize::try_from(position.offset).ok().and_then(|offset| entries.get(offset))
    }

    /// The next arrival at a cursor, which moves behind it.
    pub fn next(&self, cursor: &mut Cursor) -> Option<(Position, Entry)> {
        let report = self.reports.get(cursor.reports as usize);
        let envelope = self.envelopes.get(cursor.envelopes as usize);
        let envelope_first = match (report, envelope) {
            (Some(report), Some(envelope)) => envelope.merge_at < report.merge_at,
            (report, _) => report.is_none(),
        };
        let (input, entry, read) = match envelope_first {
            true => (Input::Envelopes, envelope?, &mut cursor.envelopes),
            false => (Input::Reports, report?, &mut cursor.reports),
        };
        let position = Position { input, partition: 0, offset: i64::try_from(*read).ok()? };
        *read += 1;
        Some((position, *entry))
    }

    /// The lowest time of all that is still to be read; none at the end.
    pub fn floor(&self, cursor: Cursor) -> Option<Timestamp> {
        let report = self.reports.get(cursor.reports as usize);
        let envelope = self.envelopes.get(cursor.envelopes as usize);
        report.into_iter().chain(envelope).map(|entry| entry.floor).min()
    }

    /// What the ledger calls an arrival's source: the file ([`path_text`]), and the byte offset in one that holds
    /// several.
    pub fn source(&self, entry: &Entry) -> String {
        let file = &self.files[entry.file as usize];
        let path = path_text(&file.path);
        if file.holds_many { format!("{path}@{}", entry.span.start) } else { path }
    }
}

/// A path as text that leads back to it: bytes that are no UTF-8 as `%` and two hex digits, and a `%` that could be
/// taken for the beginning of that as `%25`. All else stays, so that most paths are as a person knows them.
pub fn path_text(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (at, character) in valid.char_indices() {
            let next = valid.as_bytes()[at..].get(1..3);
            let is_taken = character == '%' && next.is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit));
            text.push(character);
            text.push_str(if is_taken { "25" } else { "" });
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
    }
    text
}

/// Why the mail that a line tells of was not found.
enum NotFound {
    BadLine(String),
    Failed(FilesError),
}

impl From<String> for NotFound {
    fn from(why: String) -> NotFound {
        NotFound::BadLine(why)
    }
}

impl From<FilesError> for NotFound {
    fn from(error: FilesError) -> NotFound {
        NotFound::Failed(error)
    }
}

struct Builder<'a> {
    index: Index,
    hash: Sha256,
    bad_lines: BadLines,
    stop: &'a AtomicBool,
    tell: &'a mut dyn FnMut(Progress),
}

/// A mail as found: an [`Entry`] whose time may not be known.
struct FoundMail {
    file: u32,
    span: Span,
    at: Option<Timestamp>,
    told: Option<Told>,
}

impl Builder<'_> {
    fn take(&mut self, source: Source) -> Result<(), FilesError> {
        let listed = source.arrivals.is_some();
        let mails = self.find_mails(&source)?;
        let mut entries = with_times(mails);
        if listed {
            entries.sort_by_key(|entry| entry.at);
        }
        self.index.reports.extend(rising(entries));
        if let Some(path) = &source.envelopes {
            let mut events = self.find_events(path)?;
            events.sort_by_key(|entry| entry.at);
            self.index.envelopes.extend(rising(events));
        }
        check_count(self.index.arrivals())
    }

    /// The mails that an `arrivals.jsonl` lists, as it lists them, then all others in name order.
    fn find_mails(&mut self, source: &Source) -> Result<Vec<FoundMail>, FilesError> {
        let Some(list) = &source.arrivals else {
            let mut mails = Vec::new();
            for path in &source.mails {
                let mut opened = self.open_mails(path)?;
                self.add_untold(&mut opened.handle, opened.file, opened.spans, &mut mails)?;
            }
            return Ok(mails);
        };
        let (handle, stamp) = open(list)?;
        let list_file = self.add_file(list.clone(), stamp, true)?;
        let mut files = Vec::new();
        let mut by_path = HashMap::new();
        for path in &source.mails {
            by_path.insert(path.clone(), files.len());
            files.push(ListedFile::new(self.open_mails(path)?));
        }
        let mut mails = Vec::new();
        listed::for_each_line(BufReader::with_capacity(FILES_READ_BYTES, handle), |line| {
            match self.find_told(&line, &source.folder, &mut files, &mut by_path) {
                Ok((mail, length)) => {
                    let told = Some(Told { file: list_file, length, start: line.start });
                    mails.push(FoundMail { told, ..mail });
                }
                Err(NotFound::BadLine(why)) => self.bad_lines.add(list, line.number, &why),
                Err(NotFound::Failed(error)) => return Err(error),
            }
            Ok(())
        })
        .map_err(|error| error.or_reading(list))?;
        for file in files {
            let untold = file.spans.into_iter().zip(file.told).filter(|(_, told)| !told).map(|(span, _)| span);
            let untold: Vec<Span> = untold.collect();
            if !untold.is_empty() {
                self.add_untold(&mut self.open(file.file)?, file.file, untold, &mut mails)?;
            }
        }
        Ok(mails)
    }

    /// The mail that a line tells of, and the line's length in bytes.
    fn find_told(
        &mut self,
        line: &listed::Line<'_>,
        folder: &Path,
        files: &mut Vec<ListedFile>,
        by_path: &mut HashMap<PathBuf, usize>,
    ) -> Result<(FoundMail, u32), NotFound> {
        let length = u32::try_from(line.bytes.len()).map_err(|_| "it is too long".to_owned())?;
        let told = listed::parse(line.bytes)?;
        let slot = match named(folder, &told.file, by_path) {
            Some(slot) => slot,
            None => self.add_named(folder, &told.file, files, by_path)?,
        };
        let span = files[slot].take(&told)?;
        let file = files[slot].file;
        let at = match told.received_at {
            Some(at) => Some(Timestamp(at)),
            None => self.newest_received(&mut self.open(file)?, file, &[span])?[0],
        };
        Ok((FoundMail { file, span, at, told: None }, length))
    }

    /// A listed file that the walk did not find: hidden, or in a folder with lists of its own.
    fn add_named(
        &mut self,
        folder: &Path,
        name: &str,
        files: &mut Vec<ListedFile>,
        by_path: &mut HashMap<PathBuf, usize>,
    ) -> Result<usize, NotFound> {
        let shown = shown(name);
        // A list from elsewhere is not to say which files of this machine are published.
        if Path::new(name).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(
                format!("it names {shown}, which lies outside the folder: a list tells of what lies in it").into()
            );
        }
        let path =
            [folder.join(name), folder.join(listed::without_offset(name).0)].into_iter().find(|path| path.is_file());
        let Some(path) = path else {
            return Err(format!("it names {shown}, which is not there: put the file back, or take the line out").into());
        };
        files.push(ListedFile::new(self.open_mails(&path)?));
        by_path.insert(path, files.len() - 1);
        Ok(files.len() - 1)
    }

    fn add_untold(
        &mut self,
        handle: &mut File,
        file: u32,
        spans: Vec<Span>,
        mails: &mut Vec<FoundMail>,
    ) -> Result<(), FilesError> {
        let times = self.newest_received(handle, file, &spans)?;
        mails.extend(spans.into_iter().zip(times).map(|(span, at)| FoundMail { file, span, at, told: None }));
        let arrivals = self.index.arrivals() + mails.len() as u64;
        (self.tell)(Progress { stage: Stage::Finding, arrivals, ..Progress::default() });
        check_count(arrivals)
    }

    /// When each mail came, as its newest `Received:` says.
    fn newest_received(
        &self,
        handle: &mut File,
        file: u32,
        spans: &[Span],
    ) -> Result<Vec<Option<Timestamp>>, FilesError> {
        let time = |span: &Span| Ok(listed::newest_received_at(&mbox::header_block(handle, *span)?));
        let times: Result<_, std::io::Error> = spans.iter().map(time).collect();
        times.map_err(|error| cannot_read(&self.index.files[file as usize].path, &error))
    }

    /// Adds a file of mails and finds where they lie.
    fn open_mails(&mut self, path: &Path) -> Result<Opened, FilesError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(FilesError::Failed("stopped, as asked, before anything was done".into()));
        }
        let (mut handle, stamp) = open(path)?;
        let (many, spans) = mbox::mails_of(path, &mut handle).map_err(|error| cannot_read(path, &error))?;
        let file = self.add_file(path.to_owned(), stamp, many)?;
        Ok(Opened { file, handle, spans })
    }

    fn open(&self, file: u32) -> Result<File, FilesError> {
        Ok(open(&self.index.files[file as usize].path)?.0)
    }

    fn find_events(&mut self, path: &Path) -> Result<Vec<Entry>, FilesError> {
        let (handle, stamp) = open(path)?;
        let file = self.add_file(path.to_owned(), stamp, true)?;
        let mut events = Vec::new();
        listed::for_each_line(BufReader::with_capacity(FILES_READ_BYTES, handle), |line| {
            let span = Span { start: line.start, length: line.bytes.len() as u64 };
            events.push(FoundMail { file, span, at: listed::event_time(line.bytes), told: None });
            Ok(())
        })
        .map_err(|error| error.or_reading(path))?;
        Ok(with_times(events))
    }

    fn add_file(&mut self, path: PathBuf, stamp: Stamp, holds_many: bool) -> Result<u32, FilesError> {
        let (length, modified) = (stamp.length.to_be_bytes(), stamp.modified.to_be_bytes());
        for part in [path.as_os_str().as_encoded_bytes(), &length, &modified] {
            self.hash.update((part.len() as u64).to_be_bytes());
            self.hash.update(part);
        }
        let number = u32::try_from(self.index.files.len())
            .map_err(|_| FilesError::Failed("there are too many input files: collate them in parts".into()))?;
        self.index.files.push(InputFile { path, holds_many, stamp });
        Ok(number)
    }
}

fn check_count(arrivals: u64) -> Result<(), FilesError> {
    if arrivals <= FILES_ARRIVALS_MAX {
        return Ok(());
    }
    Err(FilesError::Usage(format!("there are more than {FILES_ARRIVALS_MAX} arrivals: collate them in parts")))
}

fn named(folder: &Path, name: &str, by_path: &HashMap<PathBuf, usize>) -> Option<usize> {
    let whole = by_path.get(&folder.join(name));
    whole.or_else(|| by_path.get(&folder.join(listed::without_offset(name).0))).copied()
}

/// A name on one line of an error, however long it is and whatever it holds.
fn shown(name: &str) -> String {
    name.chars().take(ERROR_DETAIL_CHARS_MAX).flat_map(char::escape_debug).collect()
}

/// A file of mails, just added.
struct Opened {
    file: u32,
    handle: File,
    spans: Vec<Span>,
}

/// A file that lines of an `arrivals.jsonl` may name.
struct ListedFile {
    file: u32,
    /// As they lie in the file.
    spans: Vec<Span>,
    /// Which mails a line has named.
    told: Vec<bool>,
    /// Lines so far that named the file without an offset.
    lines: usize,
}

impl ListedFile {
    fn new(opened: Opened) -> ListedFile {
        ListedFile { file: opened.file, told: vec![false; opened.spans.len()], spans: opened.spans, lines: 0 }
    }

    /// The mail that a line means: the one at its offset; in an mbox the n-th line without offset means the n-th mail.
    fn take(&mut self, told: &Listed) -> Result<Span, String> {
        let (name, offset) = listed::without_offset(&told.file);
        let found = match offset {
            _ if self.spans.len() == 1 && offset.is_none() => 0,
            None => {
                self.lines += 1;
                self.lines - 1
            }
            Some(offset) => self.spans.binary_search_by_key(&offset, |span| span.start).unwrap_or(usize::MAX),
        };
        let name = shown(name);
        match (self.spans.get(found), offset) {
            (Some(span), _) => {
                self.told[found] = true;
                Ok(*span)
            }
            (None, Some(offset)) => Err(format!("no mail of {name} begins at byte {offset}")),
            (None, None) => Err(format!("it is line {} for {name}, which has {} mails", self.lines, self.spans.len())),
        }
    }
}

/// A mail of unknown time came with the one before it; the first ones of a source with the first whose time is known.
fn with_times(mails: Vec<FoundMail>) -> Vec<Entry> {
    let mut last = mails.iter().find_map(|mail| mail.at).unwrap_or_default();
    let entry = |mail: FoundMail| {
        last = mail.at.unwrap_or(last);
        Entry { file: mail.file, span: mail.span, at: last, told: mail.told, merge_at: last, floor: last }
    };
    mails.into_iter().map(entry).collect()
}

fn rising(entries: Vec<Entry>) -> impl Iterator<Item = Entry> {
    let mut highest = Timestamp(i64::MIN);
    entries.into_iter().map(move |entry| {
        highest = highest.max(entry.at);
        Entry { merge_at: highest, ..entry }
    })
}

fn open(path: &Path) -> Result<(File, Stamp), FilesError> {
    let opened = File::open(path).and_then(|file| Stamp::of(&file).map(|stamp| (file, stamp)));
    opened.map_err(|error| cannot_read(path, &error))
}
