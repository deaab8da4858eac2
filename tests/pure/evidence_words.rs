//! The words of which evidence is made: addresses, Message-IDs, dates, encoded words.

use mailjournal::{
    arrival::Timestamp,
    mail::{
        Address, AddressKind, address, decode,
        headers::{newest_received_at, parse_date},
        key::message_id_key,
    },
};

#[test]
fn spellings_of_one_address_share_a_key() {
    let check = |spellings: &[&str], kind: AddressKind| {
        let key = Address::of(spellings[0]).compare_key();
        for spelling in spellings {
            let address = Address::of(spelling);
            assert_eq!((address.kind, address.compare_key()), (kind, key.clone()), "{spelling}");
        }
    };
    check(
        &["a.b@contoso.example", "<A.B@Contoso.example>", "SMTP:A.b@contoso.example", " smtp: a.b@CONTOSO.example "],
        AddressKind::Smtp,
    );
    check(
        &[
            "[EX:/O=ORG/OU=FIRST ADMINISTRATIVE GROUP/CN=RECIPIENTS/CN=JDOE]",
            "/o=Org/ou=First Administrative Group/cn=Recipients/cn=jdoe",
            "EX:/o=Org/ou=First Administrative Group/cn=Recipients/cn=JDoe",
            "IMCEAEX-_O=ORG_OU=FIRST+20ADMINISTRATIVE+20GROUP_CN=RECIPIENTS_CN=JDOE@contoso.example",
        ],
        AddressKind::X500,
    );
    check(&["IMCEANOTES-A+20B_C@contoso.example"], AddressKind::Other);
    check(&["no address"], AddressKind::Other);
    assert_ne!(Address::of("IMCEAEX-_O=A+5FB@c.example").compare_key(), Address::of("/o=a/b").compare_key());
}

#[test]
fn lists_are_parted_where_addresses_end() {
    let check = |text: &str, expected: &[&str]| {
        let found: Vec<String> = address::parse_list(text).into_iter().map(|mailbox| mailbox.address.text).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("", &[]);
    check(" , ;,<>", &[]);
    check("a@x.example, B <b@x.example>;c@x.example", &["a@x.example", "b@x.example", "c@x.example"]);
    check("Doe, John <jd@x.example>, Roe, Jane <jr@x.example>", &["jd@x.example", "jr@x.example"]);
    check("\"a, b\"@x.example, c@x.example", &["\"a, b\"@x.example", "c@x.example"]);
    check("Team: a@x.example, b@x.example;, c@x.example", &["a@x.example", "b@x.example", "c@x.example"]);
    check("undisclosed-recipients:;", &[]);
    check("a@[IPv6:2001:db8::1], b@x.example", &["a@[IPv6:2001:db8::1]", "b@x.example"]);
    check(
        "(one, two) a@x.example, [EX:/o=A, B/cn=c], d@x.example",
        &["a@x.example", "[EX:/o=A, B/cn=c]", "d@x.example"],
    );
}

#[test]
fn a_message_id_is_normalised() {
    let check = |text: &str, expected: Option<&str>| {
        assert_eq!(message_id_key(text).as_ref().map(|key| key.as_str()), expected, "{text:?}");
    };
    check(" <A@b.example> ", Some("<A@b.example>"));
    check("\r\n <a@b.example>\r\n (comment)", Some("<a@b.example>"));
    check("<a@\r\n b.example>", Some("<a@ b.example>"));
    check("a@b.example trailing", Some("<a@b.example>"));
    check("<never-closed@b.example", Some("<never-closed@b.example>"));
    check("noise <a@b.example> <c@d.example>", Some("<a@b.example>"));
    check("(was <no@x>) <yes@x>", Some("<yes@x>"));
    check("note (was (once) \\) <no@x>) <yes@x>", Some("<yes@x>"));
    check("(was <no@x>) yes@x", Some("<yes@x>"));
    check("(<only@x>)", Some("<only@x>"));
    check("(never closed <yes@x>", Some("<yes@x>"));
    check("<a(b)c@x>", Some("<a(b)c@x>"));
    check("<>", None);
    check("  ", None);
    check(&format!("<{}>", "x".repeat(996)), Some(&format!("<{}>", "x".repeat(996))));
    check(&format!("<{}>", "x".repeat(997)), None);
}

#[test]
fn encoded_words_are_decoded() {
    let check = |value: &str, expected: &str| assert_eq!(decode::decode_words(value.as_bytes()), expected, "{value}");
    check("plain", "plain");
    check("=?utf-8?Q?Gr=C3=BC=C3=9Fe?= an alle", "Grüße an alle");
    check("=?utf-8?B?w7w=?= =?utf-8?B?w58=?=", "üß");
    check("=?utf-8?Q?=C3?= =?utf-8?Q?=BC?=", "ü");
    check("a =?utf-8*en?Q?b_c?= d", "a b c d");
    check("=?iso-8859-1?Q?=FC?= =?windows-1251?B?8w==?=", "üу");
    check("=?utf-8?X?abc?= =?broken", "=?utf-8?X?abc?= =?broken");
    check("=?gb2312?B?ytWz1g==?=", "收持");
}

#[test]
fn the_newest_received_dates_a_mail() {
    let check = |mail: &str, expected: Option<i64>| {
        assert_eq!(newest_received_at(mail.as_bytes()), expected.map(Timestamp), "{mail}")
    };
    let received = "Received: from a by b; Tue, 3 Mar 2026 08:00:05 +0000 (UTC)\nReceived: from c by a;\n Tue, 3 Mar 2026 08:00:00 +0000\n";
    check(&format!("{received}Date: Mon, 2 Mar 2026 00:00:00 +0000\n\n"), Some(1_772_524_805_000));
    check("Received: by b without date\nDate: Tue, 3 Mar 2026 09:00:00 +0100\n\n", Some(1_772_524_800_000));
    check("Subject: x\n\n", None);
    assert_eq!(parse_date(b"no date"), None);
}
