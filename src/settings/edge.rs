//! What settings need from the machine: a file's text and the host's name.

use std::{fs::File, io::Read, path::Path, process::Command};

use crate::limits::SETTINGS_FILE_BYTES_MAX;

/// The file's text, or a sentence that says why there is none.
pub fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("this settings file cannot be opened: {error}"))?;
    let read = file.take(SETTINGS_FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| format!("this settings file cannot be read: {error}"))?;
    if text.len() as u64 > SETTINGS_FILE_BYTES_MAX {
        return Err(format!("this is no settings file: it is larger than {SETTINGS_FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// The kernel tells it on Linux, the `hostname` command elsewhere.
pub fn host_name() -> Option<String> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let told = kernel.or_else(|| {
        let output = Command::new("hostname").output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    });
    told.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
}
