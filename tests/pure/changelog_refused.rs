//! Changelog entries that no task of ours writes: refused with a reason, never a panic, memory without bound, or evidence
//! that nobody publishes.

use std::collections::BTreeMap;

use mailjournal::{
    arrival::Timestamp,
    avro::{self, Schema},
    correlate::{Published, StoredDraft},
    mail::{Digest, Guard},
    turn::{Tasks, TurnRules, home::home_partition},
};

use crate::support::{
    laws::{
        lying::NONE_AWAKE,
        stage::{self, MORNING, Stage},
    },
    pieces::{self, KEY, seen},
};

fn draft(record_id: &str, part: i32) -> StoredDraft {
    let evidence = pieces::evidence(mailjournal::evidence::Kind::Report, &format!("{record_id} {part}"));
    StoredDraft {
        record_id: record_id.to_owned(),
        key: mailjournal::mail::Key(KEY.into()),
        part,
        pieces: vec![seen(evidence, 0, part.into())],
        touched_at: Timestamp(0),
        open: true,
        reused: false,
        moved_to: Vec::new(),
        published: None,
    }
}

fn restored(entries: &[(String, StoredDraft)]) -> Result<Stage, String> {
    let entry = |(key, draft): &(String, StoredDraft)| (key.clone().into(), avro::encode(Schema::Draft, draft).into());
    let changelog: BTreeMap<_, _> = entries.iter().map(entry).collect();
    Stage::restored(changelog, NONE_AWAKE).map_err(|error| error.to_string())
}

fn keyed(draft: StoredDraft) -> (String, StoredDraft) {
    (draft.draft_key().to_text(), draft)
}

#[track_caller]
fn check_refused(entries: &[(String, StoredDraft)], reason: &str) {
    let error = restored(entries).err().expect("it is refused");
    assert!(error.contains(reason), "{error}");
    assert!(!error.contains("example.com"), "what is logged names no message: {error}");
}

fn published(revision: i32) -> Option<Published> {
    Some(Published { revision, digest: Digest([0; 32]), carried: Vec::new() })
}

#[test]
fn a_draft_that_a_task_wrote_is_restored() {
    let entries = [keyed(draft(KEY, 0)), keyed(draft(KEY, 2))];
    assert_eq!(restored(&entries).expect("ours").tasks.drafts(), (1, 1));
}

/// With more partitions a message's home is another one than its draft's: its evidence would begin a second record.
#[test]
fn a_draft_of_another_number_of_partitions_is_refused() {
    let mut tasks = Tasks::new(TurnRules { partitions: 6, ..stage::rules(NONE_AWAKE) });
    let (key, draft) = keyed(draft(KEY, 0));
    let home = home_partition(KEY.as_bytes(), 6);
    let mut restored = |partition| {
        tasks.assign(partition);
        tasks.restore(partition, 0, key.as_bytes(), Some(&avro::encode(Schema::Draft, &draft)));
        tasks.restored(partition).map_err(|error| error.to_string())
    };
    assert_eq!(restored(home), Ok(()));
    let error = restored((home + 1) % 6).expect_err("it is refused");
    assert!(error.contains(&format!("its home is partition {home} of 6")), "{error}");
}

#[test]
fn a_part_number_takes_no_memory() {
    check_refused(&[keyed(draft(KEY, 0)), keyed(draft(KEY, 5_000_000))], "part 5000000");
    check_refused(&[keyed(draft(KEY, -1))], "part -1");
}

#[test]
fn a_record_id_has_one_spelling() {
    for id in ["#0A02030405060708", "#+102030405060708", "#~0A02030405060708", "x", "#", "#01"] {
        check_refused(&[keyed(draft(&format!("{KEY}{id}"), 0))], "is not one of its key");
    }
}

#[test]
fn an_entry_stands_under_its_own_key() {
    check_refused(&[("<m2@example.com>".to_owned(), draft(KEY, 0))], "under another key");
}

#[test]
fn a_part_without_the_first_is_no_draft() {
    check_refused(&[keyed(draft(KEY, 1))], "first part");
}

#[test]
fn a_piece_of_another_key_is_refused() {
    let mut other = draft("<m2@example.com>", 0);
    other.key = mailjournal::mail::Key("<m2@example.com>".into());
    check_refused(&[keyed(other)], "evidence of another");
}

#[test]
fn a_piece_under_another_guard_is_refused() {
    let mut other = draft(&format!("{KEY}#0102030405060708"), 0);
    let mut evidence = pieces::evidence(mailjournal::evidence::Kind::Report, "guarded");
    evidence.originals.push(pieces::original(Some("a@x.example"), "body", "bytes"));
    assert_ne!(evidence.originals[0].guard, Some(Guard([1, 2, 3, 4, 5, 6, 7, 8])));
    other.pieces = vec![seen(evidence, 0, 0)];
    check_refused(&[keyed(other)], "evidence of another");
}

/// It shows when the draft is read again, and then nothing is made of it.
#[test]
fn a_piece_is_in_one_place() {
    let mut other = draft(KEY, 1);
    other.pieces = draft(KEY, 0).pieces;
    let mut stage = restored(&[keyed(draft(KEY, 0)), keyed(other)]).expect("nothing is read again yet");
    let error = stage.try_turn(Vec::new(), MORNING).expect_err("it is refused");
    assert!(error.to_string().contains("twice"), "{error}");
    assert!(stage.published.is_empty());
}

#[test]
fn a_revision_has_one_after_it() {
    for revision in [i32::MAX, 0, -1] {
        let stored = StoredDraft { published: published(revision), ..draft(KEY, 0) };
        check_refused(&[keyed(stored)], "revision");
    }
}

#[test]
fn sizes_that_add_up_to_more_than_a_number_holds_are_published() {
    let mut stored = draft(KEY, 0);
    let mut evidence = pieces::evidence(mailjournal::evidence::Kind::Report, "sizes");
    for name in ["one", "other"] {
        let original = pieces::original(None, name, name);
        evidence.originals.push(mailjournal::evidence::Original { size: i64::MAX - 100, ..original });
    }
    stored.pieces = vec![seen(evidence, 0, 0)];
    let mut stage = restored(&[keyed(stored)]).expect("a size is what the evidence says");
    stage.turn(Vec::new(), MORNING);
    stage.run_on();
    assert_eq!(stage.published.len(), 1);
}
