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

/// Fills the input topics with at least so many million bytes of mails, keyed by Message-ID, in order of time.
pub fn load(address: &str, prefix: &str, megabytes: usize) -> Loaded {
    let organisation = Organisation::with(Options { messages: usize::MAX, interval: INTERVAL, ..Options::new(SEED) });
    let mut loaded = Loaded::default();
    let mut waiting: BTreeMap<&str, Vec<Given>> = BTreeMap::new();
    for incoming in organisation.arrivals() {
        let topic = match incoming.what {
            What::Mail(_) => "journal.reports",
            What::Event(_) => "journal.envelopes",
        };
        let given = to_given(&incoming);
        loaded.count(&incoming, given.value.len());
        let batch = waiting.entry(topic).or_default();
        batch.push(given);
        if batch.len() == BATCH {
            kafka::produce(address, &format!("{prefix}{topic}"), &std::mem::take(batch));
        }
        if loaded.mail_bytes >= megabytes * 1_000_000 {
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
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut headers = vec![header("received-at", &incoming.at.0.to_string())];
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
