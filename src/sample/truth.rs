//! What is true of each message, told by the one who wrote it: what records are measured against.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Line;
use crate::{
    evidence::{Hop, Role},
    mail::Digest,
};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// As its header has it.
    pub message_id: Option<String>,
    pub sender: Option<String>,
    /// By address, in lower case: all whom any report, event or, where there is neither, header names, lists whose
    /// expansion is told aside.
    pub recipients: BTreeMap<String, TrueRecipient>,
    /// Lists whose members are told, in lower case.
    pub groups: BTreeSet<String>,
    /// Every distinct original.
    pub originals: BTreeSet<Digest>,
    /// The journal addresses that want it.
    pub journals: BTreeSet<String>,
    /// What the evidence proves to be missing and never comes: `original`, or a list's address.
    pub missing: BTreeSet<String>,
    /// Distinct arrivals, and those that repeat one byte for byte.
    pub arrivals: usize,
    pub duplicates: usize,
    /// Records that it ends in: 1, or 0 where there is no message at all.
    pub records: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrueRecipient {
    /// The best that is told: To before Cc before Bcc before not told.
    pub role: Role,
    /// The longest ways by which the mail came, outermost first; none is for who was addressed directly.
    pub paths: BTreeSet<Vec<Hop>>,
}

impl Truth {
    pub(super) fn claim(&mut self, line: &Line) {
        let recipient = self
            .recipients
            .entry(line.address.to_lowercase())
            .or_insert_with(|| TrueRecipient { role: line.role, paths: BTreeSet::new() });
        recipient.role = recipient.role.min(line.role);
        if !line.path.is_empty() {
            recipient.paths.insert(line.path.clone());
        }
    }

    /// Every claim is in: the lists among the recipients are told apart, and what a longer path says is left out.
    pub(super) fn finish(&mut self) {
        for recipient in self.recipients.values_mut() {
            let all = recipient.paths.clone();
            let told_by_longer = |path: &Vec<Hop>| {
                all.iter().any(|other| other.len() > path.len() && (other.starts_with(path) || other.ends_with(path)))
            };
            recipient.paths.retain(|path| !told_by_longer(path));
            let hops = all.iter().flatten().filter(|hop| hop.how == crate::evidence::How::Expanded);
            self.groups.extend(hops.map(|hop| hop.address.to_lowercase()));
        }
        let groups = &self.groups;
        self.recipients.retain(|address, _| !groups.contains(address));
    }
}
