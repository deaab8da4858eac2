//! A mail as evidence reads it: its header block, its leaves, and what is read alike in every form.

use std::{collections::BTreeMap, ops::Range};

use super::{Evidence, Form, Kind, RecipientClaim, RecipientKind, Role};
use crate::mail::{
    Digest, Key, address,
    decode::text_of,
    headers::{Field, Head},
    key::message_id_key,
    parts::{self, Leaves},
};

/// A mail within an arrival, cut but not yet understood. Spans are of the arrival.
pub(super) struct Mail<'a> {
    /// The whole arrival.
    pub bytes: &'a [u8],
    pub span: Range<usize>,
    pub head: Head<'a>,
    pub leaves: Leaves<'a>,
}

impl<'a> Mail<'a> {
    pub fn read(bytes: &'a [u8], span: Range<usize>) -> Mail<'a> {
        let head = Head::read(&bytes[span.clone()]);
        let leaves = parts::leaves(bytes, span.clone(), head.clone());
        Mail { bytes, span, head, leaves }
    }

    pub fn all(&self) -> &'a [u8] {
        &self.bytes[self.span.clone()]
    }
}

impl Evidence {
    /// Evidence that says nothing yet.
    pub(super) fn of_mail(id: Digest, kind: Kind, form: Form) -> Evidence {
        Evidence {
            id,
            kind,
            form,
            key: Key::stand_in(id),
            message_id: None,
            network_message_id: None,
            report_id: None,
            server: None,
            sender: None,
            on_behalf_of: None,
            subject: None,
            recipients: Vec::new(),
            groups: Vec::new(),
            journaled_to: Vec::new(),
            originals: Vec::new(),
            notice: None,
            flags: Vec::new(),
            tags: BTreeMap::new(),
        }
    }
}

/// A header block's own Message-ID: as key, and as found.
pub(super) fn message_id_of(head: &Head) -> Option<(Key, String)> {
    let found = head.text("Message-ID")?;
    Some((message_id_key(&found)?, found))
}

/// Exchange's Network-Message-Id of a mail, as the organisation (or the other half of a hybrid) stamped it. The
/// CrossTenant one is of the copy, not of the message.
pub(super) fn network_message_id_of(head: &Head) -> Option<String> {
    let names = ["X-MS-Exchange-Organization-Network-Message-Id", "X-MS-Exchange-CrossPremises-Network-Message-Id"];
    names.iter().find_map(|name| normal_guid(&head.text(name)?))
}

/// A GUID as 32 lower-case hex digits.
pub(super) fn normal_guid(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|letter| !matches!(letter, '-' | '{' | '}')).collect();
    let is_guid = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_guid.then(|| digits.to_ascii_lowercase())
}

/// Who the header fields of a mail say received it: what there is where no envelope is.
pub(super) fn header_recipients(head: &Head) -> Vec<RecipientClaim> {
    let fields = [
        ("To", Role::To),
        ("Cc", Role::Cc),
        ("Bcc", Role::Bcc),
        ("Delivered-To", Role::Recipient),
        ("X-Original-To", Role::Recipient),
    ]
    .into_iter()
    .chain(ENVELOPE_TO);
    let of = |(name, role)| head.all(name).flat_map(move |field| claims(field, role)).collect::<Vec<_>>();
    fields.flat_map(of).collect()
}

/// Fields in which servers write who received into the mail itself: Postfix and qpsmtpd, Piler, BlueMind (which copies
/// the To alone; journal-formats §3.3, §3.6).
const ENVELOPE_TO: [(&str, Role); 3] = [
    ("X-Envelope-To", Role::Recipient),
    ("X-Piler-Envelope-To", Role::Recipient),
    ("X-BM-Journaling-Orig-To", Role::To),
];

/// Fields in which the same servers write who sent.
const ENVELOPE_FROM: [&str; 2] = ["X-Envelope-From", "X-BM-Journaling-Orig-From"];

/// Whether a server wrote the envelope into the mail's header block.
pub(super) fn has_envelope_headers(head: &Head) -> bool {
    let names = ENVELOPE_TO.iter().map(|(name, _)| name).chain(&ENVELOPE_FROM);
    names.into_iter().any(|name| head.has(name))
}

fn claims(field: &Field, role: Role) -> Vec<RecipientClaim> {
    let value = field.unfolded();
    let claim = |mailbox: address::Mailbox| RecipientClaim {
        address: mailbox.address,
        display_name: mailbox.display_name,
        role,
        path: Vec::new(),
        what: RecipientKind::Unknown,
        original: None,
        delivery: None,
    };
    address::parse_list(&text_of(&value)).into_iter().map(claim).collect()
}

/// The envelope sender that a mail's header fields tell: a server's own field, else `Return-Path`; `""` is the null
/// sender.
pub(super) fn header_sender(head: &Head) -> Option<String> {
    let value = ENVELOPE_FROM.iter().chain(&["Return-Path"]).find_map(|name| head.text(name))?;
    Some(address::parse(&value).map(|mailbox| mailbox.address.text).unwrap_or_default())
}

/// The server that first sent a mail, by its oldest (last) `Received`: the host behind `from`, if it has a full name,
/// else the one behind `by`.
pub(super) fn first_server(head: &Head) -> Option<String> {
    let stamp = head.all("Received").next_back()?.unfolded();
    let stamp = text_of(&stamp);
    let host = |word: &str| {
        let mut words = stamp.split_ascii_whitespace();
        words.find(|given| given.eq_ignore_ascii_case(word))?;
        words
            .next()
            .map(|host| host.trim_end_matches([';', '.', ',']))
            .filter(|host| is_host_name(host))
            .map(str::to_owned)
    };
    host("from").filter(|host| host.contains('.')).or_else(|| host("by"))
}

fn is_host_name(host: &str) -> bool {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_number = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    !host.is_empty() && host.bytes().all(is_name_byte) && !is_number
}
