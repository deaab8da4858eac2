//! What a person sees of the demo. All of it is read from what was written: the arrivals folder, the ledger and the
//! archive; nothing comes from inside.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{self, Write},
    path::Path,
};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    arrival::Timestamp,
    cli::quoted,
    evidence::{self, Form, envelope_event::EnvelopeEvent},
    record::{ClosedBecause, Disposition, EvidenceEntry, JournalRecord, Kind, LedgerRow, Recipient, Role, Status},
};

/// Columns of the widest line, but for a path or a flag that is longer than it should be.
const WIDTH: usize = 98;

/// One arrival as it came.
pub struct Arrived {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub at: Timestamp,
    pub server: Option<String>,
    /// In a few words.
    pub form: &'static str,
    pub message_id: Option<String>,
}

type Labels<'a> = HashMap<&'a str, String>;
/// Topic, partition, offset.
type Place<'a> = (&'a str, i32, i64);

fn row_place(row: &LedgerRow) -> Place<'_> {
    (&row.topic, row.partition, row.offset)
}

/// What came in, what became of it, what came out.
pub struct Shown {
    pub arrivals: Vec<Arrived>,
    pub ledger: Vec<LedgerRow>,
    /// Every revision, as published.
    pub records: Vec<JournalRecord>,
}

impl Shown {
    /// Reads an arrivals folder and the folder that it was collated to.
    pub fn read(arrivals: &Path, records: &Path) -> Result<Shown, String> {
        let mut arrived = Vec::new();
        for (offset, line) in lines::<ListedMail>(&arrivals.join("arrivals.jsonl"))?.into_iter().enumerate() {
            let mail = read_file(&arrivals.join(&line.file))?;
            let place = files_place("journal.reports", offset);
            arrived.push(Arrived::mail(place, Timestamp(line.received_at), line.server, &mail.into()));
        }
        for (offset, event) in lines::<EnvelopeEvent>(&arrivals.join("envelopes.jsonl"))?.into_iter().enumerate() {
            let at = Timestamp(event.at);
            arrived.push(Arrived::event(files_place("journal.envelopes", offset), at, Some(event)));
        }
        arrived.sort_by_key(|arrival| arrival.at);
        let ledger = lines(&records.join("ledger.jsonl"))?;
        Ok(Shown { arrivals: arrived, ledger, records: lines(&records.join("archive.jsonl"))? })
    }

    /// Each arrival has exactly one row in the ledger, and no row is about anything else.
    pub fn check(&self) -> Result<(), String> {
        let rows: BTreeSet<_> = self.ledger.iter().map(|row| (&row.topic, row.partition, row.offset)).collect();
        let arrivals: BTreeSet<_> = self.arrivals.iter().map(|one| (&one.topic, one.partition, one.offset)).collect();
        if rows == arrivals && self.ledger.len() == rows.len() {
            return Ok(());
        }
        let (rows, arrivals) = (self.ledger.len(), arrivals.len());
        Err(format!("the ledger does not add up: {arrivals} arrivals, {rows} rows; please report this as a bug"))
    }

    pub fn write(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        let labels = self.labels();
        self.write_arrivals(out, paint, &labels)?;
        self.write_ledger(out, paint)?;
        self.write_records(out, paint, &labels)?;
        match self.chosen() {
            Some(record) => write_story(out, paint, record, &labels[record.record_id.as_str()]),
            None => Ok(()),
        }
    }

    /// Short names of the records, in the order in which their first evidence came.
    fn labels(&self) -> Labels<'_> {
        let mut records: Vec<&JournalRecord> = self.records.iter().collect();
        records.sort_by_key(|record| record.first_evidence_at);
        let mut labels = HashMap::new();
        for record in records {
            let next = labels.len() + 1;
            labels.entry(record.record_id.as_str()).or_insert_with(|| format!("R{next:02}"));
        }
        labels
    }

    /// Where each piece of evidence is in the end. The ledger cannot always know: it names the record that an arrival
    /// belonged to when it came.
    fn record_of_each<'a>(&'a self) -> HashMap<Place<'a>, &'a str> {
        let ledger = self.ledger.iter().filter_map(|row| Some((row_place(row), row.record_id.as_deref()?)));
        let evidence = self.records.iter().flat_map(|record| {
            let place = |piece: &'a EvidenceEntry| (piece.topic.as_str(), piece.partition, piece.offset);
            record.evidence.iter().map(move |piece| (place(piece), record.record_id.as_str()))
        });
        ledger.chain(evidence).collect()
    }

    fn write_arrivals(&self, out: &mut dyn Write, paint: Paint, labels: &Labels<'_>) -> io::Result<()> {
        heading(out, paint, &format!("What came in: {}", counted(self.arrivals.len(), "arrival")))?;
        let title = columns("when", "from server", "what", "Message-ID", "became", "record");
        writeln!(out, "{}", paint.faint(&title))?;
        let rows: HashMap<Place<'_>, &LedgerRow> = self.ledger.iter().map(|row| (row_place(row), row)).collect();
        let record_of_each = self.record_of_each();
        for arrival in &self.arrivals {
            let place = (arrival.topic.as_str(), arrival.partition, arrival.offset);
            let row = rows.get(&place);
            let label = record_of_each.get(&place).and_then(|id| labels.get(id)).map_or("", String::as_str);
            let became = row.map_or("not told", |row| disposition_word(row.disposition));
            let server = arrival.server.as_deref().map_or("-", host);
            let id = arrival.message_id.as_deref().map_or("-".to_owned(), |id| shortened(local_part(id), 22));
            let line = columns(&clock(arrival.at), server, arrival.form, &id, became, label);
            writeln!(out, "{}", paint.by_disposition(&line, row.map(|row| row.disposition)))?;
            let rejected = row.filter(|row| row.disposition == Disposition::Rejected);
            if let Some(reason) = rejected.and_then(|row| row.reason.as_deref()) {
                write_wrapped(out, "                because: ", reason)?;
            }
        }
        Ok(())
    }

    fn write_ledger(&self, out: &mut dyn Write, paint: Paint) -> io::Result<()> {
        let mut counts: BTreeMap<Disposition, usize> = BTreeMap::new();
        self.ledger.iter().for_each(|row| *counts.entry(row.disposition).or_default() += 1);
        let sum: Vec<String> = counts
            .iter()
            .map(|(disposition, count)| format!("{count} {}", disposition_plural(*disposition, *count)))
            .collect();
        let verdict = match self.check() {
            Ok(()) => "The ledger adds up",
            Err(_) => "THE LEDGER DOES NOT ADD UP",
        };
        let sum = format!("{verdict}: {} = {}", counted(self.arrivals.len(), "arrival"), sum.join(" + "));
        writeln!(out, "\n  {}", paint.strong(&sum))
    }

    fn write_records(&self, out: &mut dyn Write, paint: Paint, labels: &Labels<'_>) -> io::Result<()> {
        let mut by_status: BTreeMap<Status, usize> = BTreeMap::new();
        self.latest().for_each(|record| *by_status.entry(record.status).or_default() += 1);
        let sum: Vec<String> = by_status
            .iter()
            .map(|(status, count)| format!("{count} {}", status_word(*status).to_lowercase()))
            .collect();
        let (count, revisions) = (counted(labels.len(), "record"), counted(self.records.len(), "revision"));
        heading(out, paint, &format!("What came out: {count} in {revisions}; in the end {}", sum.join(", ")))?;
        let title = format!(
            "  {:<5}{:<4}{:<12}{:<10}{:>6}{:>7}   subject and flags",
            "", "rev", "status", "because", "people", "pieces"
        );
        writeln!(out, "{}", paint.faint(&title))?;
        let mut records: Vec<&JournalRecord> = self.records.iter().collect();
        records.sort_by_key(|record| (&labels[record.record_id.as_str()], record.revision));
        for record in records {
            let line = format!(
                "  {:<5}{:<4}{:<12}{:<10}{:>6}{:>7}   {}",
                labels[record.record_id.as_str()],
                record.revision,
                status_word(record.status),
                because_word(record.closed_because),
                record.recipients.len(),
                record.evidence.len(),
                subject_and_flags(record, 49),
            );
            writeln!(out, "{}", paint.by_status(&line, record.status))?;
            if record.status == Status::Incomplete {
                write_wrapped(out, "           ", &record.certificate.reason)?;
            }
        }
        Ok(())
    }

    /// The last revision of each record.
    fn latest(&self) -> impl Iterator<Item = &JournalRecord> {
        let latest: BTreeMap<&str, &JournalRecord> =
            self.records.iter().map(|record| (record.record_id.as_str(), record)).collect();
        latest.into_values()
    }

    /// The record whose story tells most: the one with the most lists met, then the most pieces of evidence.
    fn chosen(&self) -> Option<&JournalRecord> {
        let complete = self.latest().filter(|record| record.status == Status::Complete);
        complete.max_by_key(|record| {
            let promised = record.closed_because == ClosedBecause::Evidence;
            (promised, record.groups.len(), record.evidence.len())
        })
    }
}

/// A line of `arrivals.jsonl`, as far as it is shown.
#[derive(serde::Deserialize)]
struct ListedMail {
    file: String,
    received_at: i64,
    server: Option<String>,
}

impl Arrived {
    /// A mail that came in at a place: topic, partition, offset.
    pub fn mail(place: (String, i32, i64), at: Timestamp, server: Option<String>, mail: &Bytes) -> Arrived {
        let (topic, partition, offset) = place;
        let read = evidence::read_mail(mail);
        let form = read.as_ref().map_or("not a mail", |evidence| form_word(evidence.form));
        let message_id = read.ok().and_then(|evidence| evidence.message_id);
        Arrived { topic, partition, offset, at, server, form, message_id }
    }

    /// An event, or none if what came in cannot be read as one.
    pub fn event(place: (String, i32, i64), at: Timestamp, event: Option<EnvelopeEvent>) -> Arrived {
        let (topic, partition, offset) = place;
        let form = event.as_ref().map_or("not an event", |_| form_word(Form::EnvelopeEvent));
        let (server, message_id) = event.map_or((None, None), |event| (Some(event.server), event.message_id));
        Arrived { topic, partition, offset, at, server, form, message_id }
    }
}

/// Where the files shell says that an arrival came in.
fn files_place(topic: &str, number: usize) -> (String, i32, i64) {
    (topic.to_owned(), 0, i64::try_from(number).unwrap_or(i64::MAX))
}

fn write_story(out: &mut dyn Write, paint: Paint, record: &JournalRecord, label: &str) -> io::Result<()> {
    let subject = record.subject.as_deref().unwrap_or_default();
    heading(out, paint, &format!("The story of {label}: \"{subject}\""))?;
    writeln!(out, "  {} wrote {}", record.sender.as_deref().unwrap_or("someone"), record.key)?;
    writeln!(out, "\n  {}", paint.strong("What the servers told, and when"))?;
    let mut told: Vec<usize> = (0..record.evidence.len()).collect();
    told.sort_by_key(|&index| record.evidence[index].at);
    for (number, &index) in told.iter().enumerate() {
        let piece = &record.evidence[index];
        let names = record.recipients.iter().filter(|one| one.evidence.iter().any(|&at| at as usize == index)).count();
        let server = piece.server.as_deref().unwrap_or("-");
        let (at, kind) = (clock(Timestamp(piece.at)), kind_word(piece.kind));
        writeln!(out, "  {:>4}  {at}  {server:<36} {kind:<16} names {}", number + 1, counted(names, "recipient"))?;
    }
    writeln!(out, "\n  {}", paint.strong("Who received it, how addressed, by which lists"))?;
    for ((role, path), people) in by_path(record) {
        let way = if path.is_empty() { "directly".to_owned() } else { format!("as a member of {path}") };
        writeln!(out, "  {:<10}{way}: {}", role_word(role), counted(people.len(), "recipient"))?;
        write_wrapped(out, "              ", &some(&people, 9))?;
    }
    let (wanted, met): (usize, usize) = record
        .certificate
        .expected
        .iter()
        .fold((0, 0), |(wanted, met), one| (wanted + 1, met + usize::from(!one.met_by.is_empty())));
    writeln!(out, "\n  {}", paint.strong(&format!("Why it is complete: {met} of {wanted} things expected are here")))?;
    write_wrapped(out, "  ", &record.certificate.reason)
}

/// The recipients by role and by the first way that brought them.
fn by_path(record: &JournalRecord) -> BTreeMap<(Role, String), Vec<&str>> {
    let mut by_path: BTreeMap<(Role, String), Vec<&str>> = BTreeMap::new();
    let way = |recipient: &Recipient| {
        let hops = recipient.paths.first().map(Vec::as_slice).unwrap_or_default();
        hops.iter().map(|hop| hop.address.as_str()).rev().collect::<Vec<_>>().join(", in ")
    };
    for recipient in &record.recipients {
        by_path.entry((recipient.role, way(recipient))).or_default().push(local_part(&recipient.address));
    }
    by_path
}

/// What a person can do next with the demo's folder; `program` is how this program is started.
pub fn write_next_steps(out: &mut dyn Write, program: &str, folder: &Path) -> io::Result<()> {
    let part = |part: &str| quoted(&folder.join(part));
    let mut again = folder.as_os_str().to_owned();
    again.push("-again");
    let again = quoted(Path::new(&again));
    let (mail, arrivals, folder) = (part("arrivals/0002.eml"), part("arrivals"), folder.display());
    writeln!(out, "\nWhere it lies")?;
    writeln!(out, "  {folder}/arrivals   what came in: mails, arrivals.jsonl, envelopes.jsonl")?;
    writeln!(out, "  {folder}/records    what came out: archive.jsonl, ledger.jsonl, originals/, rejected/")?;
    writeln!(out, "\nNext")?;
    writeln!(out, "  {program} report show {mail}")?;
    writeln!(out, "  {program} collate {arrivals} --out {again}")?;
    writeln!(out, "  {program} collate YOUR-MAILS --out RECORDS      a folder of mails, an mbox or a Maildir")
}

// How it looks.

/// Colours, or none.
#[derive(Clone, Copy)]
pub struct Paint {
    colour: bool,
}

impl Paint {
    /// Colours only on a terminal, and not where NO_COLOR is set.
    pub fn for_terminal(is_terminal: bool) -> Paint {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Paint { colour: is_terminal && !refused }
    }

    fn with(self, code: &str, text: &str) -> String {
        match self.colour && !code.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn strong(self, text: &str) -> String {
        self.with("1", text)
    }

    fn faint(self, text: &str) -> String {
        self.with("2", text)
    }

    fn by_disposition(self, text: &str, disposition: Option<Disposition>) -> String {
        let code = match disposition {
            Some(Disposition::Merged) => "",
            Some(Disposition::Duplicate) => "2",
            Some(Disposition::Notice) => "36",
            Some(Disposition::Rejected) | None => "31",
            Some(Disposition::Excluded | Disposition::Moved) => "33",
        };
        self.with(code, text)
    }

    fn by_status(self, text: &str, status: Status) -> String {
        let code = match status {
            Status::Complete => "32",
            Status::Incomplete => "33",
            Status::Superseded => "2",
        };
        self.with(code, text)
    }
}

fn heading(out: &mut dyn Write, paint: Paint, text: &str) -> io::Result<()> {
    writeln!(out, "\n{}\n{}", paint.strong(text), paint.faint(&"-".repeat(WIDTH)))
}

fn columns(when: &str, server: &str, what: &str, id: &str, became: &str, record: &str) -> String {
    format!("  {when:<14}{server:<16}{what:<24}{id:<24}{became:<11}{record}").trim_end().to_owned()
}

fn write_wrapped(out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
    let mut line = indent.to_owned();
    for word in text.split_whitespace() {
        if line.chars().count() + word.chars().count() > WIDTH && line.trim() != "" {
            writeln!(out, "{}", line.trim_end())?;
            line = " ".repeat(indent.chars().count());
        }
        line.push_str(word);
        line.push(' ');
    }
    writeln!(out, "{}", line.trim_end())
}

/// The first of a list, and how many more.
fn some(people: &[&str], count: usize) -> String {
    let first = people[..people.len().min(count)].join(", ");
    match people.len().saturating_sub(count) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// The flags whole, and as much of the subject as there is room for.
fn subject_and_flags(record: &JournalRecord, characters: usize) -> String {
    let subject = record.subject.as_deref().unwrap_or("-");
    if record.flags.is_empty() {
        return shortened(subject, characters);
    }
    let flags: Vec<String> = record.flags.iter().map(|flag| flag_word(*flag)).collect();
    let flags = format!("[{}]", flags.join(" "));
    let left = characters.saturating_sub(flags.chars().count() + 1).max(10);
    format!("{} {flags}", shortened(subject, left))
}

fn counted(count: usize, what: &str) -> String {
    crate::cli::counted(count as u64, what)
}

/// Weekday and time of day, UTC.
fn clock(at: Timestamp) -> String {
    let text = mail_parser::DateTime::from_timestamp(at.0.div_euclid(1000)).to_rfc822();
    let weekday = text.get(..3).unwrap_or_default();
    let time = text.split(' ').find(|word| word.contains(':')).unwrap_or_default();
    format!("{weekday} {time}")
}

fn host(server: &str) -> &str {
    server.split('.').next().unwrap_or(server)
}

fn local_part(address: &str) -> &str {
    address.trim_start_matches('<').split('@').next().unwrap_or(address)
}

fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters.saturating_sub(2)).collect();
    format!("{kept}..")
}

fn flag_word(flag: crate::record::Flag) -> String {
    serde_json::to_value(flag).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn form_word(form: Form) -> &'static str {
    match form {
        Form::Exchange => "Exchange report",
        Form::Exchange2003 => "Exchange 2003 report",
        Form::WorkMail => "WorkMail report",
        Form::PstExport => "exported report",
        Form::WrappedReport => "wrapped report",
        Form::DeliveryStatus => "non-delivery report",
        Form::Disposition => "read receipt",
        Form::AutoReply => "automatic reply",
        Form::UndeliverableReport => "undeliverable report",
        Form::PlainCopy => "copy, no report",
        Form::EnvelopeHeaders => "copy with envelope",
        Form::EnvelopeEvent => "envelope event",
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Report => "report",
        Kind::EnvelopeEvent => "envelope event",
        Kind::Notice => "notice",
        Kind::PlainCopy => "copy",
    }
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::To => "To",
        Role::Cc => "Cc",
        Role::Bcc => "Bcc",
        Role::Recipient => "(untold)",
    }
}

fn disposition_word(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Merged => "merged",
        Disposition::Duplicate => "duplicate",
        Disposition::Notice => "notice",
        Disposition::Excluded => "excluded",
        Disposition::Moved => "moved",
        Disposition::Rejected => "rejected",
    }
}

fn disposition_plural(disposition: Disposition, count: usize) -> String {
    let word = disposition_word(disposition);
    match (disposition, count) {
        (Disposition::Duplicate | Disposition::Notice, 2..) => format!("{word}s"),
        _ => word.to_owned(),
    }
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Complete => "COMPLETE",
        Status::Incomplete => "INCOMPLETE",
        Status::Superseded => "SUPERSEDED",
    }
}

fn because_word(because: ClosedBecause) -> &'static str {
    match because {
        ClosedBecause::Evidence => "evidence",
        ClosedBecause::Quiet => "quiet",
        ClosedBecause::Patience => "patience",
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, String> {
    let bytes = read_file(path)?;
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).enumerate();
    lines
        .map(|(number, line)| {
            serde_json::from_slice(line).map_err(|error| format!("{} line {}: {error}", path.display(), number + 1))
        })
        .collect()
}
