//! How much one arrival may claim: what its evidence holds must fit one entry of the changelog, and a few bytes of an
//! arrival must not become many of evidence. What is left out is flagged.

use super::{Evidence, Flag, GroupClaim, Notice, Original, RecipientClaim, RecipientStatus};
use crate::limits;

/// Leaves out what is beyond the bounds; the last of a list goes first.
pub(super) fn bound(evidence: &mut Evidence) {
    let mut cut = bound_texts(evidence);
    for claim in &mut evidence.recipients {
        cut |= bound_claim(claim);
    }
    let mut room = limits::EVIDENCE_BYTES_MAX;
    for original in &mut evidence.originals {
        cut |= keep_fitting(&mut original.from, &mut room, |address| 4 + address.len());
        cut |= drop_long(&mut original.place.uri, limits::HEADER_TEXT_BYTES_MAX);
    }
    if let Some(notice) = &mut evidence.notice {
        cut |= keep_fitting(&mut notice.statuses, &mut room, status_bytes);
    }
    cut |= keep_fitting(&mut evidence.groups, &mut room, group_bytes);
    cut |= keep_fitting(&mut evidence.journaled_to, &mut room, |address| 4 + address.len());
    let tags = evidence.tags.len();
    evidence.tags.retain(|_, value| value.len() <= limits::HEADER_TEXT_BYTES_MAX);
    cut |= evidence.tags.len() < tags;
    cut |= keep_fitting(&mut evidence.recipients, &mut room, RecipientClaim::datum_bytes_at_most);
    if cut && let Err(place) = evidence.flags.binary_search(&Flag::Truncated) {
        evidence.flags.insert(place, Flag::Truncated);
    }
}

impl Evidence {
    /// Bytes that the evidence takes as Avro, at most.
    pub fn datum_bytes_at_most(&self) -> usize {
        let Evidence { message_id, network_message_id, report_id, server, sender, on_behalf_of, subject, .. } = self;
        let texts = [message_id, network_message_id, report_id, server, sender, on_behalf_of, subject];
        let lists = [
            texts.into_iter().map(text_bytes).sum(),
            self.recipients.iter().map(RecipientClaim::datum_bytes_at_most).sum(),
            self.groups.iter().map(group_bytes).sum(),
            self.journaled_to.iter().map(|address| 4 + address.len()).sum(),
            self.originals.iter().map(original_bytes).sum(),
            self.notice.as_ref().map_or(0, notice_bytes),
            self.flags.len() * FLAG_BYTES_MAX,
            self.tags.iter().map(|(name, value)| 10 + name.len() + value.len()).sum::<usize>(),
        ];
        160 + self.key.as_str().len() + lists.iter().sum::<usize>()
    }
}

/// The longest name of a flag, and its length.
const FLAG_BYTES_MAX: usize = 24;

fn text_bytes(text: &Option<String>) -> usize {
    text.as_ref().map_or(1, |text| 5 + text.len())
}

fn group_bytes(group: &GroupClaim) -> usize {
    16 + group.address.len()
}

fn original_bytes(original: &Original) -> usize {
    let from: usize = original.from.iter().map(|address| 4 + address.len()).sum();
    250 + text_bytes(&original.place.uri) + text_bytes(&original.subject) + from
}

fn notice_bytes(notice: &Notice) -> usize {
    let texts = [&notice.about, &notice.reporting_mta, &notice.original_envelope_id];
    40 + texts.into_iter().map(text_bytes).sum::<usize>() + notice.statuses.iter().map(status_bytes).sum::<usize>()
}

impl RecipientClaim {
    /// Bytes that the claim takes as Avro, at most.
    pub fn datum_bytes_at_most(&self) -> usize {
        let option = |text: &Option<String>| text.as_ref().map_or(0, |text| 4 + text.len());
        let path: usize = self.path.iter().map(|hop| 6 + hop.address.len()).sum();
        let delivery = if self.delivery.is_some() { 11 } else { 0 };
        12 + self.address.text.len() + option(&self.display_name) + path + option(&self.original) + delivery
    }
}

pub(super) fn status_bytes(status: &RecipientStatus) -> usize {
    status_texts(status).map(|text| 5 + text.len()).sum::<usize>() + 5
}

fn status_texts(status: &RecipientStatus) -> impl Iterator<Item = &String> {
    let RecipientStatus { final_recipient, original_recipient, action, status, diagnostic } = status;
    [final_recipient, original_recipient, action, status, diagnostic].into_iter().flatten()
}

fn keep_fitting<T>(list: &mut Vec<T>, room: &mut usize, bytes: impl Fn(&T) -> usize) -> bool {
    let fitting = list.iter().take_while(|one| room.checked_sub(bytes(one)).inspect(|left| *room = *left).is_some());
    let count = fitting.count();
    let cut = count < list.len();
    list.truncate(count);
    cut
}

/// A subject is cut; what names something is left out whole, for half a name is another's.
fn bound_texts(evidence: &mut Evidence) -> bool {
    let mut cut = false;
    if let Some(subject) = &mut evidence.subject {
        cut |= cut_text(subject, limits::HEADER_TEXT_BYTES_MAX);
    }
    let Evidence { message_id, network_message_id, report_id, server, sender, on_behalf_of, .. } = evidence;
    for name in [message_id, network_message_id, report_id, server, sender, on_behalf_of] {
        cut |= drop_long(name, limits::HEADER_TEXT_BYTES_MAX);
    }
    if let Some(Notice { reporting_mta, original_envelope_id, statuses, .. }) = &mut evidence.notice {
        cut |= drop_long(reporting_mta, limits::HEADER_TEXT_BYTES_MAX);
        cut |= drop_long(original_envelope_id, limits::HEADER_TEXT_BYTES_MAX);
        for RecipientStatus { final_recipient, original_recipient, action, diagnostic, .. } in statuses {
            for name in [final_recipient, original_recipient, action] {
                cut |= drop_long(name, limits::HEADER_TEXT_BYTES_MAX);
            }
            if let Some(diagnostic) = diagnostic {
                cut |= cut_text(diagnostic, limits::DIAGNOSTIC_BYTES_MAX);
            }
        }
    }
    cut
}

fn bound_claim(claim: &mut RecipientClaim) -> bool {
    let hops = claim.path.len();
    claim.path.retain(|hop| hop.address.len() <= limits::PATH_HOP_BYTES_MAX);
    let mut cut = claim.path.len() < hops || drop_long(&mut claim.original, limits::PATH_HOP_BYTES_MAX);
    if let Some(name) = &mut claim.display_name {
        cut |= cut_text(name, limits::DISPLAY_NAME_BYTES_MAX);
    }
    cut
}

fn drop_long(text: &mut Option<String>, bytes_max: usize) -> bool {
    let long = text.as_ref().is_some_and(|text| text.len() > bytes_max);
    if long {
        *text = None;
    }
    long
}

fn cut_text(text: &mut String, bytes_max: usize) -> bool {
    let long = text.len() > bytes_max;
    text.truncate(text.floor_char_boundary(bytes_max));
    long
}
