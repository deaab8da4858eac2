//! Deliberate bugs, each of which the simulation has to find: that it can fail.

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
    /// A restore does not wait for open transactions in the changelog.
    RestoreDoesNotWait,
    /// A restore ends where a leader that has just taken over says so.
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
}

impl Mutation {
    pub const ALL: [Mutation; 32] = [
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
    ];
}
