//! Deliberate bugs, each of which the simulation has to find: that it can fail.

use bytes::Bytes;
use mailjournal::{
    record::{JournalActivity, JournalRecord, to_json},
    turn::{Outgoing, Output},
};

/// One bug, at the place that its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Positions are committed by themselves before the turn's transaction.
    PositionsOutsideTheTurn,
    /// Positions are committed by themselves, and never with the turn.
    PositionsAfterTheTurn,
    /// The first stray of a turn is not sent.
    StrayDropped,
    /// A restore stops one entry short.
    RestoreOneShort,
    /// A restore reads what was aborted, and what is open.
    RestoreReadsUncommitted,
    /// A restore does not begin at the changelog's beginning.
    RestoreSkipsTheFirst,
    /// A restore takes the first entry of a key, not the last.
    RestoreFirstWins,
    /// A restore ends where a reader has read all that is committed, its claim met or not.
    RestoreDoesNotWait,
    /// A restore ends where a leader says so that does not know all, its claim met or not.
    RestoreTrustsAnyEnd,
    /// The committed positions are read though a transaction holds newer ones.
    PositionsNotStable,
    /// After an abort the tasks go on as they are.
    NotRewoundOnAbort,
    /// A turn that failed counts as written.
    FailureTakenForSuccess,
    /// A commit of unknown outcome counts as one that failed, and the turn is written again.
    DoubtWrittenAgain,
    /// The broker takes positions of any generation.
    GenerationNotChecked,
    /// Turns without arrivals have no positions.
    EmptyTurnUnfenced,
    /// Each partition counts as read to its end.
    WallClockAlways,
    /// Of a Message-ID the first arrival that an instance sees is taken, the others count as duplicates.
    FirstWins,
    /// Reading resumes one behind the committed position.
    ResumesOneBehind,
    /// Tombstones are not written.
    NoTombstones,
    /// A draft is looked for where it was first written.
    FirstPlaces,
    /// Nobody tells where a turn's drafts lie.
    PlacesUntold,
    /// What a transaction of an older epoch does counts.
    EpochNotChecked,
    /// Drafts are forgotten half a second too early.
    ForgetsEarly,
    /// Of a draft's parts only the first gets a tombstone.
    OnlyFirstPartsEnd,
    /// Of a draft's parts only the first is stored.
    OnlyFirstPartsStored,
    /// A restore does not care for tombstones.
    RestoreKeepsTheForgotten,
    /// What a notice says is told again after a restore.
    NoticeToldAgain,
    /// What notices say is not told.
    NoticeUntold,
    /// A turn writes one value of `journal.activity`.
    ActivityOnce,
    /// Dead letters have no bytes.
    DeadLettersEmptied,
    /// The bytes of originals are fetched from the beginning of their partition.
    OriginalsFromElsewhere,
    /// The bytes of strays that went home by reference are.
    StraysFromElsewhere,
    /// Of the pieces that are merged only the first tells recipients.
    FirstTellsRecipients,
    /// Of the pieces that are merged only the last tells recipients.
    LastTellsRecipients,
    /// No draft rests.
    NothingRests,
    /// Arrivals of open drafts are all kept at hand.
    ArrivalsKept,
    /// A turn has the positions of what it read alone, and of one partition where it read nothing.
    PositionsOfWhatWasRead,
    /// After a turn whose end was asked for twice the epoch stays.
    CopiesCount,
    /// Positions count that are lower than those that this instance has committed.
    StalePositions,
}

impl Mutation {
    pub const ALL: [Mutation; 39] = [
        Mutation::PositionsOutsideTheTurn,
        Mutation::PositionsAfterTheTurn,
        Mutation::StrayDropped,
        Mutation::RestoreOneShort,
        Mutation::RestoreReadsUncommitted,
        Mutation::RestoreSkipsTheFirst,
        Mutation::RestoreFirstWins,
        Mutation::RestoreDoesNotWait,
        Mutation::RestoreTrustsAnyEnd,
        Mutation::PositionsNotStable,
        Mutation::NotRewoundOnAbort,
        Mutation::FailureTakenForSuccess,
        Mutation::DoubtWrittenAgain,
        Mutation::GenerationNotChecked,
        Mutation::EmptyTurnUnfenced,
        Mutation::WallClockAlways,
        Mutation::FirstWins,
        Mutation::ResumesOneBehind,
        Mutation::NoTombstones,
        Mutation::FirstPlaces,
        Mutation::PlacesUntold,
        Mutation::EpochNotChecked,
        Mutation::ForgetsEarly,
        Mutation::OnlyFirstPartsEnd,
        Mutation::OnlyFirstPartsStored,
        Mutation::RestoreKeepsTheForgotten,
        Mutation::NoticeToldAgain,
        Mutation::NoticeUntold,
        Mutation::ActivityOnce,
        Mutation::DeadLettersEmptied,
        Mutation::OriginalsFromElsewhere,
        Mutation::StraysFromElsewhere,
        Mutation::FirstTellsRecipients,
        Mutation::LastTellsRecipients,
        Mutation::NothingRests,
        Mutation::ArrivalsKept,
        Mutation::PositionsOfWhatWasRead,
        Mutation::CopiesCount,
        Mutation::StalePositions,
    ];

    /// What a turn writes, as it would be with the bug.
    pub fn spoil(self, outgoing: &mut Vec<Outgoing>) {
        let is_later_part = |value: &Outgoing| value.key.as_ref().is_some_and(|key| key.contains(&0));
        match self {
            Mutation::NoTombstones => outgoing.retain(|value| value.output != Output::Drafts || value.value.is_some()),
            Mutation::OnlyFirstPartsEnd => {
                outgoing.retain(|it| it.output != Output::Drafts || it.value.is_some() || !is_later_part(it));
            }
            Mutation::OnlyFirstPartsStored => {
                outgoing.retain(|it| it.output != Output::Drafts || it.value.is_none() || !is_later_part(it));
            }
            Mutation::NoticeUntold => outgoing.retain(|value| value.output != Output::Ndr),
            Mutation::ActivityOnce => {
                let mut before = false;
                outgoing.retain(|value| value.output != Output::Activity || !std::mem::replace(&mut before, true));
            }
            Mutation::DeadLettersEmptied => {
                let dead = outgoing.iter_mut().filter(|value| value.output == Output::Rejected);
                dead.for_each(|value| value.value = Some(Bytes::new()));
            }
            Mutation::StrayDropped => {
                if let Some(place) = outgoing.iter().position(|value| value.output == Output::Strays) {
                    outgoing.remove(place);
                }
            }
            Mutation::FirstTellsRecipients => tell_recipients_of(outgoing, |_| 0),
            Mutation::LastTellsRecipients => tell_recipients_of(outgoing, |record| record.evidence.len() - 1),
            _ => {}
        }
    }
}

/// Records, and what is told of them, with only those recipients that this piece of their evidence tells.
fn tell_recipients_of(outgoing: &mut [Outgoing], piece: impl Fn(&JournalRecord) -> usize) {
    let mut records = Vec::new();
    for value in outgoing.iter_mut().filter(|value| value.output == Output::Archive) {
        // Merged reports are no JSON.
        let Ok(mut record) = serde_json::from_slice::<JournalRecord>(value.value.as_ref().expect("a published value"))
        else {
            return;
        };
        let piece = i32::try_from(piece(&record)).expect("few pieces");
        record.recipients.retain(|recipient| recipient.evidence.contains(&piece));
        value.value = Some(to_json(&record).into());
        records.push(record);
    }
    let activities = outgoing.iter_mut().filter(|value| value.output == Output::Activity);
    for (value, record) in activities.zip(&records) {
        value.value = Some(to_json(&JournalActivity::of(record)).into());
    }
}
