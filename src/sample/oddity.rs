//! What can be odd about a message, and how often it is.

use super::{Organisation, random::Random};

/// What is odd about a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oddity {
    Ordinary,
    /// From outside: its reports tell recipients, not how they were addressed.
    Inbound,
    /// The sender's server tells in envelope events what it expects; the expanding servers too.
    Promised,
    /// As `Promised`, but an expanding server never reports.
    FollowUpLost,
    /// An expanding server reports 25 minutes late: after the publication.
    FollowUpLate,
    /// One report arrives twice, byte for byte, seconds apart.
    Duplicate,
    /// One report arrives again two days later, byte for byte.
    Retransmission,
    /// Each server reports to two journal mailboxes.
    TwoJournals,
    /// A scheduled job writes each of its mails under the same Message-ID.
    ReusedId,
    NoMessageId,
    /// A mailbox of someone forwards to another.
    Forwarded,
    /// No report: one copy of the mail, its Bcc untold.
    PlainCopy,
    /// No report: a copy for each recipient, with Delivered-To.
    CopyPerRecipient,
    /// The report lost its original on the way.
    OriginalMissing,
    /// An encrypted original and its decrypted copy.
    Decrypted,
    /// More recipients than one fork takes.
    Forked,
    /// A non-delivery report about the message before.
    NonDelivery,
    /// A read receipt for the message before.
    ReadReceipt,
    /// A journal report that came back to the mailbox for such.
    UndeliverableReport,
    /// Not a mail.
    Garbage,
}

/// Of 1,000 messages.
pub(super) const USUAL: [(Oddity, usize); 18] = [
    (Oddity::Inbound, 250),
    (Oddity::Promised, 60),
    (Oddity::FollowUpLost, 2),
    (Oddity::FollowUpLate, 4),
    (Oddity::Duplicate, 30),
    (Oddity::Retransmission, 4),
    (Oddity::TwoJournals, 40),
    (Oddity::ReusedId, 2),
    (Oddity::NoMessageId, 10),
    (Oddity::Forwarded, 20),
    (Oddity::PlainCopy, 10),
    (Oddity::CopyPerRecipient, 10),
    (Oddity::OriginalMissing, 2),
    (Oddity::Decrypted, 5),
    (Oddity::NonDelivery, 15),
    (Oddity::ReadReceipt, 15),
    (Oddity::UndeliverableReport, 2),
    (Oddity::Garbage, 2),
];

/// Each oddity once, the ordinary between.
pub(super) const CAST: [Oddity; 24] = [
    Oddity::Ordinary,
    Oddity::Promised,
    Oddity::Inbound,
    Oddity::ReusedId,
    Oddity::TwoJournals,
    Oddity::NonDelivery,
    Oddity::FollowUpLate,
    Oddity::Duplicate,
    Oddity::NoMessageId,
    Oddity::Garbage,
    Oddity::Forwarded,
    Oddity::ReusedId,
    Oddity::PlainCopy,
    Oddity::FollowUpLost,
    Oddity::Ordinary,
    Oddity::ReadReceipt,
    Oddity::CopyPerRecipient,
    Oddity::Decrypted,
    Oddity::Retransmission,
    Oddity::OriginalMissing,
    Oddity::Forked,
    Oddity::Ordinary,
    Oddity::UndeliverableReport,
    Oddity::Inbound,
];

/// What is odd about message `index`.
pub(super) fn oddity(organisation: &Organisation, index: usize) -> Oddity {
    let options = &organisation.options;
    if options.showcase && index < CAST.len() {
        return CAST[index];
    }
    let mut drawn = Random::new(options.seed, index as u64 * 2 + 1).below(1000);
    for (oddity, share) in &options.oddities {
        if drawn < *share {
            // The first message has none before it that a notice could be about.
            return if index == 0 && is_notice(*oddity) { Oddity::Ordinary } else { *oddity };
        }
        drawn -= share;
    }
    Oddity::Ordinary
}

pub(super) fn is_notice(oddity: Oddity) -> bool {
    matches!(oddity, Oddity::NonDelivery | Oddity::ReadReceipt | Oddity::UndeliverableReport)
}
