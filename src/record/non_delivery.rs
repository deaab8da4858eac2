//! What a notice says became of a mail: the value of `journal.ndr`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    evidence::{FoundBy, Notice, RecipientStatus},
    mail::Digest,
    record::JournalRecord,
};

/// What could not be delivered (or was delayed, delivered, read), of which mail, to whom, with the notice itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NonDelivery {
    /// The record of the notice, which is a mail of its own.
    pub record_id: String,
    /// The revision of that record with which this was told.
    pub revision: i32,
    /// The Message-ID of the mail that the notice is about.
    pub message_id: Option<String>,
    /// The record of that mail, where the notice returned its From and Date.
    pub message_record_id: Option<String>,
    pub found_by: Option<FoundBy>,
    pub reporting_mta: Option<String>,
    pub original_envelope_id: Option<String>,
    pub recipients: Vec<RecipientStatus>,
    /// The recipients with the action `failed`, each once.
    pub failed: Vec<String>,
    /// The notice's envelope sender, mostly the null sender `""`.
    pub sender: Option<String>,
    /// The notice's subject.
    pub subject: Option<String>,
    /// When the notice arrived and where it lies.
    pub at: i64,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub arrival_sha256: Digest,
    /// Of the notice's own bytes.
    pub sha256: Option<Digest>,
    pub size: Option<i64>,
    #[serde(with = "crate::avro::content")]
    pub notice: Option<Bytes>,
    /// Where its bytes are, if not here.
    pub reference: Option<String>,
}

impl NonDelivery {
    /// From the notice's record, with its originals' contents filled in: `arrival` is the notice's piece of evidence,
    /// `original` the index in `record.originals` of the notice itself. None if the record has no such evidence.
    pub fn build(
        record: &JournalRecord,
        notice: &Notice,
        arrival: Digest,
        original: Option<usize>,
    ) -> Option<NonDelivery> {
        let entry = record.evidence.iter().find(|entry| entry.sha256 == arrival)?;
        let original = original.and_then(|index| record.originals.get(index));
        Some(NonDelivery {
            record_id: record.record_id.clone(),
            revision: record.revision,
            message_id: notice.about.clone(),
            message_record_id: message_record_id(notice),
            found_by: notice.found_by,
            reporting_mta: notice.reporting_mta.clone(),
            original_envelope_id: notice.original_envelope_id.clone(),
            recipients: notice.statuses.clone(),
            failed: failed(&notice.statuses),
            sender: record.sender.clone(),
            subject: record.subject.clone(),
            at: entry.at,
            topic: entry.topic.clone(),
            partition: entry.partition,
            offset: entry.offset,
            arrival_sha256: arrival,
            sha256: original.map(|original| original.sha256),
            size: original.map(|original| original.size),
            notice: original.and_then(|original| original.content.clone()),
            reference: original.and_then(|original| original.reference.clone()),
        })
    }
}

/// A record id is the key and the guard (contract §3), and a notice that returned headers has both.
fn message_record_id(notice: &Notice) -> Option<String> {
    Some(format!("{}#{}", notice.about.as_ref()?, notice.about_guard?))
}

fn failed(statuses: &[RecipientStatus]) -> Vec<String> {
    let mut failed: Vec<String> = Vec::new();
    for status in statuses.iter().filter(|status| status.action.as_deref() == Some("failed")) {
        let address = status.final_recipient.as_ref().or(status.original_recipient.as_ref());
        failed.extend(address.cloned());
    }
    let mut seen = std::collections::BTreeSet::new();
    failed.retain(|address| seen.insert(address.to_lowercase()));
    failed
}
