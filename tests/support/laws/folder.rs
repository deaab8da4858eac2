//! An arrivals folder: its two lists and an mbox. Wrong lines are told; else every arrival is read, once, from the folder.

use std::{
    fs,
    io::Cursor as Bytes,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use mailjournal::{
    arrival::Input,
    files::{self, FilesError, Index, mbox, read::Reader},
    limits,
};

use super::{evidence::check_rejection, parts};

/// A mail that lies in every such folder, so that a list has something to name.
const MAIL: &[u8] = b"Received: by mx.example; Mon, 2 Mar 2026 08:00:00 +0000\nFrom: a@x.example\n\nHello.\n";

/// The parts: `arrivals.jsonl`, `envelopes.jsonl`, `box.mbox`.
pub fn lists(input: &[u8]) {
    let parts = parts(input);
    let part = |index: usize| parts.get(index).copied().filter(|part| !part.is_empty());
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = temporary.path().join("in");
    fs::create_dir(&folder).expect("a folder");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file is written");
    write("a.eml", MAIL);
    for (index, name) in ["arrivals.jsonl", "envelopes.jsonl", "box.mbox"].into_iter().enumerate() {
        if let Some(bytes) = part(index) {
            write(name, bytes);
        }
    }
    part(2).into_iter().for_each(check_mbox);
    match read_all(&folder, &temporary.path().join("out")) {
        Ok(events) => assert_eq!(events, part(1).map_or(0, lines)),
        Err(FilesError::Usage(told)) => {
            assert!(told.lines().count() <= limits::BAD_LINES_TOLD_MAX + 1, "{told}");
            let is_told = |line: &str| line.contains(".jsonl line ") || line.starts_with("and ");
            assert!(told.lines().all(|line| is_told(line) && !line.contains(char::is_control)), "{told:?}");
        }
        Err(FilesError::Failed(told)) => panic!("nothing outside failed: {told}"),
    }
}

fn lines(list: &[u8]) -> usize {
    list.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count()
}

/// Reads the whole folder; returns how many envelope events there were.
fn read_all(folder: &Path, out: &Path) -> Result<usize, FilesError> {
    let index = Index::build(&[folder.to_owned()], out, "", &AtomicBool::new(false), &mut |_| {})?;
    let all = index.arrivals();
    let mut reader = Reader::new(index, true);
    let mut cursor = files::Cursor::default();
    let mut counts = [0; 2];
    loop {
        let floor = reader.index.floor(cursor);
        let Some(read) = reader.next(&mut cursor)? else { break };
        let position = read.arrival.position;
        let count = &mut counts[usize::from(position.input == Input::Envelopes)];
        assert_eq!((position.partition, position.offset), (0, *count), "offsets have no gap");
        *count += 1;
        assert!(floor.is_some_and(|floor| floor <= read.arrival.at), "time never stands above what is unread");
        let source = PathBuf::from(read.arrival.source.expect("an arrival has its source"));
        assert!(source.starts_with(folder), "{} lies outside", source.display());
        read.rejection.iter().for_each(check_rejection);
    }
    assert_eq!(all, u64::try_from(counts.iter().sum::<i64>()).expect("a count"));
    Ok(usize::try_from(counts[1]).expect("a count"))
}

/// Mails lie behind one another, each within the file.
fn check_mbox(bytes: &[u8]) {
    let (_, spans) = mbox::mails_of(Path::new("box.mbox"), &mut Bytes::new(bytes)).expect("memory is read");
    let mut end = 0;
    for span in spans {
        assert!(span.start >= end, "{span:?} begins before {end}");
        end = span.start + span.length;
        assert!(end <= bytes.len() as u64, "{span:?} ends behind {}", bytes.len());
        let start = usize::try_from(span.start).expect("a place in memory");
        let _ = mbox::unquote(&bytes[start..usize::try_from(end).expect("a place in memory")]);
    }
}
