//! Notices: a non-delivery report, a read receipt, a journal report that came back (journal-formats §7).

use bytes::Bytes;

use super::{
    letter::{Letter, date, put_received, subject_field},
    text::put,
};
use crate::arrival::Timestamp;

/// What a server or a reader tells the sender of a letter.
#[derive(Clone, Debug)]
pub struct NoticeMail<'a> {
    pub server: &'a str,
    pub at: Timestamp,
    /// The local part of its own Message-ID.
    pub id: &'a str,
    pub letter: &'a Letter,
    /// The recipient that it speaks of.
    pub recipient: &'a str,
}

impl NoticeMail<'_> {
    /// Its own Message-ID.
    pub fn message_id(&self) -> String {
        format!("<{}@{}>", self.id, self.server)
    }

    /// A delivery status notification (RFC 3464) that returns the letter's header.
    pub fn failed(&self) -> Bytes {
        let returned = self.letter.original(&super::text::Body::plain(""));
        let from = format!("Microsoft Exchange <postmaster@{}>", self.server);
        self.report(
            &from,
            "Undeliverable: ",
            "delivery-status",
            &self.delivery_status(),
            "text/rfc822-headers",
            &returned,
        )
    }

    /// A message disposition notification (RFC 8098): displayed.
    pub fn displayed(&self) -> Bytes {
        let mut fields = format!("Final-Recipient: rfc822;{}\r\n", self.recipient);
        if let Some(message_id) = &self.letter.message_id {
            fields += &format!("Original-Message-ID: {message_id}\r\n");
        }
        fields += "Disposition: manual-action/MDN-sent-manually; displayed\r\n";
        self.report(self.recipient, "Read: ", "disposition-notification", &fields, "", b"")
    }

    /// A non-delivery report, to the mailbox for such, that returns a journal report whole.
    pub fn undeliverable(&self, report: &[u8]) -> Bytes {
        let from = format!("Microsoft Exchange <postmaster@{}>", self.server);
        self.report(&from, "Undeliverable: ", "delivery-status", &self.delivery_status(), "message/rfc822", report)
    }

    fn delivery_status(&self) -> String {
        let (server, recipient, at) = (self.server, self.recipient, date(self.at));
        format!(
            "Reporting-MTA: dns;{server}\r\nArrival-Date: {at}\r\n\r\nOriginal-Recipient: rfc822;{recipient}\r\n\
             Final-Recipient: rfc822;{recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Diagnostic-Code: smtp;550 5.1.1 RESOLVER.ADR.RecipNotFound; not found\r\n"
        )
    }

    fn report(
        &self,
        from: &str,
        prefix: &str,
        kind: &str,
        status: &str,
        returned_type: &str,
        returned: &[u8],
    ) -> Bytes {
        let boundary = format!("={}=", self.id);
        let mut bytes = Vec::with_capacity(returned.len() + 2048);
        put_received(&mut bytes, self.server, "inbound.archive.example", self.at);
        put(&mut bytes, &["From: ", from, "\r\nTo: ", &self.letter.sender, "\r\nSubject: ", prefix]);
        put(&mut bytes, &[&subject_field(&self.letter.subject), "\r\nDate: ", &date(self.at), "\r\n"]);
        put(&mut bytes, &["Message-ID: ", &self.message_id(), "\r\nAuto-Submitted: auto-replied\r\n"]);
        if let Some(message_id) = &self.letter.message_id {
            put(&mut bytes, &["In-Reply-To: ", message_id, "\r\nReferences: ", message_id, "\r\n"]);
        }
        put(&mut bytes, &["MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=", kind]);
        put(&mut bytes, &[";\r\n\tboundary=\"", &boundary, "\"\r\n\r\n--", &boundary, "\r\n"]);
        put(&mut bytes, &["Content-Type: text/plain; charset=\"us-ascii\"\r\n\r\n", prefix, self.recipient, "\r\n"]);
        put(&mut bytes, &["\r\n--", &boundary, "\r\nContent-Type: message/", kind, "\r\n\r\n", status]);
        if !returned.is_empty() {
            put(&mut bytes, &["\r\n--", &boundary, "\r\nContent-Type: ", returned_type, "\r\n\r\n"]);
            bytes.extend_from_slice(returned);
        }
        put(&mut bytes, &["\r\n--", &boundary, "--\r\n"]);
        bytes.into()
    }
}
