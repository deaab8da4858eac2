//! How one message goes: who writes to whom, which servers report it, and what is odd about it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Incoming, JOURNAL, JOURNAL_LEGAL, JournalMail, Message, Organisation, Truth, What,
    event::Telling,
    letter::{Letter, passed, with_fields},
    notice::NoticeMail,
    oddity::{Oddity, is_notice, oddity},
    people::{self, Addressee, Directory, Generation},
    random::Random,
    report::{Line, ReportMail},
    text::Body,
};
use crate::{
    arrival::Timestamp,
    evidence::{Hop, How, Role},
    mail::Digest,
};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

/// The Message-ID of the job that does not know what one is for.
const REUSED_ID: &str = "<nightly-positions@jobs.contoso.example>";

const SUBJECTS: [&str; 12] = [
    "Positions at close",
    "Draft contract, third version",
    "Minutes of the risk committee",
    "Re: settlement of yesterday's trades",
    "Budget for the new quarter",
    "Maintenance window on Saturday",
    "Price list",
    "Réunion de lundi",
    "Question about an invoice",
    "Fwd: request of the regulator",
    "Änderung der Kontoverbindung",
    "Agenda",
];

/// A letter and those it is addressed to.
struct Post {
    letter: Letter,
    author: Addressee,
    addressed: Vec<(Role, Addressee)>,
}

/// One server's part in a message.
struct Part {
    server: usize,
    lines: Vec<Line>,
    /// It reports what its mailboxes receive; else what it routes.
    receives: bool,
    delay: i64,
}

pub(super) fn message(organisation: &Organisation, index: usize) -> Message {
    let oddity = oddity(organisation, index);
    let mut telling = Teller::new(organisation, index, oddity);
    match oddity {
        Oddity::Garbage => telling.garbage(),
        Oddity::NonDelivery | Oddity::ReadReceipt | Oddity::UndeliverableReport => telling.notice(),
        Oddity::PlainCopy | Oddity::CopyPerRecipient => telling.copies(),
        _ => telling.reports(),
    }
    telling.end()
}

struct Teller<'a> {
    organisation: &'a Organisation,
    directory: &'a Directory,
    random: Random,
    index: usize,
    oddity: Oddity,
    at: Timestamp,
    arrivals: Vec<Incoming>,
    truth: Truth,
}

impl<'a> Teller<'a> {
    fn new(organisation: &'a Organisation, index: usize, oddity: Oddity) -> Teller<'a> {
        Teller {
            organisation,
            directory: &organisation.directory,
            random: Random::new(organisation.options.seed, index as u64 * 2),
            index,
            oddity,
            at: organisation.written_at(index),
            arrivals: Vec::new(),
            truth: Truth { records: 1, ..Truth::default() },
        }
    }

    fn end(mut self) -> Message {
        self.truth.finish();
        self.arrivals.sort_by_key(|incoming| incoming.at);
        Message { index: self.index, oddity: self.oddity, arrivals: self.arrivals, truth: self.truth }
    }

    // What is written.

    fn post(&mut self) -> Post {
        let author = self.author();
        let addressed = self.addressees(author);
        let address_all = |wanted: Role| -> Vec<String> {
            addressed
                .iter()
                .filter(|(role, _)| *role == wanted)
                .map(|(_, addressee)| self.directory.mailbox(*addressee))
                .collect()
        };
        let subject = match self.oddity {
            Oddity::ReusedId => "Nightly positions",
            _ => self.random.pick(&SUBJECTS),
        };
        let network_id = self.random.guid();
        let home = &self.directory.servers[self.directory.home(author)];
        let has_network_id = matches!(home.generation, Generation::Online | Generation::OnPremises);
        let letter = Letter {
            at: self.at,
            sender: self.directory.address(author),
            from: self.directory.mailbox(author),
            to: address_all(Role::To),
            cc: address_all(Role::Cc),
            subject: subject.to_owned(),
            message_id: self.message_id(),
            network_message_id: has_network_id.then_some(network_id),
        };
        self.truth.message_id.clone_from(&letter.message_id);
        self.truth.sender = Some(letter.sender.clone());
        Post { letter, author, addressed }
    }

    fn message_id(&mut self) -> Option<String> {
        let own = format!("<{:016x}.{}@contoso.example>", self.random.number(), self.index);
        match self.oddity {
            Oddity::NoMessageId => None,
            Oddity::ReusedId => Some(REUSED_ID.to_owned()),
            _ => Some(own),
        }
    }

    fn author(&mut self) -> Addressee {
        match self.oddity {
            Oddity::Inbound => Addressee::Client(self.random.between(1, 400)),
            Oddity::ReusedId => Addressee::Person(people::OPERATOR),
            _ => self.person(),
        }
    }

    fn person(&mut self) -> Addressee {
        Addressee::Person(self.random.below(self.directory.people.len()))
    }

    fn addressees(&mut self, author: Addressee) -> Vec<(Role, Addressee)> {
        let mut addressed = Vec::new();
        match self.oddity {
            Oddity::Promised | Oddity::FollowUpLate | Oddity::FollowUpLost => {
                addressed.push((Role::To, self.list_elsewhere(author)));
                addressed.push((Role::Bcc, self.person()));
            }
            Oddity::Forked => {
                let count = self.organisation.options.fork_at * 2 + self.organisation.options.fork_at / 3;
                addressed.extend((1..=count).map(|number| (Role::Bcc, Addressee::Client(number))));
            }
            _ => {}
        }
        for _ in 0..self.random.between(1, 4) {
            addressed.push((Role::To, self.person()));
        }
        if self.random.chance(300) {
            addressed.push((Role::Cc, self.person()));
        }
        if self.random.chance(150) {
            addressed.push((Role::Cc, Addressee::Client(self.random.between(1, 400))));
        }
        if self.random.chance(120) {
            addressed.push((Role::Bcc, self.person()));
        }
        if self.random.chance(160) {
            let lists = self.directory.lists.len();
            // Few write to all.
            let list = self.random.below(lists).min(self.random.below(lists));
            addressed.push((Role::To, Addressee::List(list)));
        }
        addressed
    }

    /// A list that the author's server cannot expand.
    fn list_elsewhere(&mut self, author: Addressee) -> Addressee {
        let home = self.directory.home(author);
        let choice = [people::FLOOR, people::TRADING, people::RESEARCH];
        let elsewhere: Vec<usize> =
            choice.into_iter().filter(|list| self.directory.lists[*list].server != home).collect();
        Addressee::List(*self.random.pick(&elsewhere))
    }

    /// A size around the mean: half of the mails are short, one in fifty is ten times as large.
    fn size(&mut self) -> usize {
        let drawn = self.random.below(1000);
        let (low, high) = match drawn {
            0..500 => (120, 400),
            500..850 => (400, 1600),
            850..980 => (1600, 3600),
            _ => (4000, 16_000),
        };
        self.organisation.options.original_bytes_mean * self.random.between(low, high) / 1000
    }

    fn original(&mut self, post: &Post) -> Bytes {
        let size = self.size();
        let body = match self.oddity {
            Oddity::Decrypted => encrypted(&self.organisation.pool.body(size, &mut self.random)),
            _ => self.organisation.pool.body(size, &mut self.random),
        };
        let original = post.letter.original(&body);
        let home = &self.directory.servers[self.directory.home(post.author)].name;
        passed(&original, "client.contoso.example", home, post.letter.at)
    }

    // What the servers make of it.

    /// Each server's part: the author's first, then the servers that expand lists, then those that journal what
    /// their mailboxes receive.
    fn parts(&mut self, post: &Post) -> Vec<Part> {
        let first = self.directory.home(post.author);
        let mut routing: BTreeMap<usize, Vec<Line>> = BTreeMap::from([(first, Vec::new())]);
        for (role, addressee) in &post.addressed {
            let role = if self.oddity == Oddity::Inbound { Role::Recipient } else { *role };
            self.send(first, *addressee, role, &mut Vec::new(), &mut routing);
        }
        let mut parts = Vec::new();
        for (server, lines) in routing {
            let delay = match server == first {
                true => self.random.millis(200, 1500),
                false => self.random.millis(2 * SECOND, 20 * SECOND),
            };
            parts.push(Part { server, lines, receives: false, delay });
        }
        parts.sort_by_key(|part| part.server != first);
        self.add_receiving(&mut parts);
        parts
    }

    /// Follows one address from a server that has the mail to all whom it reaches.
    fn send(
        &self,
        server: usize,
        addressee: Addressee,
        role: Role,
        path: &mut Vec<Hop>,
        parts: &mut BTreeMap<usize, Vec<Line>>,
    ) {
        let part = parts.entry(server).or_default();
        let line = self.line(addressee, role, path);
        let Addressee::List(list) = addressee else {
            part.push(line);
            return;
        };
        let list_server = self.directory.lists[list].server;
        if list_server != server {
            part.push(line.clone());
        }
        path.push(Hop { how: How::Expanded, address: line.address });
        for member in &self.directory.lists[list].members {
            self.send(list_server, *member, role, path, parts);
        }
        path.pop();
    }

    fn line(&self, addressee: Addressee, role: Role, path: &[Hop]) -> Line {
        let name = match addressee {
            Addressee::Person(person) => self.directory.people[person].name.clone(),
            _ => String::new(),
        };
        Line { address: self.directory.address(addressee), name, role, path: path.to_vec() }
    }

    /// Servers that journal what their mailboxes receive tell of these mailboxes what reached them.
    fn add_receiving(&mut self, parts: &mut Vec<Part>) {
        let mut receiving: BTreeMap<usize, Vec<Line>> = BTreeMap::new();
        for part in parts.iter() {
            for line in &part.lines {
                let Some(home) = self.directory.homes.get(&line.address) else { continue };
                if *home != part.server && self.directory.servers[*home].journals_received {
                    receiving.entry(*home).or_default().push(line.clone());
                }
            }
        }
        for (server, lines) in receiving {
            let delay = self.random.millis(5 * SECOND, 30 * SECOND);
            parts.push(Part { server, lines, receives: true, delay });
        }
    }

    fn reports(&mut self) {
        let post = self.post();
        let original = self.original(&post);
        let mut parts = self.parts(&post);
        if matches!(self.oddity, Oddity::Promised | Oddity::FollowUpLost) {
            self.tell_events(&post, &parts);
        }
        match self.oddity {
            Oddity::FollowUpLate => parts[1..].iter_mut().for_each(|part| part.delay += 25 * MINUTE),
            Oddity::FollowUpLost => self.lose_follow_ups(&mut parts),
            Oddity::Forked => self.fork(&mut parts),
            Oddity::Forwarded => self.forward(&mut parts),
            _ => {}
        }
        for (number, part) in parts.iter().enumerate() {
            let originals = self.originals_at(part, number, &original);
            self.report(&post, part, &originals);
        }
        self.repeat();
    }

    /// The reports of expanding servers are lost: what they alone would have told stays untold.
    fn lose_follow_ups(&mut self, parts: &mut Vec<Part>) {
        let first = &parts[0];
        let lists = self.directory.lists.iter().map(|list| &list.address);
        let untold = lists.filter(|list| first.lines.iter().any(|line| line.address == **list)).cloned();
        self.truth.missing.extend(untold);
        parts.truncate(1);
    }

    fn fork(&self, parts: &mut Vec<Part>) {
        let whole = parts.remove(0);
        let forks = whole.lines.chunks(self.organisation.options.fork_at).enumerate().map(|(number, lines)| Part {
            server: whole.server,
            receives: false,
            lines: lines.to_vec(),
            delay: whole.delay + i64::try_from(number).unwrap_or(0) * 400,
        });
        let forks: Vec<Part> = forks.collect();
        parts.splice(0..0, forks);
    }

    /// The first recipient's mailbox forwards to a deputy.
    fn forward(&mut self, parts: &mut [Part]) {
        let deputy = self.person();
        let part = &mut parts[0];
        let from = part.lines[0].address.clone();
        let mut line = self.line(deputy, part.lines[0].role, &part.lines[0].path);
        line.path.push(Hop { how: How::Forwarded, address: from });
        part.lines.push(line);
    }

    /// What a server has in hand: the original, with one more Received field where it came over another server.
    fn originals_at(&mut self, part: &Part, number: usize, original: &Bytes) -> Vec<Bytes> {
        let mut originals = Vec::new();
        let changed = number > 0 && self.random.chance(self.organisation.options.variants_per_mille);
        if self.oddity == Oddity::OriginalMissing {
            self.truth.missing.insert("original".to_owned());
        } else if changed {
            let server = &self.directory.servers[part.server].name;
            originals.push(passed(original, "relay.contoso.example", server, self.at.plus(millis(part.delay))));
        } else {
            originals.push(original.clone());
        }
        if self.oddity == Oddity::Decrypted {
            originals.push(decrypted(original));
        }
        self.truth.originals.extend(originals.iter().map(|bytes| Digest::of(bytes)));
        originals
    }

    fn report(&mut self, post: &Post, part: &Part, originals: &[Bytes]) {
        let server = &self.directory.servers[part.server];
        for line in &part.lines {
            self.truth.claim(&line.as_told_by(server.generation));
        }
        let journals: &[&str] = match self.oddity {
            Oddity::TwoJournals => &[JOURNAL, JOURNAL_LEGAL],
            _ => &[JOURNAL],
        };
        for (number, journal) in journals.iter().enumerate() {
            let at = self.at.plus(millis(part.delay + i64::try_from(number).unwrap_or(0) * 120));
            let report_id = self.random.guid();
            let report = ReportMail {
                generation: server.generation,
                server: &server.name,
                at,
                report_id: &report_id,
                letter: &post.letter,
                lines: &part.lines,
                originals,
            };
            self.arrive(at, report.bytes(), Some(&server.name), &[journal], post.letter.message_id.clone());
        }
    }

    fn arrive(&mut self, at: Timestamp, bytes: Bytes, server: Option<&str>, journals: &[&str], key: Option<String>) {
        self.truth.arrivals += 1;
        self.truth.journals.extend(journals.iter().map(|journal| (*journal).to_owned()));
        let journal_recipients = journals.iter().map(|journal| (*journal).to_owned()).collect();
        let mail = JournalMail { bytes, server: server.map(str::to_owned), journal_recipients, key };
        self.arrivals.push(Incoming { at, what: What::Mail(mail) });
    }

    /// The last report comes a second time.
    fn repeat(&mut self) {
        let after = match self.oddity {
            Oddity::Duplicate => 3 * SECOND,
            Oddity::Retransmission => 2 * DAY,
            _ => return,
        };
        let Some(last) = self.arrivals.last().cloned() else { return };
        self.truth.duplicates += 1;
        self.arrivals.push(Incoming { at: last.at.plus(millis(after)), what: last.what });
    }

    /// The author's server tells to whom the mail is addressed, each server that expands a list tells its members, and
    /// each says that it will report.
    fn tell_events(&mut self, post: &Post, parts: &[Part]) {
        let told_by = if self.oddity == Oddity::FollowUpLost { 1 } else { parts.len() };
        let role = |role: Role, addressee: Addressee| self.line(addressee, role, &[]);
        let addressed: Vec<Line> = post.addressed.iter().map(|(how, who)| role(*how, *who)).collect();
        self.tell(post, &parts[0], None, addressed);
        for part in &parts[..told_by] {
            let mut by_list: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
            for line in part.lines.iter().filter(|_| !part.receives) {
                if let Some(list) = line.path.last() {
                    by_list.entry(&list.address).or_default().push(line.clone());
                }
            }
            for (list, lines) in by_list {
                self.tell(post, part, Some(list), lines);
            }
        }
    }

    fn tell(&mut self, post: &Post, part: &Part, list: Option<&str>, lines: Vec<Line>) {
        lines.iter().for_each(|line| self.truth.claim(line));
        let lines: Vec<(Line, bool)> = lines
            .into_iter()
            .map(|line| {
                let is_list = self.is_list(&line.address);
                (line, is_list)
            })
            .collect();
        let at = self.at.plus(millis(part.delay / 2));
        let telling = Telling {
            event_id: self.random.guid(),
            server: &self.directory.servers[part.server],
            at,
            letter: &post.letter,
            lines: &lines,
            journaled_to: &[JOURNAL.to_owned()],
        };
        let event = match list {
            Some(list) => telling.expanded(list),
            None => telling.submitted(),
        };
        self.truth.arrivals += 1;
        self.arrivals.push(Incoming { at, what: What::Event(Box::new(event)) });
    }

    fn is_list(&self, address: &str) -> bool {
        self.directory.lists.iter().any(|list| list.address == address)
    }

    // What comes without a report.

    fn copies(&mut self) {
        let post = self.post();
        let original = self.original(&post);
        let told: Vec<Line> = post
            .addressed
            .iter()
            .filter(|(role, _)| *role != Role::Bcc)
            .map(|(role, addressee)| self.line(*addressee, *role, &[]))
            .collect();
        told.iter().for_each(|line| self.truth.claim(line));
        if self.oddity == Oddity::PlainCopy {
            self.copy(&post, original, 700);
            return;
        }
        for (number, (_, addressee)) in post.addressed.iter().enumerate() {
            let address = self.directory.address(*addressee);
            self.truth.claim(&Line::new(Role::Recipient, &address));
            let copy = with_fields(&original, &[("Delivered-To", &address)]);
            self.copy(&post, copy, 700 + i64::try_from(number).unwrap_or(0) * 250);
        }
    }

    fn copy(&mut self, post: &Post, copy: Bytes, delay: i64) {
        self.truth.originals.insert(Digest::of(&copy));
        self.arrive(self.at.plus(millis(delay)), copy, None, &[JOURNAL], post.letter.message_id.clone());
    }

    /// A notice about the last letter before it.
    fn notice(&mut self) {
        let is_letter = |index: &usize| {
            let oddity = oddity(self.organisation, *index);
            !is_notice(oddity) && oddity != Oddity::Garbage
        };
        let about = (0..self.index).rev().find(is_letter).unwrap_or(0);
        let post = Teller::new(self.organisation, about, oddity(self.organisation, about)).post();
        let recipient = post.addressed.iter().find(|(role, _)| *role == Role::To).map_or(post.author, |(_, who)| *who);
        let recipient = self.directory.address(recipient);
        let server = &self.directory.servers[self.directory.home(post.author)];
        let (id, at) = (self.random.guid(), self.at.plus(millis(2 * SECOND)));
        let notice = NoticeMail { server: &server.name, at, id: &id, letter: &post.letter, recipient: &recipient };
        let bytes = match self.oddity {
            Oddity::NonDelivery => notice.failed(),
            Oddity::ReadReceipt => notice.displayed(),
            _ => notice.undeliverable(&self.report_of_before(about)),
        };
        let message_id = notice.message_id();
        self.truth.message_id = Some(message_id.clone());
        self.truth.claim(&Line::new(Role::To, &post.letter.sender));
        self.truth.originals.insert(Digest::of(&bytes));
        self.arrive(at, bytes, Some(&server.name), &[JOURNAL], Some(message_id));
    }

    fn report_of_before(&self, about: usize) -> Bytes {
        let mails = message(self.organisation, about).arrivals.into_iter();
        mails
            .filter_map(|incoming| match incoming.what {
                What::Mail(mail) => Some(mail.bytes),
                What::Event(_) => None,
            })
            .next()
            .unwrap_or_default()
    }

    /// Bytes in which no mail can be seen: a picture that someone sent to the journal's port.
    fn garbage(&mut self) {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0".to_vec();
        for _ in 0..64 {
            bytes.extend_from_slice(&self.random.number().to_be_bytes());
        }
        self.truth.records = 0;
        self.arrive(self.at.plus(millis(SECOND)), bytes.into(), None, &[JOURNAL], None);
    }
}

fn millis(millis: i64) -> std::time::Duration {
    std::time::Duration::from_millis(millis.unsigned_abs())
}

/// A body as rights management sends it: the mail itself in an attachment that cannot be read.
fn encrypted(body: &Body) -> Body {
    let fields = "Content-Class: rpmsg.message\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"_000_rpmsg_\"\r\n";
    let mut bytes = b"--_000_rpmsg_\r\nContent-Type: text/plain\r\n\r\nThis message is protected.\r\n".to_vec();
    bytes.extend_from_slice(
        b"\r\n--_000_rpmsg_\r\nContent-Type: application/x-microsoft-rpmsg-message; name=\"message.rpmsg\"\r\n",
    );
    bytes.extend_from_slice(b"Content-Transfer-Encoding: base64\r\n\r\n");
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let sealed: Vec<u8> = body.bytes.iter().map(|byte| byte ^ 0xa5).collect();
    for line in sealed.chunks(57) {
        bytes.extend_from_slice(STANDARD.encode(line).as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n--_000_rpmsg_--\r\n");
    Body { fields: fields.to_owned(), bytes }
}

/// The same mail's header with a body in clear text.
fn decrypted(original: &Bytes) -> Bytes {
    let header_end = memchr::memmem::find(original, b"Content-Class: ").unwrap_or(original.len());
    let mut bytes = original[..header_end].to_vec();
    bytes.extend_from_slice(b"Content-Type: text/plain; charset=\"us-ascii\"\r\n\r\nThe figures, in the clear.\r\n");
    bytes.into()
}
