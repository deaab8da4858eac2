//! The record without bodies, flat enough for analytics: the value of `journal.activity`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    mail::Digest,
    record::{
        ClosedBecause, DeliveryKind, Expectation, Expected, Flag, JournalRecord, Kind, OriginalRole, Recipient, Role,
        Status,
    },
};

/// One revision of a record as scalars, counts and plain lists. What has the name of a record's field means the same;
/// `schemas/journal-activity.avsc` documents each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalActivity {
    pub record_id: String,
    pub revision: i32,
    pub status: Status,
    pub closed_because: ClosedBecause,
    pub superseded_by: Vec<String>,
    pub key: String,
    pub message_id: Option<String>,
    pub network_message_ids: Vec<String>,
    pub sender: Option<String>,
    pub sender_domain: Option<String>,
    pub on_behalf_of: Option<String>,
    pub from: Vec<String>,
    pub subject: Option<String>,
    /// Addresses alone, in the record's order.
    pub recipients: Vec<String>,
    pub recipient_domains: Vec<String>,
    pub recipient_count: i32,
    pub to_count: i32,
    pub cc_count: i32,
    pub bcc_count: i32,
    pub role_unknown_count: i32,
    pub expanded_count: i32,
    pub forwarded_count: i32,
    pub delivered_count: i32,
    pub failed_count: i32,
    pub groups: Vec<String>,
    pub unresolved: Vec<String>,
    pub original_sha256: Option<Digest>,
    pub original_size: Option<i64>,
    pub original_reference: Option<String>,
    pub variant_count: i32,
    pub decrypted_count: i32,
    pub journals: Vec<String>,
    #[serde(with = "crate::evidence::flag_names")]
    pub flags: Vec<Flag>,
    pub servers: Vec<String>,
    pub evidence_count: i32,
    pub report_count: i32,
    pub envelope_event_count: i32,
    pub notice_count: i32,
    pub plain_copy_count: i32,
    pub expected_count: i32,
    /// `ORIGINAL`, or `EXPANSION list@example.com`, …
    pub missing: Vec<String>,
    pub reason: String,
    pub first_evidence_at: i64,
    pub last_evidence_at: i64,
    pub closed_at: i64,
    pub tags: BTreeMap<String, String>,
}

impl JournalActivity {
    pub fn of(record: &JournalRecord) -> JournalActivity {
        let primary = record.originals.iter().find(|original| original.role == OriginalRole::Primary);
        let recipients = |test: &dyn Fn(&Recipient) -> bool| count(&record.recipients, test);
        let role = |role: Role| recipients(&|recipient| recipient.role == role);
        let through = |how| recipients(&|recipient| recipient.paths.iter().flatten().any(|hop| hop.how == how));
        let originals = |role: OriginalRole| count(&record.originals, |original| original.role == role);
        let evidence = |kind: Kind| count(&record.evidence, |entry| entry.kind == kind);
        JournalActivity {
            record_id: record.record_id.clone(),
            revision: record.revision,
            status: record.status,
            closed_because: record.closed_because,
            superseded_by: record.superseded_by.clone(),
            key: record.key.clone(),
            message_id: record.message_id.clone(),
            network_message_ids: record.network_message_ids.clone(),
            sender: record.sender.clone(),
            sender_domain: record.sender.as_deref().and_then(domain),
            on_behalf_of: record.on_behalf_of.clone(),
            from: record.from.clone(),
            subject: record.subject.clone(),
            recipients: record.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
            recipient_domains: distinct(record.recipients.iter().filter_map(|recipient| domain(&recipient.address))),
            recipient_count: recipients(&|_| true),
            to_count: role(Role::To),
            cc_count: role(Role::Cc),
            bcc_count: role(Role::Bcc),
            role_unknown_count: role(Role::Recipient),
            expanded_count: through(crate::evidence::How::Expanded),
            forwarded_count: through(crate::evidence::How::Forwarded),
            delivered_count: recipients(&|recipient| arrived(recipient) == Some(true)),
            failed_count: recipients(&|recipient| arrived(recipient) == Some(false)),
            groups: record.groups.iter().map(|group| group.address.clone()).collect(),
            unresolved: record.unresolved.clone(),
            original_sha256: primary.map(|original| original.sha256),
            original_size: primary.map(|original| original.size),
            original_reference: primary.and_then(|original| original.reference.clone()),
            variant_count: originals(OriginalRole::Variant),
            decrypted_count: originals(OriginalRole::Decrypted),
            journals: record.journals.iter().map(|journal| journal.address.clone()).collect(),
            flags: record.flags.clone(),
            servers: distinct(record.evidence.iter().filter_map(|entry| entry.server.clone())),
            evidence_count: count(&record.evidence, |_| true),
            report_count: evidence(Kind::Report),
            envelope_event_count: evidence(Kind::EnvelopeEvent),
            notice_count: evidence(Kind::Notice),
            plain_copy_count: evidence(Kind::PlainCopy),
            expected_count: count(&record.certificate.expected, |_| true),
            missing: record.certificate.expected.iter().filter(|one| one.met_by.is_empty()).map(name).collect(),
            reason: record.certificate.reason.clone(),
            first_evidence_at: record.first_evidence_at,
            last_evidence_at: record.last_evidence_at,
            closed_at: record.closed_at,
            tags: record.tags.clone(),
        }
    }
}

/// Whether a notice says that the mail got there; none if no notice decides it.
fn arrived(recipient: &Recipient) -> Option<bool> {
    match recipient.delivery.as_ref()?.what {
        DeliveryKind::Delivered | DeliveryKind::Relayed | DeliveryKind::Expanded | DeliveryKind::Read => Some(true),
        DeliveryKind::Failed => Some(false),
        DeliveryKind::Delayed => None,
    }
}

fn name(expected: &Expected) -> String {
    let what = match expected.what {
        Expectation::Original => "ORIGINAL",
        Expectation::Expansion => "EXPANSION",
        Expectation::ReportFrom => "REPORT_FROM",
        Expectation::Recipient => "RECIPIENT",
    };
    match &expected.who {
        Some(who) => format!("{what} {who}"),
        None => what.to_owned(),
    }
}

fn domain(address: &str) -> Option<String> {
    let (_, domain) = address.rsplit_once('@')?;
    (!domain.is_empty()).then(|| domain.to_lowercase())
}

fn distinct(texts: impl Iterator<Item = String>) -> Vec<String> {
    texts.collect::<BTreeSet<String>>().into_iter().collect()
}

/// No record holds two milliards of anything: its arrivals alone would not fit a disk.
fn count<T>(all: &[T], test: impl Fn(&T) -> bool) -> i32 {
    i32::try_from(all.iter().filter(|one| test(one)).count()).unwrap_or(i32::MAX)
}
