//! A small organisation's mail, made up, with the truth known: for the demo, the tests and the benchmark.
//!
//! Pure: everything follows from [`Options`]; no clock, no files. Message `n` depends on the seed and on `n` alone, so
//! that messages can be made in any order or in parallel. People are roles, and every domain is an example.

pub mod event;
pub mod letter;
pub mod notice;
pub mod people;
pub mod random;
pub mod report;
pub mod text;
mod oddity;
mod story;
mod truth;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

pub use crate::evidence::envelope_event::EnvelopeEvent;
pub use oddity::Oddity;
pub use truth::{TrueRecipient, Truth};

use crate::arrival::Timestamp;
use people::Directory;
use text::Pool;

/// The journal mailboxes.
pub const JOURNAL: &str = "journal@archive.example";
pub const JOURNAL_LEGAL: &str = "journal.legal@archive.example";

/// What an organisation is made of.
#[derive(Clone, Debug)]
pub struct Options {
    pub seed: u64,
    /// How many messages people write; notices and garbage count.
    pub messages: usize,
    /// When the first is written, and how far apart they are.
    pub start: Timestamp,
    pub interval: Duration,
    /// The mean size of an original, bytes; one in fifty is ten times as large.
    pub original_bytes_mean: usize,
    /// How many of 1,000 messages are odd in each way; the rest are ordinary.
    pub oddities: Vec<(Oddity, usize)>,
    /// Let the first messages show each oddity once, in a telling order.
    pub showcase: bool,
    /// Of 1,000 reports of a second server: how many carry an original with one more Received field.
    pub variants_per_mille: usize,
    /// Recipients a fork: Exchange's `ExpansionSizeLimit`.
    pub fork_at: usize,
}

impl Options {
    pub fn new(seed: u64) -> Options {
        Options {
            seed,
            messages: 1000,
            // 2026-03-02T08:00:00Z, a Monday.
            start: Timestamp(1_772_438_400_000),
            interval: Duration::from_millis(500),
            original_bytes_mean: 11_000,
            oddities: oddity::USUAL.to_vec(),
            showcase: false,
            variants_per_mille: 250,
            fork_at: 1000,
        }
    }

    /// What `mailjournal demo` shows: every oddity once, a message every twenty seconds.
    pub fn showcase(seed: u64) -> Options {
        Options {
            messages: oddity::CAST.len(),
            interval: Duration::from_secs(20),
            original_bytes_mean: 4_000,
            oddities: Vec::new(),
            showcase: true,
            ..Options::new(seed)
        }
    }
}

/// A mail or an envelope event on its way to a journal.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub at: Timestamp,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Mail(JournalMail),
    Event(Box<EnvelopeEvent>),
}

/// A mail as it reaches a journal address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalMail {
    pub bytes: Bytes,
    /// The server that sent it.
    pub server: Option<String>,
    /// RCPT TO.
    pub journal_recipients: Vec<String>,
    /// The original's Message-ID, for producers that key by it.
    pub key: Option<String>,
}

impl Incoming {
    /// The size of a mail, bytes; an event's is not counted.
    pub fn mail_bytes(&self) -> usize {
        match &self.what {
            What::Mail(mail) => mail.bytes.len(),
            What::Event(_) => 0,
        }
    }

    /// The original's Message-ID, for producers that key by it.
    pub fn key(&self) -> Option<&str> {
        match &self.what {
            What::Mail(mail) => mail.key.as_deref(),
            What::Event(event) => event.message_id.as_deref(),
        }
    }
}

/// One message: all that arrives of it, in order of time, and what is true of it.
#[derive(Clone, Debug)]
pub struct Message {
    pub index: usize,
    pub oddity: Oddity,
    pub arrivals: Vec<Incoming>,
    pub truth: Truth,
}

#[derive(Clone, Debug)]
pub struct Organisation {
    pub options: Options,
    pub directory: Directory,
    pool: Pool,
}

impl Organisation {
    /// A thousand messages of the usual mix.
    pub fn new(seed: u64) -> Organisation {
        Organisation::with(Options::new(seed))
    }

    pub fn with(options: Options) -> Organisation {
        let pool = Pool::new(options.seed);
        Organisation { options, directory: Directory::new(), pool }
    }

    /// Message `index`, whether or not it is below `options.messages`.
    pub fn message(&self, index: usize) -> Message {
        story::message(self, index)
    }

    /// All messages, in the order in which they are written.
    pub fn messages(&self) -> impl Iterator<Item = Message> + '_ {
        (0..self.options.messages).map(|index| self.message(index))
    }

    /// When message `index` is written.
    pub fn written_at(&self, index: usize) -> Timestamp {
        self.options.start.plus(self.options.interval * u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// What arrives of all messages, in order of time.
    pub fn arrivals(&self) -> Arrivals<'_> {
        Arrivals { organisation: self, next: 0, waiting: BTreeMap::new() }
    }
}

/// What arrives, in order of time; holds back only what comes later than the next message is written.
pub struct Arrivals<'a> {
    organisation: &'a Organisation,
    next: usize,
    waiting: BTreeMap<(Timestamp, usize, usize), Incoming>,
}

impl Iterator for Arrivals<'_> {
    type Item = Incoming;

    fn next(&mut self) -> Option<Incoming> {
        while self.next < self.organisation.options.messages {
            let earliest = self.waiting.first_key_value().map(|((at, ..), _)| *at);
            if earliest.is_some_and(|at| at < self.organisation.written_at(self.next)) {
                break;
            }
            for (place, incoming) in self.organisation.message(self.next).arrivals.into_iter().enumerate() {
                self.waiting.insert((incoming.at, self.next, place), incoming);
            }
            self.next += 1;
        }
        self.waiting.pop_first().map(|(_, incoming)| incoming)
    }
}
