//! mailjournal merges the partial journal reports of mail servers into one complete journal record a message.
//!
//! # The story
//!
//! A mail server that journals sends, for each mail, a *journal report*: a mail that says who really sent and who
//! really received, with the original attached. One mail makes several: a list is expanded on another server, a
//! message forks at a limit, two generations of servers each send their own. Nothing in a report says "n of m".
//!
//! mailjournal reads all of them, and what servers say in *envelope events*; groups what belongs to one message;
//! decides when it is complete; and publishes one [`record::JournalRecord`] of it, with every recipient that any piece
//! of evidence names and the original byte for byte. What comes later makes a new revision. Every arrival's fate is
//! written to a ledger.
//!
//! # One idea
//!
//! Decisions live in synchronous values that own their state and are handed their time: the *rooms*. Everything that
//! can fail for outside reasons lives in a thin loop around them: the *shells*. A shell takes arrivals in and carries
//! out one [`turn`] after the other, each all or nothing: on Kafka a turn is a transaction, on files a rename. What an
//! instance among others does next, from an assignment over the restore to its turns, is decided in [`turn::instance`]:
//! the Kafka shell does it, and so does a simulation, hundreds of histories a second.
//!
//! ```text
//!  arrival ──▶ evidence ──▶ correlate ──▶ record ──▶ turn ──▶ out
//!   bytes      what one     what all       the        one      bytes and
//!   +place     arrival      evidence of    journal    trans-   positions,
//!   +time      says of      one mail       record     action   all or none
//!              one mail     adds up to
//! ```
//!
//! Each room knows only the rooms before it; read in the order of the modules below, the source follows one mail from
//! its arrival to the archive. (The shape of a record stands before the room that fills it, so that its field names
//! are written once.)
//!
//! # The words
//!
//! | word | means |
//! |---|---|
//! | [`Arrival`](arrival::Arrival) | what a shell hands in: bytes, [`Position`](arrival::Position), [`Timestamp`](arrival::Timestamp) |
//! | [`Position`](arrival::Position) | topic, partition, and offset there |
//! | [`Evidence`](evidence::Evidence) | what one arrival says of one mail: a report, an envelope event, a notice or a plain copy |
//! | report | one parsed journal report: an envelope and an original |
//! | envelope event | what a mail server says happened to a mail |
//! | [`Notice`](evidence::Notice) | what a DSN, MDN or automatic reply says of the mail it is about |
//! | envelope | who sent and who received, as the evidence says |
//! | [`Original`](evidence::Original) | the journaled mail, byte for byte |
//! | [`Key`](mail::Key) | what correlation groups by: the normalised Message-ID, or a stand-in where there is none |
//! | [`Guard`](mail::Guard) | the second factor of identity, against a Message-ID used again: a hash of From and Date |
//! | draft | all evidence so far of one message; the unit of state |
//! | [`Complete`](correlate::Complete) | a draft that the correlator, and nobody else, has closed |
//! | [`JournalRecord`](record::JournalRecord) | what is published of a `Complete`; always the full word |
//! | [`Effect`](correlate::Effect) | what the correlator wants done |
//! | turn | one transaction: arrivals in, effects and positions out |
//! | task | one partition number of all input topics, with its correlator |
//!
//! # Invariants
//!
//! 1. The rooms know no clock, no broker, no file system, no environment; each knows only the rooms before it. Held by
//!    `rooms_know_nothing_outside`, `each_room_knows_only_the_rooms_before_it`.
//! 2. After every `handle_*` of a turn the caller drains `poll_effect` before the turn leaves. Held by
//!    `the_same_instant_told_again_publishes_nothing_again`.
//! 3. Nothing leaves except as an effect, and each effect is observed once: what is dropped is counted. Held by
//!    `every_arrival_has_one_disposition_and_every_original_its_file`.
//! 4. An original's bytes are never re-encoded. Held by `a_huge_mail_is_cut_exactly`,
//!    `the_journal_report_reads_as_its_oracle_says`, `the_parts_that_pythons_email_package_finds_hold_the_originals_bytes`.
//! 5. Merging is a join: a record does not depend on the order or repetition of its evidence. Held by
//!    `any_order_repetition_and_split_ends_in_the_same_records`, `the_correlator_agrees_with_the_naive_model`.
//! 6. Effects and positions become visible together or not at all. Held by
//!    `histories_keep_every_promise`, `a_record_is_never_seen_without_the_rows_of_its_evidence`,
//!    `an_abort_in_every_phase_leaves_no_trace`, `a_member_left_behind_without_knowing_it_publishes_nothing`.
//! 7. State is only ever restored, never repaired. Held by `histories_keep_every_promise`,
//!    `a_new_instance_restores_what_another_left_behind`,
//!    `killed_at_twenty_moments_of_a_load_it_ends_in_the_same_records`.
//! 8. No personal data in logs at INFO or above: no address, no subject, no body, no Message-ID. Held by
//!    `no_log_line_at_info_or_above_names_what_a_mail_says`.
//! 9. Every queue, wait and batch has a bound ([`limits`]); what one Message-ID's evidence takes has none. Held by
//!    `the_oldest_go_first_and_the_bound_holds`, `a_turn_forgives_and_without_one_patience_ends`,
//!    `a_length_made_up_by_an_attacker_takes_no_memory`, `a_stored_part_does_not_grow_with_what_its_draft_published`.
//! 10. Stored formats change only by adding a version. Held by `every_published_version_is_read_into_todays_shapes`.
//! 11. No unchecked setting survives, and no secret is shown. Held by `every_error_is_told_at_once_with_its_line`,
//!     `secrets_are_shown_as_stars`.

#![forbid(unsafe_code)]

pub mod limits;

// The rooms: pure, each knowing only those above it.
pub mod arrival;
pub mod avro;
pub mod mail;
pub mod evidence;
pub mod record;
pub mod correlate;
pub mod turn;

/// A made-up organisation's mail, for the demo, the tests and the benchmark.
pub mod sample;

// The shells and what they share.
pub mod settings;
pub mod telemetry;
pub mod files;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod cli;
