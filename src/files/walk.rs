//! Which files a path that a person names stands for.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{FilesError, cannot_read};

pub const ARRIVALS: &str = "arrivals.jsonl";
pub const ENVELOPES: &str = "envelopes.jsonl";

/// Files that are read together, in name order: a folder with all below it, or one file.
///
/// A folder within that has an `arrivals.jsonl` or `envelopes.jsonl` of its own is a source of its own.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Source {
    pub folder: PathBuf,
    pub mails: Vec<PathBuf>,
    /// Its `arrivals.jsonl`.
    pub arrivals: Option<PathBuf>,
    /// Its `envelopes.jsonl`.
    pub envelopes: Option<PathBuf>,
}

/// What was found below the paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub sources: Vec<Source>,
    /// Hidden files, links to folders or to nowhere, and what is no plain file: not read, and said so.
    pub skipped: u64,
}

/// Finds the files of `paths`, none of which may hold `out`.
pub fn walk(paths: &[PathBuf], out: &Path) -> Result<Found, FilesError> {
    let mut found = Found::default();
    let out = resolved(out);
    for path in paths {
        let path = tidy(path);
        let meta = fs::metadata(&path).map_err(|error| cannot_name(&path, &error))?;
        if !meta.is_dir() {
            if !meta.is_file() {
                let path = path.display();
                return Err(FilesError::Usage(format!(
                    "{path} is neither a file nor a folder, and cannot be read twice: save what it gives to a file first"
                )));
            }
            found.sources.push(single(path)?);
            continue;
        }
        if out.starts_with(resolved(&path)) {
            let (out, path) = (out.display(), path.display());
            return Err(FilesError::Usage(format!(
                "--out {out} lies within the input {path}: name a folder outside it"
            )));
        }
        walk_source(path, &mut found)?;
    }
    Ok(found)
}

fn cannot_name(path: &Path, error: &io::Error) -> FilesError {
    if error.kind() == io::ErrorKind::NotFound {
        return FilesError::Usage(format!(
            "{} is not there: name folders of mails, mbox files or mails",
            path.display()
        ));
    }
    cannot_read(path, error)
}

fn single(path: PathBuf) -> Result<Source, FilesError> {
    let folder = path.parent().map(Path::to_owned).unwrap_or_default();
    if path.file_name() == Some(OsStr::new(ARRIVALS)) {
        let (path, folder) = (path.display(), folder.display());
        return Err(FilesError::Usage(format!(
            "{path} describes the mails beside it: name the folder \"{folder}\" instead"
        )));
    }
    if path.extension() == Some(OsStr::new("jsonl")) {
        return Ok(Source { folder, envelopes: Some(path), ..Source::default() });
    }
    Ok(Source { folder, mails: vec![path], ..Source::default() })
}

/// Takes a folder as a source of its own.
fn walk_source(folder: PathBuf, found: &mut Found) -> Result<(), FilesError> {
    let listed = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let mut source = Source { arrivals: listed(ARRIVALS), envelopes: listed(ENVELOPES), ..Source::default() };
    walk_folder(&folder, &mut source, found)?;
    source.folder = folder;
    found.sources.push(source);
    Ok(())
}

fn walk_folder(folder: &Path, source: &mut Source, found: &mut Found) -> Result<(), FilesError> {
    if is_maildir(folder) {
        return walk_maildir(folder, source, found);
    }
    for (path, kind) in entries(folder)? {
        match kind {
            Kind::Folder if path.join(ARRIVALS).is_file() || path.join(ENVELOPES).is_file() => {
                walk_source(path, found)?
            }
            Kind::Folder => walk_folder(&path, source, found)?,
            Kind::File if path.parent() == Some(folder) && is_list(&path, source) => {}
            Kind::File => source.mails.push(path),
            Kind::Skipped => found.skipped += 1,
        }
    }
    Ok(())
}

fn is_list(path: &Path, source: &Source) -> bool {
    source.arrivals.as_deref() == Some(path) || source.envelopes.as_deref() == Some(path)
}

fn is_maildir(folder: &Path) -> bool {
    folder.join("cur").is_dir() && folder.join("new").is_dir()
}

/// The mails of `cur` and `new` together in name order (names begin with the time of delivery), then those of the
/// Maildirs within. What lies in `tmp` has not been delivered yet, and the other files are the mail server's notes.
fn walk_maildir(folder: &Path, source: &mut Source, found: &mut Found) -> Result<(), FilesError> {
    let mut mails = Vec::new();
    for part in ["cur", "new"] {
        for (path, kind) in entries(&folder.join(part))? {
            match kind {
                Kind::File => mails.push(path),
                Kind::Folder | Kind::Skipped => found.skipped += 1,
            }
        }
    }
    mails.sort_by(|a, b| (a.file_name(), a).cmp(&(b.file_name(), b)));
    source.mails.append(&mut mails);
    for (path, kind) in entries(folder)? {
        let name = path.file_name().unwrap_or_default();
        match kind {
            Kind::Folder if is_maildir(&path) => walk_maildir(&path, source, found)?,
            _ if ["cur", "new"].map(OsStr::new).contains(&name) => {}
            _ => found.skipped += 1,
        }
    }
    Ok(())
}

enum Kind {
    File,
    Folder,
    Skipped,
}

/// What a folder holds, by name.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, Kind)>, FilesError> {
    let read = || -> io::Result<Vec<(PathBuf, Kind)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            entries.push((entry.path(), kind(&entry)?));
        }
        Ok(entries)
    };
    let mut entries = read().map_err(|error| cannot_read(folder, &error))?;
    entries.sort_by(|(a, _), (b, _)| a.file_name().cmp(&b.file_name()));
    Ok(entries)
}

fn kind(entry: &fs::DirEntry) -> io::Result<Kind> {
    let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
    let file_type = entry.file_type()?;
    if file_type.is_dir() {
        return Ok(if hidden && !is_maildir(&entry.path()) { Kind::Skipped } else { Kind::Folder });
    }
    let is_file = file_type.is_file() || (file_type.is_symlink() && !hidden && leads_to_file(&entry.path()));
    Ok(if is_file && !hidden { Kind::File } else { Kind::Skipped })
}

/// A link that leads nowhere is no arrival, so it is named and passed over; so is one that leads to a pipe or a device,
/// as these are without a link. One that leads to what cannot be read is a mail: an error when its turn comes.
fn leads_to_file(link: &Path) -> bool {
    match fs::metadata(link) {
        Ok(meta) => meta.is_file(),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            tracing::warn!(link = %link.display(), "this link leads nowhere: it is passed over");
            false
        }
        Err(_) => true,
    }
}

/// The path as typed, without what says nothing (`./`, `//`, a slash at the end).
fn tidy(path: &Path) -> PathBuf {
    let tidied: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if tidied.as_os_str().is_empty() { PathBuf::from(".") } else { tidied }
}

/// The path without links, also where its end does not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let Some((ancestor, mut real)) = existing else { return absolute };
    for part in absolute.strip_prefix(ancestor).unwrap_or(Path::new("")).components() {
        match part {
            Component::ParentDir => drop(real.pop()),
            part => real.push(part),
        }
    }
    real
}
