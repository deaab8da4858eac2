//! An organisation's mail as an arrivals folder (contract §2).

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use serde::Serialize;

use crate::sample::{Organisation, What};

/// A line of `arrivals.jsonl`.
#[derive(Serialize)]
struct ArrivalLine<'a> {
    file: String,
    received_at: i64,
    journal_recipients: &'a [String],
    server: Option<&'a str>,
    key: Option<&'a str>,
}

/// Writes the mails as `0001.eml` and so on in order of time, with `arrivals.jsonl` and `envelopes.jsonl`, into `folder`,
/// which is made if it is not there. Says how many arrivals that were.
pub fn write_folder(organisation: &Organisation, folder: &Path) -> io::Result<u64> {
    fs::create_dir_all(folder)?;
    let mut arrivals = BufWriter::new(File::create(folder.join("arrivals.jsonl"))?);
    let mut envelopes = BufWriter::new(File::create(folder.join("envelopes.jsonl"))?);
    let (mut mails, mut events) = (0u64, 0u64);
    for incoming in organisation.arrivals() {
        match &incoming.what {
            What::Mail(mail) => {
                mails += 1;
                let file = format!("{mails:04}.eml");
                fs::write(folder.join(&file), &mail.bytes)?;
                let line = ArrivalLine {
                    file,
                    received_at: incoming.at.0,
                    journal_recipients: &mail.journal_recipients,
                    server: mail.server.as_deref(),
                    key: mail.key.as_deref(),
                };
                write_line(&mut arrivals, &line)?;
            }
            What::Event(event) => {
                events += 1;
                write_line(&mut envelopes, event)?;
            }
        }
    }
    arrivals.flush()?;
    envelopes.flush()?;
    Ok(mails + events)
}

fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
