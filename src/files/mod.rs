//! The files shell: folders, Maildir and mbox in; folders out. The same turns as every shell; a commit is a rename.
//!
//! *Time.* The shell knows when everything that it is still to read came. So time here is the lowest time of what is
//! still unread: a draft closes when all arrivals up to its due time have been read, in whatever order they lie in
//! their folders, and a wrong date on one mail closes nothing too early. When all is read, time runs on from due time
//! to due time until every draft has closed. The wall clock is never asked, so that the same input always gives the
//! same output, byte for byte, however often it was stopped on the way.

mod changelog;
mod collate;
mod disk;
mod index;
mod listed;
pub mod mbox;
pub mod read;
mod walk;
mod write;

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

pub use collate::{CollateOptions, collate};
pub use disk::{Change, Fault};
pub use index::{Cursor, Entry, Index, path_text};

pub(crate) const REPORTS_TOPIC: &str = "journal.reports";
pub(crate) const ENVELOPES_TOPIC: &str = "journal.envelopes";
pub(crate) const STRAYS_TOPIC: &str = "journal.strays";

/// Why a collate ended without being done. What it had committed stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The input or the output folder is not what it has to be: mend that, or name another.
    #[error("{0}")]
    Usage(String),
    /// Something outside failed: mend it and run the same command again.
    #[error("{0}")]
    Failed(String),
}

/// How far a collate has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    /// Read so far; while finding, found so far.
    pub arrivals: u64,
    pub arrivals_total: u64,
    pub records: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Looking for arrivals and when they came.
    #[default]
    Finding,
    /// Reading them.
    Reading,
    /// All is read: time runs on until every draft has closed.
    Closing,
}

/// What became of all arrivals, and what came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub arrivals: u64,
    pub merged: u64,
    pub duplicates: u64,
    pub notices: u64,
    pub rejected: u64,
    /// Revisions published, of every status.
    pub records: u64,
    pub incomplete: u64,
    pub superseded: u64,
    /// Files of the input that are no mails: hidden, links to folders or to nowhere, a Maildir's notes.
    pub skipped: u64,
    /// The output was finished already: nothing was done.
    #[serde(skip)]
    pub already_done: bool,
}

impl Summary {
    /// Dispositions: one an arrival.
    pub fn dispositions(&self) -> u64 {
        self.merged + self.duplicates + self.notices + self.rejected
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> FilesError {
    FilesError::Failed(format!(
        "cannot read {}: {error}. Make it readable, or take it out of the input, and run the same command again",
        path.display()
    ))
}
