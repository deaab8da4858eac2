//! Journal reports in the forms of several server generations (journal-formats §1–§3), written from their description.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{
    letter::{Letter, date, put_mailboxes, put_received, subject_field},
    people::Generation,
    text::put,
};
use crate::{
    arrival::Timestamp,
    evidence::{Hop, How, Role},
};

/// One recipient as a server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub address: String,
    /// Printed by Exchange 2003 only.
    pub name: String,
    pub role: Role,
    /// Outermost first.
    pub path: Vec<Hop>,
}

impl Line {
    pub fn new(role: Role, address: &str) -> Line {
        Line { address: address.to_owned(), name: String::new(), role, path: Vec::new() }
    }

    /// As a member of these lists, the outermost first.
    pub fn expanded(role: Role, address: &str, lists: &[&str]) -> Line {
        let hop = |list: &&str| Hop { how: How::Expanded, address: (*list).to_owned() };
        Line { path: lists.iter().map(hop).collect(), ..Line::new(role, address) }
    }

    /// As the one to whom `from` forwards.
    pub fn forwarded(role: Role, address: &str, from: &str) -> Line {
        Line { path: vec![Hop { how: How::Forwarded, address: from.to_owned() }], ..Line::new(role, address) }
    }

    /// What is left of it in the text of a report of this generation.
    pub fn as_told_by(&self, generation: Generation) -> Line {
        match generation {
            Generation::Exchange2003 => Line { role: Role::Recipient, path: Vec::new(), ..self.clone() },
            _ => self.clone(),
        }
    }
}

/// One server's journal report of one letter.
#[derive(Clone, Debug)]
pub struct ReportMail<'a> {
    pub generation: Generation,
    pub server: &'a str,
    /// When the server wrote it.
    pub at: Timestamp,
    /// The local part of its own Message-ID: new for each report, the same when it is sent again.
    pub report_id: &'a str,
    pub letter: &'a Letter,
    pub lines: &'a [Line],
    /// The original; none if it was stripped; a decrypted copy follows an encrypted original.
    pub originals: &'a [Bytes],
}

impl ReportMail<'_> {
    pub fn bytes(&self) -> Bytes {
        let originals: usize = self.originals.iter().map(Bytes::len).sum();
        let mut bytes = Vec::with_capacity(originals + 2048 + self.lines.len() * 80);
        let boundary = format!("_{}_", self.report_id);
        put_received(&mut bytes, self.server, "inbound.archive.example", self.at);
        match self.generation {
            Generation::Exchange2003 => self.put_header_2003(&mut bytes),
            Generation::WorkMail => self.put_header_workmail(&mut bytes),
            _ => self.put_header_exchange(&mut bytes),
        }
        put(
            &mut bytes,
            &["MIME-Version: 1.0\r\nContent-Type: multipart/mixed;\r\n\tboundary=\"", &boundary, "\"\r\n\r\n"],
        );
        put(&mut bytes, &["--", &boundary, "\r\n"]);
        put_text_part(&mut bytes, &self.text());
        for original in self.originals {
            put(&mut bytes, &["\r\n--", &boundary, "\r\nContent-Type: message/rfc822\r\n\r\n"]);
            bytes.extend_from_slice(original);
        }
        put(&mut bytes, &["\r\n--", &boundary, "--\r\n"]);
        bytes.into()
    }

    fn put_header_exchange(&self, bytes: &mut Vec<u8>) {
        self.put_copied_fields(bytes);
        put(bytes, &["Sender:\r\n\t<MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@contoso.example>\r\n"]);
        put(bytes, &["Message-ID: <", self.report_id, "@journal.report.generator>\r\n"]);
        put(bytes, &["Date: ", &date(self.at), "\r\nX-MS-Journal-Report:\r\n"]);
        if let (Some(message_id), true) = (&self.letter.message_id, self.generation != Generation::Exchange2007) {
            put(bytes, &["X-MS-Exchange-Parent-Message-Id:\r\n\t", message_id, "\r\n"]);
        }
        if self.generation == Generation::Online {
            put(bytes, &["Auto-Submitted: auto-generated\r\n"]);
            put(bytes, &["X-MS-Exchange-Generated-Message-Source: Journal Agent\r\n"]);
        }
    }

    fn put_header_2003(&self, bytes: &mut Vec<u8>) {
        self.put_copied_fields(bytes);
        put(bytes, &["Message-ID: <", self.report_id, "@", self.server, ">\r\nDate: ", &date(self.at), "\r\n"]);
        // The misspelling is Exchange 2003's own.
        put(bytes, &["Content-Identifer: ExJournalReport\r\nContent-Class: urn:content-classes:message\r\n"]);
    }

    fn put_header_workmail(&self, bytes: &mut Vec<u8>) {
        put(bytes, &["From: amazonjournaling@contoso.awsapps.example\r\nTo: journal@archive.example\r\n"]);
        put(bytes, &["Subject: ", &subject_field(&self.letter.subject), "\r\nMessage-ID: <", self.report_id]);
        put(bytes, &["@", self.server, ">\r\nDate: ", &date(self.at), "\r\nX-WM-Journal-Report: journal\r\n"]);
    }

    /// A report's From, To and Subject are the original's.
    fn put_copied_fields(&self, bytes: &mut Vec<u8>) {
        put(bytes, &["From: ", &self.letter.from, "\r\n"]);
        put_mailboxes(bytes, "To", &self.letter.to);
        put(bytes, &["Subject: ", &subject_field(&self.letter.subject), "\r\n"]);
    }

    fn text(&self) -> String {
        if self.generation == Generation::Exchange2003 {
            return self.text_2003();
        }
        let mut text = format!("Sender: {}\r\n", self.letter.sender);
        let message_id = self.letter.message_id.as_ref();
        match self.generation {
            Generation::Online | Generation::WorkMail => {
                text += &format!("Subject: {}\r\n", self.letter.subject);
                text += &message_id.map(|id| format!("Message-Id: {id}\r\n")).unwrap_or_default();
            }
            _ => {
                text += &message_id.map(|id| format!("Message-ID: {id}\r\n")).unwrap_or_default();
                text += &format!("Subject: {}\r\n", self.letter.subject);
            }
        }
        for line in self.lines {
            put_line(&mut text, line);
        }
        text
    }

    fn text_2003(&self) -> String {
        let mut text = format!("Sender: {}\r\n", self.letter.from);
        text += &self.letter.message_id.as_ref().map(|id| format!("Message-ID: {id}\r\n")).unwrap_or_default();
        text += "Recipients:\r\n";
        for line in self.lines {
            text += &match line.name.as_str() {
                "" => format!("\t{}\r\n", line.address),
                name => format!("\t{name} <{}>\r\n", line.address),
            };
        }
        text
    }
}

fn put_line(text: &mut String, line: &Line) {
    let role = match line.role {
        Role::To => "To",
        Role::Cc => "Cc",
        Role::Bcc => "Bcc",
        Role::Recipient => "Recipient",
    };
    text.extend([role, ": ", &line.address]);
    // The suffix nearest the recipient is the innermost list.
    for hop in line.path.iter().rev() {
        let how = match hop.how {
            How::Expanded => ", Expanded: ",
            How::Forwarded => ", Forwarded: ",
        };
        text.extend([how, &hop.address]);
    }
    text.push_str("\r\n");
}

fn put_text_part(bytes: &mut Vec<u8>, text: &str) {
    if text.is_ascii() {
        put(
            bytes,
            &["Content-Type: text/plain; charset=\"us-ascii\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n", text],
        );
        return;
    }
    put(bytes, &["Content-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: base64\r\n\r\n"]);
    for line in STANDARD.encode(text).as_bytes().chunks(76) {
        bytes.extend_from_slice(line);
        put(bytes, &["\r\n"]);
    }
}
