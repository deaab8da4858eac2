//! What is given to mailjournal while things break, all of it known.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use mailjournal::{
    arrival::Timestamp,
    sample::{Incoming, JournalMail, What},
    turn::home::home_partition,
};

use crate::{
    follower::Place,
    support::{
        kafka::Giver,
        stream::{self, Stream},
    },
};

/// How often, and how much: some twenty arrivals a second.
const TICK: Duration = Duration::from_millis(250);
const ARRIVALS_A_TICK: usize = 5;
/// Every third portion has no keys, so that its arrivals move to their homes.
const UNKEYED_EVERY: usize = 3;
/// More than the longest run gives.
const MESSAGES: usize = 10_000_000;

/// All that was given so far, and where it lies.
#[derive(Default)]
pub struct Given {
    pub arrivals: Vec<Incoming>,
    pub places: Vec<Place>,
}

pub struct Load {
    given: Arc<Mutex<Given>>,
    topics: [String; 2],
    giver: Arc<Giver>,
    partitions: i32,
    probes: usize,
    /// Arrivals to be given at once beside the usual.
    extra: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    pub fn start(stream: &Stream, seed: u64, partitions: i32) -> Load {
        let topics = ["reports", "envelopes"].map(|name| stream.topic(name));
        let (given, stop, extra) =
            (Arc::<Mutex<Given>>::default(), Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (shared, stopping, more, names) = (given.clone(), stop.clone(), extra.clone(), topics.clone());
        let giver = Giver::new(&stream.address);
        let thread = thread::spawn(move || {
            let organisation = stream::organisation(seed, MESSAGES);
            let mut arrivals = organisation.arrivals();
            let mut portion = 0;
            while !stopping.load(Ordering::Relaxed) {
                let count = ARRIVALS_A_TICK + more.swap(0, Ordering::Relaxed);
                let next: Vec<Incoming> = arrivals.by_ref().take(count).collect();
                put(&giver, &names, &next, portion % UNKEYED_EVERY != 0, &shared);
                portion += 1;
                sleep(TICK);
            }
        });
        let giver = Arc::new(Giver::new(&stream.address));
        Load { given, topics, giver, partitions, probes: 0, extra, stop, thread: Some(thread) }
    }

    /// Gives so many more at once, with the next portion.
    pub fn burst(&self, arrivals: usize) {
        self.extra.store(arrivals, Ordering::Relaxed);
    }

    /// Gives a mail to each partition, without waiting for brokers that do not take it.
    pub fn probe(&mut self) -> Probe {
        let mut mails = Vec::new();
        for partition in 0..self.partitions {
            mails.push(loop {
                self.probes += 1;
                let id = format!("<probe-{}@example.com>", self.probes);
                if home_partition(id.as_bytes(), self.partitions) == partition {
                    break mail(&id);
                }
            });
        }
        let (giver, topics, given) = (self.giver.clone(), self.topics.clone(), self.given.clone());
        let thread = thread::spawn(move || put(&giver, &topics, &mails, true, &given));
        Probe { thread: Some(thread), places: Vec::new() }
    }

    /// Whether it has ended without being asked to.
    pub fn has_failed(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }

    /// Gives no more; returns all that was given.
    pub fn end(&mut self) -> Given {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the load's own thread");
        }
        std::mem::take(&mut self.given.lock().expect("no panic"))
    }
}

/// Mails that are on their way to their places.
pub struct Probe {
    thread: Option<JoinHandle<Vec<Place>>>,
    places: Vec<Place>,
}

impl Probe {
    /// Where they lie, once they do.
    pub fn places(&mut self) -> Option<&[Place]> {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            self.places = thread.join().expect("the probe's own thread");
        }
        self.thread.is_none().then_some(&self.places)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Gives arrivals, and notes them once they are there.
fn put(giver: &Giver, topics: &[String; 2], arrivals: &[Incoming], keyed: bool, noted: &Mutex<Given>) -> Vec<Place> {
    let (mails, events) = stream::to_given(arrivals, keyed);
    let mut places = Vec::new();
    for (topic, given) in topics.iter().zip([mails, events]) {
        let lie = giver.give(topic, &given);
        places.extend(lie.into_iter().map(|(partition, offset)| (topic.clone(), partition, offset)));
    }
    let mut noted = noted.lock().expect("no panic");
    noted.arrivals.extend_from_slice(arrivals);
    noted.places.extend_from_slice(&places);
    places
}

fn mail(message_id: &str) -> Incoming {
    let bytes = Bytes::from(stream::plain_mail(message_id, 80).value);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let key = Some(message_id.to_owned());
    let what = What::Mail(JournalMail { bytes, server: None, journal_recipients: Vec::new(), key });
    Incoming { at: Timestamp(i64::try_from(now).expect("this age")), what }
}
