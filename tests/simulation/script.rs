//! A history before it happens: what will arrive, and the order of steps and faults. All of it follows from a seed; every
//! operation means something, or nothing, whatever came before it, so that a history can be shortened.

use std::{fmt, time::Duration};

use bytes::Bytes;
use mailjournal::{
    arrival::{Format, Input},
    correlate::{AwakeMax, Budget, Rules, Timing, TopicNames, WorkMax},
    evidence::{
        self, Evidence, Hop, How, RecipientKind,
        envelope_event::{Direction, EnvelopeEvent, EventGroup, EventRecipient, EventRole, Stage},
    },
    record::{ArchiveFormat, ValueBytesMax},
    sample::random::Random,
    turn::{Encoding, TurnRules, home::home_partition},
};

/// The names of the instances, which are their transactional ids too.
pub const NAMES: [&str; 3] = ["a", "b", "c"];

/// Longer than any history.
pub const FOR_EVER: Duration = Duration::from_secs(900_000);

#[derive(Clone, Debug)]
pub struct Script {
    pub rules: TurnRules,
    /// The waits that a process may be started with.
    pub waits: [Timing; 2],
    pub given: Vec<Given>,
    pub operations: Vec<Operation>,
}

/// One arrival to be.
#[derive(Clone, Debug)]
pub struct Given {
    pub input: Input,
    /// Some producers key by Message-ID, some by something else.
    pub key: Option<Bytes>,
    pub bytes: Bytes,
    pub server: Option<&'static str>,
    pub journal: Option<&'static str>,
    pub home: i32,
    pub in_words: String,
}

#[derive(Clone, Copy, Debug)]
pub enum Operation {
    /// The next arrival comes, this late, on its home partition or another.
    Give {
        late: i64,
        elsewhere: Option<i32>,
    },
    /// An arrival that has come comes once more.
    Repeat {
        index: usize,
        elsewhere: Option<i32>,
    },
    /// The instance does so many steps of its loop, or of its writer.
    Step {
        who: usize,
        writer: bool,
        steps: usize,
        choice: usize,
    },
    Crash {
        who: usize,
    },
    /// Where the process has ended, it starts again, be it with other waits.
    Restart {
        who: usize,
        waits: usize,
    },
    /// Another process of its name starts, and the one before goes on as long as it can.
    Twin {
        who: usize,
        waits: usize,
    },
    Pause {
        who: usize,
    },
    Resume {
        who: usize,
    },
    /// The group's coordinator has not heard of it for too long.
    Kick {
        who: usize,
    },
    /// It stops in order: the turn under way is written first.
    Stop {
        who: usize,
    },
    /// Its transaction fails.
    Fail {
        who: usize,
    },
    /// Its commit is not answered; it takes effect or does not.
    Doubt {
        who: usize,
        effect: bool,
    },
    /// The end of its next turn is asked for twice, and answered the second time.
    Twice {
        who: usize,
    },
    /// One of the first requests arrives.
    Copy(usize),
    /// A coordinator that has lost its place tells it the positions of before.
    Stale {
        who: usize,
    },
    /// It waits no longer, and starts anew.
    GiveUp {
        who: usize,
    },
    Away(bool),
    /// The leaders of what the instance writes to answer slowly, or do not any more.
    Slow {
        who: usize,
        slow: bool,
    },
    /// One mark of an ending transaction is written.
    Mark(usize),
    /// The broker ends its open transaction.
    TimeOut {
        who: usize,
    },
    ClockJump {
        who: usize,
        millis: i64,
    },
    Time {
        millis: i64,
    },
    Compact {
        partition: i32,
        keys: u64,
        tombstones: bool,
    },
    /// The log's beginning is deleted, so many thousandths of it.
    Retain {
        input: Input,
        partition: i32,
        per_mille: i64,
    },
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |who: &usize| NAMES[*who];
        match self {
            Operation::Give { late, elsewhere: None } => write!(f, "the next arrival comes, {late} ms late"),
            Operation::Give { late, elsewhere: Some(partition) } => {
                write!(f, "the next arrival comes, {late} ms late, on partition {partition}")
            }
            Operation::Repeat { index, elsewhere } => write!(f, "arrival {index} comes again ({elsewhere:?})"),
            Operation::Step { who, writer: false, steps, choice } => {
                write!(f, "{} does {steps} steps ({choice})", name(who))
            }
            Operation::Step { who, writer: true, steps, .. } => {
                write!(f, "{} writes {steps} steps of its turn", name(who))
            }
            Operation::Crash { who } => write!(f, "{} crashes", name(who)),
            Operation::Restart { who, waits } => write!(f, "{} starts with waits {waits}", name(who)),
            Operation::Twin { who, waits } => write!(f, "another {} starts with waits {waits}", name(who)),
            Operation::Pause { who } => write!(f, "{} is paused", name(who)),
            Operation::Resume { who } => write!(f, "{} wakes", name(who)),
            Operation::Kick { who } => write!(f, "the group gives {} up", name(who)),
            Operation::Stop { who } => write!(f, "{} stops in order", name(who)),
            Operation::Fail { who } => write!(f, "the next write of {} fails", name(who)),
            Operation::Doubt { who, effect } => {
                write!(f, "the next commit of {} is not answered; takes effect: {effect}", name(who))
            }
            Operation::Twice { who } => write!(f, "{} asks twice for the end of its next turn", name(who)),
            Operation::Copy(choice) => write!(f, "what was asked twice arrives once more ({choice})"),
            Operation::Stale { who } => write!(f, "{} is next told positions of before", name(who)),
            Operation::GiveUp { who } => write!(f, "{} takes new clients", name(who)),
            Operation::Away(true) => write!(f, "no broker answers"),
            Operation::Away(false) => write!(f, "brokers answer"),
            Operation::Slow { who, slow: true } => write!(f, "leaders are slow to take what {} writes", name(who)),
            Operation::Slow { who, slow: false } => write!(f, "leaders take what {} writes", name(who)),
            Operation::Mark(choice) => write!(f, "a transaction mark is written ({choice})"),
            Operation::TimeOut { who } => write!(f, "the broker ends the open transaction of {}", name(who)),
            Operation::ClockJump { who, millis } => write!(f, "the clock of {} jumps by {millis} ms", name(who)),
            Operation::Time { millis } => write!(f, "{millis} ms pass"),
            Operation::Compact { partition, tombstones, keys } => {
                write!(f, "the changelog's partition {partition} is compacted ({keys:x}, tombstones {tombstones})")
            }
            Operation::Retain { input, partition, per_mille } => {
                write!(f, "retention deletes {per_mille} ‰ of {input:?}, partition {partition}")
            }
        }
    }
}

impl Script {
    pub fn of(seed: u64) -> Script {
        let mut random = Random::new(seed, 1);
        let partitions = 1 + random.below(3) as i32;
        let given = arrivals(&mut random, partitions);
        let (waits, rules) = rules(&mut Random::new(seed, 3), partitions);
        let mut script = Script { rules, waits, given, operations: Vec::new() };
        script.operations = operations(&mut Random::new(seed, 2), &script);
        script
    }

    pub fn rules(&self, waits: usize) -> TurnRules {
        let mut rules = self.rules.clone();
        rules.rules.timing = self.waits[waits];
        rules
    }
}

/// settle ≤ quiet ≤ patience ≤ remember, which is in half of the histories too long to matter.
fn waits(random: &mut Random, forgets: bool) -> Timing {
    let mut waits = [0, 0, 0, 0].map(|_| *random.pick(&[0, 500, 1_000, 4_000, 10_000]));
    waits.sort_unstable();
    let [settle, quiet, patience, remember] = waits.map(Duration::from_millis);
    let remember =
        if forgets { remember + Duration::from_millis(*random.pick(&[0, 1, 3_000, 12_000])) } else { FOR_EVER };
    Timing { settle, quiet, patience, remember }
}

/// Every bound is reached in some histories, and not in others.
fn rules(random: &mut Random, partitions: i32) -> ([Timing; 2], TurnRules) {
    let forgets = random.chance(500);
    let first = waits(random, forgets);
    let others = if random.chance(200) { waits(random, forgets) } else { first };
    let all = WorkMax::default();
    let work_max = WorkMax {
        draft_part_bytes: *random.pick(&[1, 800, all.draft_part_bytes]),
        wake_parts: *random.pick(&[1, 2, all.wake_parts]),
        resting_drafts: *random.pick(&[1, 2, all.resting_drafts]),
        resting_parts: *random.pick(&[2, all.resting_parts, all.resting_parts, all.resting_parts]),
        turn: Budget {
            records: *random.pick(&[1, 2, all.turn.records]),
            bytes: *random.pick(&[1, 700, all.turn.bytes, all.turn.bytes]),
            forgotten: *random.pick(&[1, 2, all.turn.forgotten]),
            woken: *random.pick(&[1, 2, all.turn.woken, all.turn.woken]),
        },
        restore_batch_bytes: *random.pick(&[1, 2_000, all.restore_batch_bytes]),
    };
    let archive_format = if random.chance(200) { ArchiveFormat::Report } else { ArchiveFormat::Record };
    let value_bytes_max = ValueBytesMax {
        // A report is counted with so much beside its original that a bound would cut it first.
        archive: Some(LARGE_BYTES + 1_000).filter(|_| archive_format == ArchiveFormat::Record && random.chance(500)),
        activity: None,
        ndr: *random.pick(&[None, Some(1_000)]),
    };
    let rules = Rules {
        timing: first,
        topic_names: TopicNames {
            reports: "journal.reports".into(),
            envelopes: "journal.envelopes".into(),
            strays: "journal.strays".into(),
        },
        value_bytes_max,
        archive_format,
        awake_max: AwakeMax {
            open: *random.pick(&[0, 1, 1_000]),
            closed: *random.pick(&[0, 1, 1_000]),
            large_bytes: *random.pick(&[1, 2_000, 1_000_000]),
        },
        work_max,
    };
    let rules = TurnRules {
        rules,
        partitions,
        passed_on_bytes_max: *random.pick(&[None, Some(20), Some(700)]),
        encoding: Encoding::Json,
        recent_bytes_max: *random.pick(&[0, 3_000, 1 << 20]),
    };
    ([first, others], rules)
}

/// Which faults a history has: not all at once, or none is seen for the others.
fn operations(random: &mut Random, script: &Script) -> Vec<Operation> {
    let faults = random.number();
    let has = |fault: u32| faults >> fault & 1 == 1;
    let crowd = 1 + random.below(NAMES.len());
    let mut operations: Vec<Operation> = (0..crowd).map(|who| Operation::Restart { who, waits: 0 }).collect();
    let settle = |operations: &mut Vec<Operation>, random: &mut Random, rounds: usize| {
        for who in (0..crowd).cycle().take(crowd * rounds) {
            operations.push(Operation::Step { who, writer: true, steps: 8, choice: 0 });
            operations.push(Operation::Step { who, writer: false, steps: 3, choice: 0 });
            operations.push(Operation::Mark(random.below(64)));
        }
    };
    // One that has settled in shows more than one that is put off from the beginning.
    settle(&mut operations, random, 12);
    let length = 20 + random.below(100);
    let mut left = script.given.len();
    for index in 0..length {
        let who = random.below(crowd);
        let elsewhere = |random: &mut Random| {
            (has(0) && random.chance(300)).then(|| random.below(script.rules.partitions as usize) as i32)
        };
        if random.below(length - index) < left {
            left -= 1;
            let late = if has(1) { random.millis(-3_000, 9_000) } else { 0 };
            operations.push(Operation::Give { late, elsewhere: elsewhere(random) });
        }
        let steps = 1 + random.below(6);
        operations.push(match random.below(43) {
            0..=8 => Operation::Step { who, writer: false, steps, choice: random.below(64) },
            9..=15 => Operation::Step { who, writer: true, steps: steps * 2, choice: 0 },
            16..=18 => Operation::Mark(random.below(64)),
            19 if has(2) => Operation::Crash { who },
            20 => Operation::Restart { who, waits: random.below(2) },
            21 if has(3) => Operation::Pause { who },
            22 => Operation::Resume { who },
            23 if has(4) => Operation::Kick { who },
            24 if has(5) => Operation::Fail { who },
            25 if has(6) => Operation::Doubt { who, effect: random.chance(500) },
            26 if has(7) => Operation::GiveUp { who },
            27 if has(8) => Operation::Away(random.chance(500)),
            28 if has(9) => Operation::TimeOut { who },
            29 if has(10) => Operation::ClockJump { who, millis: random.millis(-20_000, 20_000) },
            30 | 31 => Operation::Time { millis: random.millis(0, 6_000) },
            32 if has(11) => Operation::Compact {
                partition: random.below(script.rules.partitions as usize) as i32,
                keys: random.number(),
                tombstones: random.chance(500),
            },
            33 if has(12) && has(13) => Operation::Retain {
                input: *random.pick(&mailjournal::turn::instance::INPUTS),
                partition: random.below(script.rules.partitions as usize) as i32,
                per_mille: random.millis(0, 1_001),
            },
            33 if has(14) => Operation::Stop { who },
            33 if has(15) => {
                Operation::Repeat { index: random.below(script.given.len()), elsewhere: elsewhere(random) }
            }
            34 if has(16) => Operation::Twin { who, waits: random.below(2) },
            35 | 36 if has(17) => Operation::Time { millis: random.millis(5_000, 40_000) },
            37 | 38 if has(18) => Operation::Slow { who, slow: random.chance(500) },
            39 if has(19) => Operation::Twice { who },
            40 | 41 if has(19) => Operation::Copy(random.below(64)),
            42 if has(20) => Operation::Stale { who },
            _ => Operation::Step { who, writer: random.chance(500), steps, choice: random.below(64) },
        });
        if has(18) && random.chance(8) {
            overtake(&mut operations, random, who);
        }
        // What is old is forgotten only by turns that follow.
        if matches!(operations.last(), Some(Operation::Time { millis: 6_000.. })) {
            settle(&mut operations, random, 4);
        }
    }
    operations
}

/// Another takes over what a turn is still on its way to: it joins one that had all to itself, whose client holds what
/// it was given.
fn overtake(operations: &mut Vec<Operation>, random: &mut Random, who: usize) {
    let other = (who + 1) % NAMES.len();
    let mut rounds = |operations: &mut Vec<Operation>, rounds: usize| {
        for who in [other, who].into_iter().cycle().take(2 * rounds) {
            operations.push(Operation::Step { who, writer: true, steps: 8, choice: 0 });
            operations.push(Operation::Step { who, writer: false, steps: 4, choice: 4 });
            operations.push(Operation::Mark(random.below(64)));
        }
    };
    operations.push(Operation::Stop { who: other });
    rounds(operations, 8);
    // What it publishes next, time alone having passed, it has read nothing for.
    operations.extend([Operation::Give { late: 0, elsewhere: None }; 2]);
    rounds(operations, 4);
    operations.push(Operation::Slow { who, slow: true });
    operations.push(Operation::Time { millis: 10_000 });
    operations.push(Operation::Step { who, writer: false, steps: 4, choice: 0 });
    operations.push(Operation::Restart { who: other, waits: 0 });
    rounds(operations, 16);
    operations.push(Operation::Slow { who, slow: false });
    rounds(operations, 2);
}

const SENDERS: [&str; 3] = ["p@x.example", "q@x.example", "r@x.example"];
const RECIPIENTS: [&str; 5] = ["a@x.example", "b@x.example", "C@x.example", "list@x.example", "inner@x.example"];
const SERVERS: [&str; 2] = ["ex1.example", "ex2.example"];
const JOURNAL: &str = "journal@one.example";
/// A body that no small bound lets through, bytes.
const LARGE_BYTES: usize = 15_000;

/// Partial reports of a few messages, some of whose ids are used twice, and what else comes.
fn arrivals(random: &mut Random, partitions: i32) -> Vec<Given> {
    let messages = 1 + random.below(3);
    let count = 2 + random.below(10);
    (0..count)
        .map(|number| {
            let message = random.below(messages);
            let variant = if random.chance(200) { random.below(3) } else { 0 };
            arrival(random, partitions, number, message, variant)
        })
        .collect()
}

fn arrival(random: &mut Random, partitions: i32, number: usize, message: usize, variant: usize) -> Given {
    let journal = random.chance(700).then_some(JOURNAL);
    let server = random.chance(700).then(|| *random.pick(&SERVERS));
    let original = original(message, variant, random.below(2));
    let id = format!("<m{message}@x.example>");
    let (notice_id, notice) = notice(random, number, message, variant);
    let (input, bytes, in_words): (Input, Bytes, &str) = match random.below(15) {
        0..=4 => (Input::Reports, report(random, number, &id, variant, Some(&original)).into(), "a report"),
        5 => (Input::Reports, report(random, number, &id, variant, None).into(), "a report without its original"),
        6 | 7 => (Input::Reports, original.into(), "a plain copy"),
        8 => (Input::Reports, "no mail at all".into(), "no mail"),
        9 => (Input::Envelopes, "no event at all".into(), "no event"),
        10 => (Input::Reports, notice.into(), "a notice"),
        11 => {
            let original = random.chance(500).then_some(&notice);
            (Input::Reports, report(random, number, &notice_id, variant, original).into(), "a report of a notice")
        }
        _ => (Input::Envelopes, event(random, number, message), "an envelope event"),
    };
    let home = read(input, &bytes).map_or(0, |read| home_partition(read.key.as_str().as_bytes(), partitions));
    let key = [None, Some(Bytes::from(id)), Some(format!("key {number}").into())][number % 3].clone();
    let in_words = format!("{in_words} of message {message}, variant {variant}");
    Given { input, key, bytes, server: server.filter(|_| input == Input::Reports), journal, home, in_words }
}

pub fn read(input: Input, bytes: &Bytes) -> Option<Evidence> {
    let format = if input == Input::Envelopes { Format::EnvelopeEvent } else { Format::Mail };
    read_as(format, bytes)
}

pub fn read_as(format: Format, bytes: &Bytes) -> Option<Evidence> {
    match format {
        Format::Mail => evidence::read_mail(bytes).ok(),
        Format::EnvelopeEvent => evidence::envelope_event::read_envelope_event(bytes).ok(),
    }
}

fn original(message: usize, variant: usize, stamp: usize) -> String {
    format!(
        "X-Stamp: {stamp}\r\nFrom: {}\r\nTo: a@x.example\r\nSubject: s{variant}\r\nMessage-ID: <m{message}@x.example>\r\n\
         Date: Mon, 2 Mar 2026 08:0{variant}:00 +0000\r\n\r\nBody {message}.{variant}{}\r\n",
        SENDERS[variant],
        if (message, variant) == (0, 1) { "x".repeat(LARGE_BYTES) } else { String::new() }
    )
}

/// Of the message, under an id of its own; some without what guards it, and some that are others of the same record.
fn notice(random: &mut Random, number: usize, message: usize, variant: usize) -> (String, String) {
    let recipient = random.below(2);
    let status = if number.is_multiple_of(3) { "5.2.2" } else { "5.1.1" };
    let id = format!("<n{message}.{variant}.{recipient}@ex1.example>");
    let guard = if (message + variant + recipient) % 3 != 2 {
        "From: MAILER-DAEMON@ex1.example\r\nDate: Mon, 2 Mar 2026 09:00:00 +0000\r\n"
    } else {
        ""
    };
    let text = format!(
        "{guard}To: {0}\r\nSubject: Undeliverable: s{variant}\r\nMessage-ID: {id}\r\n\
         MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=\"=n\"\r\n\r\n\
         --=n\r\nContent-Type: text/plain\r\n\r\nIt was not delivered.\r\n\
         --=n\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;ex1.example\r\n\r\n\
         Final-Recipient: rfc822;{1}\r\nAction: failed\r\nStatus: {status}\r\n\
         --=n\r\nContent-Type: text/rfc822-headers\r\n\r\nFrom: {0}\r\nMessage-ID: <m{message}@x.example>\r\n\
         Date: Mon, 2 Mar 2026 08:0{variant}:00 +0000\r\n\r\n--=n--\r\n",
        SENDERS[variant], RECIPIENTS[recipient]
    );
    (id, text)
}

fn report(random: &mut Random, number: usize, id: &str, variant: usize, original: Option<&String>) -> String {
    let mut text = format!("Sender: {}\r\nSubject: s{variant}\r\nMessage-Id: {id}\r\n", SENDERS[variant]);
    for _ in 0..1 + random.below(3) {
        let role = random.pick(&["To", "Cc", "Bcc", "Recipient"]);
        let via = if random.chance(300) { ", Expanded: list@x.example" } else { "" };
        text += &format!("{role}: {}{via}\r\n", random.pick(&RECIPIENTS));
    }
    let original = original
        .map_or(String::new(), |original| format!("\r\n--=b\r\nContent-Type: message/rfc822\r\n\r\n{original}"));
    format!(
        "From: {}\r\nMessage-ID: <r{number}@ex.example>\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=\"=b\"\r\n\r\n--=b\r\nContent-Type: text/plain\r\n\r\n{text}{original}\
         \r\n--=b--\r\n",
        SENDERS[variant]
    )
}

fn event(random: &mut Random, number: usize, message: usize) -> Bytes {
    let recipient = |address: &str, via: bool| EventRecipient {
        address: address.to_owned(),
        kind: RecipientKind::Unknown,
        role: EventRole::Unknown,
        via: via.then(|| Hop { how: How::Expanded, address: "list@x.example".to_owned() }).into_iter().collect(),
        original: None,
        store: None,
        status: None,
    };
    let via = random.chance(300);
    let event = EnvelopeEvent {
        // Some tell of the same event.
        event_id: format!("e{}", if random.chance(300) { 0 } else { number }),
        server: SERVERS[0].to_owned(),
        server_version: None,
        stage: if via { Stage::Expanded } else { Stage::Routed },
        at: 0,
        direction: Direction::Unknown,
        message_id: Some(format!("<m{message}@x.example>")),
        network_message_id: None,
        internal_message_id: None,
        sender: None,
        header_from: None,
        header_sender: None,
        authenticated_as: None,
        subject: None,
        recipients: vec![recipient(RECIPIENTS[random.below(RECIPIENTS.len())], via)],
        group: via.then(|| EventGroup { address: "list@x.example".to_owned(), expanded: true, members: Some(1) }),
        journaled_to: random.chance(300).then(|| JOURNAL.to_owned()).into_iter().collect(),
        already_journaled_to: Vec::new(),
        content: None,
    };
    event.to_framed()
}
