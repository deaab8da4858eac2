//! The made-up organisation: the same from the same seed, in order, fast, and true to what it says of itself.

use std::collections::{BTreeMap, BTreeSet};

use mailjournal::{
    mail::Digest,
    sample::{Incoming, Oddity, Options, Organisation, What},
};

fn mail_digests(organisation: &Organisation) -> Vec<Option<Digest>> {
    organisation.arrivals().map(|incoming| digest(&incoming)).collect()
}

fn digest(incoming: &Incoming) -> Option<Digest> {
    match &incoming.what {
        What::Mail(mail) => Some(Digest::of(&mail.bytes)),
        What::Event(_) => None,
    }
}

#[test]
fn a_seed_makes_the_same_bytes_again_and_another_seed_others() {
    let of = |seed| mail_digests(&Organisation::with(Options { messages: 200, ..Options::new(seed) }));
    assert_eq!(of(7), of(7));
    assert!(of(7)[..20] != of(8)[..20]);
}

#[test]
fn arrivals_are_all_of_all_messages_in_order_of_time() {
    let organisation = Organisation::with(Options { messages: 300, ..Options::new(3) });
    let times: Vec<i64> = organisation.arrivals().map(|incoming| incoming.at.0).collect();
    assert!(times.is_sorted());
    assert_eq!(times.len(), organisation.messages().map(|message| message.arrivals.len()).sum::<usize>());
}

#[test]
fn a_message_has_as_many_arrivals_as_its_truth_says() {
    for message in Organisation::with(Options::showcase(1)).messages() {
        let distinct: BTreeSet<_> = message.arrivals.iter().filter_map(digest).collect();
        let events = message.arrivals.iter().filter(|incoming| matches!(incoming.what, What::Event(_))).count();
        assert_eq!(distinct.len() + events, message.truth.arrivals, "{:?}", message.oddity);
        assert_eq!(message.arrivals.len(), message.truth.arrivals + message.truth.duplicates, "{:?}", message.oddity);
        assert!(message.truth.records == usize::from(message.oddity != Oddity::Garbage));
    }
}

#[test]
fn the_showcase_shows_each_oddity_within_sixty_arrivals() {
    let organisation = Organisation::with(Options::showcase(1));
    let mut arrivals_of: BTreeMap<Oddity, usize> = BTreeMap::new();
    for message in organisation.messages() {
        *arrivals_of.entry(message.oddity).or_default() += message.arrivals.len();
    }
    assert_eq!(arrivals_of.len(), 20, "{arrivals_of:?}");
    let total: usize = arrivals_of.values().sum();
    assert!((40..=60).contains(&total), "{total} arrivals: {arrivals_of:?}");
}

#[test]
fn every_mail_has_crlf_line_ends_only_and_its_original_whole() {
    for message in Organisation::with(Options { messages: 400, ..Options::new(5) }).messages() {
        if message.oddity == Oddity::Garbage {
            continue;
        }
        for incoming in &message.arrivals {
            let What::Mail(mail) = &incoming.what else { continue };
            let lone = memchr::memchr_iter(b'\n', &mail.bytes).find(|at| *at == 0 || mail.bytes[at - 1] != b'\r');
            assert_eq!(lone, None, "{:?} of message {}", message.oddity, message.index);
        }
    }
}

#[test]
fn sizes_are_as_asked() {
    let organisation = Organisation::with(Options { messages: 1500, ..Options::new(11) });
    let sizes: Vec<usize> =
        organisation.arrivals().map(|incoming| incoming.mail_bytes()).filter(|size| *size > 0).collect();
    let mean = sizes.iter().sum::<usize>() / sizes.len();
    assert!((11_000..14_000).contains(&mean), "the mean arrival has {mean} bytes");
}

#[test]
fn a_list_expanded_elsewhere_leaves_no_list_among_the_recipients() {
    let organisation = Organisation::with(Options { messages: 500, ..Options::new(2) });
    let lists: BTreeSet<String> = organisation.directory.lists.iter().map(|list| list.address.clone()).collect();
    for message in
        organisation.messages().filter(|message| matches!(message.oddity, Oddity::Promised | Oddity::Ordinary))
    {
        let left = message.truth.recipients.keys().find(|address| lists.contains(*address));
        assert_eq!(left, None, "message {}", message.index);
    }
}
