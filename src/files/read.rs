//! Reads arrivals: their bytes only when their turn comes, and again when a record wants its original.

use std::{
    borrow::Cow,
    fs::File,
    io::{Read as _, Seek as _, SeekFrom},
};

use bytes::Bytes;

use super::{
    FilesError,
    index::{Cursor, Entry, Index, Stamp},
    listed, mbox,
    mbox::Span,
};
use crate::{
    arrival::{Arrival, Input, Position},
    evidence::{Rejection, envelope_event::EnvelopeEvent},
};

/// An arrival as read.
pub struct Read {
    pub arrival: Arrival,
    /// Why it is rejected before any turn: it is no envelope event.
    pub rejection: Option<Rejection>,
}

/// The input, opened.
pub struct Reader {
    pub index: Index,
    /// Undo mboxrd quoting.
    pub mboxrd: bool,
    /// The file read last stays open: an mbox holds many mails.
    open: Option<(u32, File)>,
    /// Why [`Reader::fetch`] failed: no turn after that may be committed.
    failure: Option<FilesError>,
}

impl Reader {
    pub fn new(index: Index, mboxrd: bool) -> Reader {
        Reader { index, mboxrd, open: None, failure: None }
    }

    /// The next arrival at a cursor, which moves behind it.
    pub fn next(&mut self, cursor: &mut Cursor) -> Result<Option<Read>, FilesError> {
        let Some((position, entry)) = self.index.next(cursor) else { return Ok(None) };
        let told = match entry.told {
            None => listed::Listed::default(),
            Some(line) => {
                let bytes = self.span(line.file, Span { start: line.start, length: line.length.into() })?;
                listed::parse(&bytes).map_err(|_| self.changed(line.file))?
            }
        };
        let (bytes, rejection) = self.arrival_bytes(position, &entry)?;
        let arrival = Arrival {
            server: told.server,
            journal_recipients: told.journal_recipients.unwrap_or_default(),
            key: told.key.map(Bytes::from),
            source: Some(self.index.source(&entry)),
            ..Arrival::new(position, entry.at, bytes)
        };
        Ok(Some(Read { arrival, rejection }))
    }

    /// The bytes as they lie in their file.
    pub fn raw(&mut self, entry: &Entry) -> Result<Bytes, FilesError> {
        self.span(entry.file, entry.span).map(Bytes::from)
    }

    /// After a turn: whether all that it fetched was there.
    pub fn check(&mut self) -> Result<(), FilesError> {
        self.failure.take().map_or(Ok(()), Err)
    }

    /// What a turn is handed: a mail, or an envelope event framed; of a line that is none, the line, and why.
    fn arrival_bytes(&mut self, position: Position, entry: &Entry) -> Result<(Bytes, Option<Rejection>), FilesError> {
        let bytes = self.raw(entry)?;
        if position.input == Input::Envelopes {
            return Ok(match EnvelopeEvent::from_json(&bytes) {
                Ok(event) => (event.to_framed(), None),
                Err(rejection) => (bytes, Some(rejection)),
            });
        }
        if self.mboxrd && self.index.files[entry.file as usize].holds_many {
            return Ok(match mbox::unquote(&bytes) {
                Cow::Borrowed(_) => (bytes, None),
                Cow::Owned(plain) => (plain.into(), None),
            });
        }
        Ok((bytes, None))
    }

    fn span(&mut self, file: u32, span: Span) -> Result<Vec<u8>, FilesError> {
        let found = &self.index.files[file as usize];
        let mut read = || -> std::io::Result<(Vec<u8>, Stamp)> {
            let handle = match &mut self.open {
                Some((number, handle)) if *number == file => handle,
                open => &mut open.insert((file, File::open(&found.path)?)).1,
            };
            handle.seek(SeekFrom::Start(span.start))?;
            let mut bytes = Vec::with_capacity(usize::try_from(span.length).unwrap_or(0));
            handle.take(span.length).read_to_end(&mut bytes)?;
            // Asked behind the reading: what was changed before it or during it shows.
            Ok((bytes, Stamp::of(handle)?))
        };
        let (bytes, stamp) = read().map_err(|error| super::cannot_read(&found.path, &error))?;
        if stamp != found.stamp || bytes.len() as u64 != span.length {
            return Err(self.changed(file));
        }
        Ok(bytes)
    }

    fn changed(&self, file: u32) -> FilesError {
        let path = self.index.files[file as usize].path.display();
        FilesError::Failed(format!(
            "{path} changed while this collate ran. Put it back as it was, its time of modification too, and run the \
             same command again; or begin again with a new --out"
        ))
    }
}

impl Reader {
    /// The bytes of the arrivals at these positions.
    pub fn fetch(&mut self, wanted: &[Position]) -> Vec<Result<Bytes, String>> {
        let fetch_one = |position: &Position| {
            let entry =
                *self.index.entry(*position).ok_or_else(|| format!("{position:?} is no arrival of this input"))?;
            self.arrival_bytes(*position, &entry).map(|(bytes, _)| bytes).map_err(|error| {
                let why = error.to_string();
                self.failure.get_or_insert(error);
                why
            })
        };
        wanted.iter().map(fetch_one).collect()
    }
}
