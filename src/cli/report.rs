//! `report`: what is understood of a mail, and a record as a mail.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};

use super::{Context, Failure};
use crate::{
    evidence::{self, show::show},
    mail::Digest,
    record::{self, JournalRecord, RecordedOriginal},
};

/// Shows what is understood of a mail, or builds a journal report from a record.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Report {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  mailjournal report show report.eml
  mailjournal report show --json - < report.eml
  mailjournal report build record.json --out merged.eml
  mailjournal report build archive.jsonl --id '<a@b.example>#0123456789abcdef'";

#[derive(Subcommand)]
enum Action {
    Show(Show),
    Build(Build),
}

/// Prints what is understood of mails: form, Message-ID, sender, recipients, originals, and what was odd.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct Show {
    /// Mails, one a file; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print a JSON value for each mail.
    #[arg(long)]
    json: bool,
}

/// Builds one merged journal report from a journal record, the original attached byte for byte.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct Build {
    /// A journal record: its JSON, a file of JSON Lines, its Avro value, or a merged report; `-` is standard input. An
    /// original that is not in it is looked for in `originals/` beside it.
    #[arg(value_name = "RECORD")]
    record: PathBuf,
    /// Which record, where the file holds several: its `record_id`. Its newest revision counts.
    #[arg(long, value_name = "RECORD_ID")]
    id: Option<String>,
    /// Where to write the report; else standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Report {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        match self.action {
            Action::Show(show) => show.run(context),
            Action::Build(build) => build.run(context),
        }
    }
}

impl Show {
    fn run(self, context: &Context) -> Result<(), Failure> {
        self.files.iter().try_for_each(|file| refuse_folder(file))?;
        let mut failures = Vec::new();
        for file in &self.files {
            match read(file) {
                Ok(bytes) => {
                    if self.files.len() > 1 && !self.json {
                        context.print(format_args!("{}:", file.display()))?;
                    }
                    context.write(|out| out.write_all(shown(&bytes, self.json).as_bytes()))?;
                    if let Err(rejection) = evidence::read_mail(&bytes) {
                        failures.push(format!("{}: not understood: {rejection}", file.display()));
                    }
                }
                Err(reason) => failures.push(reason),
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(Failure::Failed(failures.join("\n"))) }
    }
}

impl Build {
    fn run(self, context: &Context) -> Result<(), Failure> {
        refuse_folder(&self.record)?;
        let name = self.record.display();
        let bytes = read(&self.record).map_err(Failure::Failed)?;
        let records = records(&bytes).map_err(|reason| Failure::Failed(format!("{name}: {reason}")))?;
        let mut record =
            choose(records, self.id.as_deref()).map_err(|reason| Failure::Usage(format!("{name}: {reason}")))?;
        let originals = self.record.parent().unwrap_or(Path::new("")).join("originals");
        for original in &mut record.originals {
            fill(original, &originals)?;
        }
        let report =
            record::report::build(&record).map_err(|elsewhere| Failure::Failed(format!("{name}: {elsewhere}")))?;
        match self.out {
            None => context.write(|out| out.write_all(&report)),
            Some(file) => fs::write(&file, report)
                .map_err(|error| Failure::Failed(format!("{}: cannot be written: {error}", file.display()))),
        }
    }
}

/// All that is understood of a mail; of a merged report of ours also which record it is.
fn shown(bytes: &[u8], json: bool) -> String {
    let text = show(bytes, json);
    let Some(record) = record::report::read(bytes) else { return text };
    let JournalRecord { record_id, revision, status, .. } = record;
    if !json {
        return format!("merged report   of mailjournal: revision {revision} of {record_id}\n{text}");
    }
    let merged = serde_json::json!({ "record_id": record_id, "revision": revision, "status": status });
    match serde_json::from_str(&text) {
        Ok(serde_json::Value::Object(mut fields)) => {
            fields.insert("merged_report".to_owned(), merged);
            format!("{:#}\n", serde_json::Value::Object(fields))
        }
        _ => text,
    }
}

fn refuse_folder(file: &Path) -> Result<(), Failure> {
    if !file.is_dir() {
        return Ok(());
    }
    let folder = super::quoted(file);
    Err(Failure::Usage(format!(
        "{folder} is a folder: name the files in it, or merge its mails with `mailjournal collate {folder} --out records`"
    )))
}

/// The file's bytes, or a sentence that says why there are none.
fn read(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = match file.as_os_str().as_encoded_bytes() {
        b"-" => io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes),
        _ => fs::read(file),
    };
    read.map_err(|error| format!("{}: cannot be read: {error}", file.display()))
}

/// One record, one a line, or the one in a merged report.
fn records(bytes: &[u8]) -> Result<Vec<JournalRecord>, String> {
    if let Some(record) = record::report::read(bytes) {
        return Ok(vec![record]);
    }
    let whole = record::read(bytes);
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    if whole.is_ok() || lines.len() < 2 || crate::avro::is_framed(bytes) {
        return whole.map(|record| vec![record]).map_err(|error| error.to_string());
    }
    let read = lines
        .iter()
        .enumerate()
        .map(|(index, line)| record::read(line).map_err(|error| format!("line {}: {error}", index + 1)));
    read.collect()
}

fn choose(records: Vec<JournalRecord>, id: Option<&str>) -> Result<JournalRecord, String> {
    let count = records.len();
    let chosen = records.into_iter().filter(|record| id.is_none_or(|id| record.record_id == id));
    match id {
        None if count > 1 => Err(format!("it holds {count} records; name one with --id RECORD_ID")),
        _ => chosen
            .max_by_key(|record| record.revision)
            .ok_or_else(|| format!("it holds {count} records, but none with the id {}", id.unwrap_or_default())),
    }
}

/// Puts an original's bytes into the record, if they lie in the folder. Other bytes under its name are refused.
fn fill(original: &mut RecordedOriginal, folder: &Path) -> Result<(), Failure> {
    if original.content.is_some() {
        return Ok(());
    }
    let file = folder.join(format!("{}.eml", original.sha256));
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::Failed(format!("{}: cannot be read: {error}", file.display()))),
    };
    if Digest::of(&bytes) != original.sha256 {
        let text = format!("{}: these are not the original's bytes: their SHA-256 is another", file.display());
        return Err(Failure::Failed(text));
    }
    original.content = Some(bytes.into());
    Ok(())
}
