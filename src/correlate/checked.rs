//! What a stored draft must be before it is taken back: a correlator relies on what it wrote, and the changelog may hold
//! what it did not. What is told of it names no message: it ends up in logs.

use std::collections::HashSet;

use crate::{
    correlate::{
        Messages,
        identity::{RecordRef, Tag, guard_of},
        stored::{Piece, StoredDraft},
    },
    limits,
};

/// Which record a stored part is of, and which part; or why no correlator stored it.
pub fn place_of(stored: &StoredDraft) -> Result<(RecordRef, usize), String> {
    let StoredDraft { record_id, part, .. } = stored;
    let record = RecordRef::parse(&stored.key, record_id).ok_or("its record id is not one of its key")?;
    let index = usize::try_from(*part).ok().filter(|index| *index < limits::DRAFT_PARTS_MAX);
    let index = index.ok_or_else(|| format!("no draft has a part {part}"))?;
    if let Some(published) = stored.published.as_ref().filter(|it| !(1..i32::MAX).contains(&it.revision)) {
        return Err(format!("it was published as revision {}, which none comes after", published.revision));
    }
    for Piece { evidence, .. } in &stored.pieces {
        if evidence.key != stored.key || guard_of(evidence).is_some_and(|guard| record.tag != Tag::Guarded(guard)) {
            return Err(format!("it has evidence of another message: {}", evidence.id));
        }
    }
    Ok((record, index))
}

/// Whether the drafts of a key, with all their parts here, are ones that a correlator had; or why not.
pub fn whole(messages: &Messages) -> Result<(), String> {
    let mut seen = HashSet::new();
    for draft in messages.drafts.values() {
        if !draft.has_first_part() {
            return Err("a draft lacks its first part, which tells when it closes".to_owned());
        }
        if let Some(Piece { evidence, .. }) = draft.pieces().find(|piece| !seen.insert(piece.evidence.identity())) {
            return Err(format!("a piece was stored twice: {}", evidence.id));
        }
    }
    Ok(())
}
