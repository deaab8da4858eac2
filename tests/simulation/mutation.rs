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
}

impl Mutation {
    pub const ALL: [Mutation; 21] = [
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
    ];
}
