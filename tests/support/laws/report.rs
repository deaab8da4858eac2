//! A record → a merged journal report → the same record; and the report is what any reader of reports understands.

use bytes::Bytes;
use mailjournal::{
    evidence::{Kind, read_mail},
    mail::Digest,
    record::{self, ArchiveFormat, JournalRecord, OriginalRole, report, size},
};

/// A journal record, as Avro or as JSON.
pub fn built(bytes: &[u8]) {
    let _ = report::read(bytes);
    let Ok(record) = record::read(bytes).map(with_true_hashes) else { return };
    let built = report::build_with_what_is_here(&record);
    assert_eq!(report::read(&built).as_ref(), Some(&record), "read back");
    assert_eq!(report::build_with_what_is_here(&record), built, "the same record is the same report");
    let counted = size::archive_bytes_at_most(&record, ArchiveFormat::Report);
    assert!(built.len() <= counted, "{} bytes were counted as {counted}", built.len());
    let understood = read_mail(&built).expect("a report is a mail");
    let primary = record.originals.iter().find(|one| one.role == OriginalRole::Primary);
    // Without an original and without an envelope there is nothing to understand.
    if let Some(primary) = primary.filter(|one| one.content.as_ref().is_some_and(|it| !it.trim_ascii().is_empty())) {
        assert_eq!(understood.kind, Kind::Report);
        assert_eq!(understood.originals.first().map(|original| original.sha256), Some(primary.sha256));
    }
    match report::build(&record) {
        Ok(whole) => assert_eq!(whole, built),
        Err(elsewhere) => assert!(!elsewhere.to_string().is_empty()),
    }
}

/// The record as a correlator could have made it: each original once, named by the hash of its bytes; one is primary.
fn with_true_hashes(mut record: JournalRecord) -> JournalRecord {
    let mut seen = std::collections::BTreeSet::new();
    for original in &mut record.originals {
        if let Some(content) = &original.content {
            original.sha256 = Digest::of(content);
            original.size = i64::try_from(Bytes::len(content)).expect("it is in memory");
        }
    }
    record.originals.retain(|original| seen.insert(original.sha256));
    let mut primaries = 0;
    for original in &mut record.originals {
        primaries += usize::from(original.role == OriginalRole::Primary);
        if original.role == OriginalRole::Primary && primaries > 1 {
            original.role = OriginalRole::Variant;
        }
    }
    record
}
