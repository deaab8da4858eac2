//! What the rooms are given.

use criterion::Throughput;
use mailjournal::{
    arrival::{Arrival, Format, Input, Position, Timestamp},
    avro::{self, Schema},
    correlate::{Complete, Piece, Seen},
    evidence::{self, envelope_event::read_envelope_event, read_mail},
    record::{Disposition, LedgerRow},
    sample::{Incoming, Options, Organisation, What},
};

/// Of originals, bytes: the mails are some 12 KB then.
const USUAL_BYTES: usize = 11_000;
const SEED: u64 = 20_260_302;

/// Later than every wait, earlier than any draft is forgotten.
pub const END: Timestamp = Timestamp(1_772_438_400_000 + 24 * 3600 * 1000);

/// Arrivals in order of time, all of one partition.
pub struct Load {
    pub arrivals: Vec<Arrival>,
    bytes: usize,
}

impl Load {
    /// The usual mix of reports, copies, notices and envelope events.
    pub fn usual(bytes: usize) -> Load {
        Load::of(USUAL_BYTES, bytes, |_| true)
    }

    /// Mails alone.
    pub fn of_reports(original_bytes: usize, bytes: usize) -> Load {
        Load::of(original_bytes, bytes, |incoming| matches!(incoming.what, What::Mail(_)))
    }

    fn of(original_bytes_mean: usize, bytes: usize, wanted: impl Fn(&Incoming) -> bool) -> Load {
        let options = Options { messages: usize::MAX, original_bytes_mean, ..Options::new(SEED) };
        let organisation = Organisation::with(options);
        let mut load = Load { arrivals: Vec::new(), bytes: 0 };
        for incoming in organisation.arrivals().filter(wanted) {
            if load.bytes >= bytes {
                break;
            }
            load.push(&incoming);
        }
        load
    }

    fn push(&mut self, incoming: &Incoming) {
        let offset = i64::try_from(self.arrivals.len()).expect("a count");
        let (input, bytes, server, journal_recipients) = match &incoming.what {
            What::Mail(mail) => {
                let (server, journals) = (mail.server.clone(), mail.journal_recipients.clone());
                (Input::Reports, mail.bytes.clone(), server, journals)
            }
            What::Event(event) => {
                let bytes = avro::encode(Schema::EnvelopeEvent, event).into();
                (Input::Envelopes, bytes, None, Vec::new())
            }
        };
        self.bytes += bytes.len();
        let position = Position { input, partition: 0, offset };
        self.arrivals.push(Arrival { server, journal_recipients, ..Arrival::new(position, incoming.at, bytes) });
    }

    pub fn throughput(&self) -> Throughput {
        Throughput::ElementsAndBytes { elements: self.arrivals.len() as u64, bytes: self.bytes as u64 }
    }

    /// What each arrival says, ready to be merged.
    pub fn pieces(&self) -> Vec<Piece> {
        self.arrivals.iter().filter_map(piece).collect()
    }

    /// The record with the bytes of its originals.
    pub fn filled(&self, mut complete: Complete) -> Complete {
        for wanted in &complete.wanted {
            let arrival = &self.arrivals[usize::try_from(wanted.position.offset).expect("an index")];
            let bytes = evidence::original_bytes(&arrival.bytes, arrival.format, &wanted.place);
            complete.record.originals[wanted.index].content = Some(bytes.expect("the arrival is here"));
        }
        complete
    }

    /// Bytes of originals in these records.
    pub fn carried(&self, completes: &[Complete]) -> u64 {
        let originals = completes.iter().flat_map(|complete| &complete.record.originals);
        originals.filter_map(|original| original.content.as_ref()).map(|content| content.len() as u64).sum()
    }

    /// A ledger row an arrival.
    pub fn rows(&self) -> Vec<LedgerRow> {
        let row = |arrival: &Arrival| LedgerRow {
            topic: "journal.reports".to_owned(),
            partition: 0,
            offset: arrival.position.offset,
            disposition: Disposition::Merged,
            record_id: Some(format!("<{:020}@contoso.example>#0123456789abcdef", arrival.position.offset)),
            reason: None,
            source: None,
        };
        self.arrivals.iter().map(row).collect()
    }
}

fn piece(arrival: &Arrival) -> Option<Piece> {
    let evidence = match arrival.format {
        Format::Mail => read_mail(&arrival.bytes),
        Format::EnvelopeEvent => read_envelope_event(&arrival.bytes),
    };
    let (server, size) = (arrival.server.clone(), arrival.bytes.len() as i64);
    let seen = Seen { position: arrival.origin, at: arrival.at, server, size };
    Some(Piece::new(evidence.ok()?, seen, arrival.journal_recipients.clone()))
}
