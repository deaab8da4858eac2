//! One process an instance name. Whoever joins a group under a name that is in use puts the other out, and two that are
//! restarted by their keepers would do so for ever: so the second does not start.

use std::{
    env,
    fs::{File, OpenOptions, TryLockError},
    thread::sleep,
    time::{Duration, Instant},
};

use rdkafka::consumer::BaseConsumer;

use super::{
    client::{self, Notes, Role, Sizes},
    restore::members,
    stop::Stop,
};
use crate::{limits, mail::Digest, settings::KafkaSettings};

/// The name is this process's until the value is dropped, or the process ends.
pub struct Slot(Option<File>);

/// Takes the instance's name, or says who has it.
///
/// On this machine a locked file tells. Of others, the group does: a member of this name that is still there when a
/// session's time is over is alive. Where the file was there before, the last process of the name ran here and is gone,
/// so that nothing is waited for.
pub fn take(kafka: &KafkaSettings, stop: &Stop) -> Result<Slot, String> {
    let name = Digest::of_joined(&[kafka.brokers.as_bytes(), kafka.group.as_bytes(), kafka.instance.as_bytes()]);
    let path = env::temp_dir().join(format!("mailjournal-{name}.slot"));
    let was_here = path.exists();
    // Where there is no place for a file, the group alone is asked.
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).ok();
    if let Some(Err(TryLockError::WouldBlock)) = file.as_ref().map(File::try_lock) {
        return Err(taken(kafka, "on this machine"));
    }
    if file.is_none() || !was_here {
        wait_until_free(kafka, stop)?;
    }
    Ok(Slot(file))
}

fn taken(kafka: &KafkaSettings, place: &str) -> String {
    format!(
        "another process of group {} runs {place} as kafka.instance {}: give every process an instance name of its own \
         (by default it is the host's name)",
        kafka.group, kafka.instance
    )
}

/// A member of this name that is gone is missed within its session; one that stays has another process.
pub fn wait_until_free(kafka: &KafkaSettings, stop: &Stop) -> Result<(), String> {
    let asker: BaseConsumer<Notes> =
        client::create(&client::config(kafka, Role::Lookup, Sizes::UNKNOWN)).map_err(|trouble| trouble.why)?;
    let deadline = Instant::now() + limits::SLOT_WAIT_MAX;
    let mut told = false;
    // Who cannot ask cannot know: then the group itself tells the two apart, to the older one's cost.
    while members(&asker, &kafka.group, 4 * limits::CALL_MAX).is_ok_and(|members| members.contains(&kafka.instance)) {
        if Instant::now() > deadline {
            return Err(taken(kafka, "elsewhere"));
        }
        if stop.requested() {
            break;
        }
        if !std::mem::replace(&mut told, true) {
            tracing::info!(instance = kafka.instance, "the group still has a member of this name; waiting for its end");
        }
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            let _ = file.unlock();
        }
    }
}
