//! The input: a made-up organisation's journal, the same in every run.

use std::{collections::BTreeMap, fmt, time::Duration};

use mailjournal::{
    avro::{self, Schema},
    sample::{Incoming, Options, Organisation, What},
};

use crate::support::kafka::{self, Given};

const SEED: u64 = 20_260_302;
/// The time between two messages, so that tens of thousands take hours and most drafts close while the load runs.
const INTERVAL: Duration = Duration::from_millis(200);
/// Records handed to the broker at once.
const BATCH: usize = 4_000;
/// Of very large originals some are ten times as large as their mean: what the topics do not take is left out.
const VALUE_BYTES_MAX: usize = 40_000_000;

/// What was loaded.
#[derive(Default)]
pub struct Loaded {
    pub arrivals: usize,
    mails: usize,
    mail_bytes: usize,
    pub bytes: usize,
    first_at: i64,
    last_at: i64,
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} arrivals: {} mails of {:.1} KB on average and {} envelope events, {:.0} MB; {} minutes of a journal",
            self.arrivals,
            self.mails,
            self.mail_bytes as f64 / self.mails as f64 / 1e3,
            self.arrivals - self.mails,
            self.bytes as f64 / 1e6,
            (self.last_at - self.first_at) / 60_000,
        )
    }
}

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// The mean size of an original, bytes; its report is some 900 bytes larger.
    pub original_bytes: usize,
    /// Whether arrivals are keyed by Message-ID; else they lie on any partition.
    pub keyed: bool,
    pub partitions: i32,
    /// At least so many million bytes of mails.
    pub megabytes: usize,
}

impl Load {
    pub fn organisation(&self) -> Organisation {
        let original_bytes_mean = self.original_bytes;
        let options = Options { messages: usize::MAX, interval: INTERVAL, original_bytes_mean, ..Options::new(SEED) };
        Organisation::with(options)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keyed = if self.keyed { "keyed" } else { "unkeyed" };
        write!(f, "originals of {:.1} KB, {keyed}, {} partitions", self.original_bytes as f64 / 1e3, self.partitions)
    }
}

/// Fills the input topics in order of time.
pub fn load(address: &str, prefix: &str, load: &Load) -> Loaded {
    let organisation = load.organisation();
    let mut loaded = Loaded::default();
    let mut waiting: BTreeMap<&str, Vec<Given>> = BTreeMap::new();
    for incoming in organisation.arrivals() {
        let topic = match incoming.what {
            What::Mail(_) => "journal.reports",
            What::Event(_) => "journal.envelopes",
        };
        let mut given = to_given(&incoming);
        if !load.keyed {
            given.key = None;
        }
        if given.value.len() > VALUE_BYTES_MAX {
            continue;
        }
        loaded.count(&incoming, given.value.len());
        let batch = waiting.entry(topic).or_default();
        batch.push(given);
        if batch.len() == BATCH {
            kafka::produce(address, &format!("{prefix}{topic}"), &std::mem::take(batch));
        }
        if loaded.mail_bytes >= load.megabytes * 1_000_000 {
            break;
        }
    }
    for (topic, batch) in waiting {
        kafka::produce(address, &format!("{prefix}{topic}"), &batch);
    }
    loaded
}

impl Loaded {
    fn count(&mut self, incoming: &Incoming, bytes: usize) {
        if self.arrivals == 0 {
            self.first_at = incoming.at.0;
        }
        self.last_at = incoming.at.0;
        self.arrivals += 1;
        self.bytes += bytes;
        self.mail_bytes += incoming.mail_bytes();
        self.mails += usize::from(matches!(incoming.what, What::Mail(_)));
    }
}

fn to_given(incoming: &Incoming) -> Given {
    let mut given = to_given_now(incoming);
    given.headers.push(("received-at".to_owned(), incoming.at.0.to_string().into_bytes()));
    given
}

/// As it comes while it is given, whenever that is.
pub fn to_given_now(incoming: &Incoming) -> Given {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut headers = Vec::new();
    let value = match &incoming.what {
        What::Mail(mail) => {
            headers.extend(mail.server.iter().map(|server| header("server", server)));
            headers.extend(mail.journal_recipients.iter().map(|address| header("journal-recipient", address)));
            mail.bytes.to_vec()
        }
        What::Event(event) => avro::encode(Schema::EnvelopeEvent, event),
    };
    Given { key: incoming.key().map(|key| key.as_bytes().to_vec()), value, headers, ..Given::default() }
}
