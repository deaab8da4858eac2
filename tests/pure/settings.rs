//! File and environment → settings, or every error at once.

use std::time::Duration;

use mailjournal::{
    arrival::Input,
    settings::{Settings, Topic, keys},
    turn::{ArchiveFormat, Output},
};

fn settings(file: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let checked = Settings::check(Some(("m.toml", file)), variables, Some("host-1"));
    checked.map(|(settings, _)| settings).map_err(|errors| errors.to_string())
}

fn good(file: &str, variables: &[(&str, &str)]) -> Settings {
    settings(file, variables).expect("these settings are right")
}

#[track_caller]
fn check_errors(file: &str, variables: &[(&str, &str)], expect: &[&str]) {
    let errors = settings(file, variables).expect_err("these settings are wrong");
    assert_eq!(errors.lines().collect::<Vec<_>>(), expect);
}

#[test]
fn without_a_file_the_defaults_of_the_contract_hold() {
    let settings = Settings::check(None, std::iter::empty(), Some("host-1")).expect("defaults are right").0;
    assert_eq!(settings.kafka.brokers, "127.0.0.1:9092");
    assert_eq!(settings.kafka.group, "mailjournal");
    assert_eq!(settings.kafka.instance, "host-1");
    assert_eq!(settings.timing, mailjournal::correlate::Timing::default());
    assert_eq!(settings.archive_format, ArchiveFormat::Record);
    assert_eq!(settings.registry_url, None);
    assert_eq!(settings.telemetry.listen.to_string(), "127.0.0.1:9464");
    assert_eq!((settings.topics.partitions, settings.topics.replication), (6, 3));
    let names = Topic::ALL.map(|topic| settings.topics.name(topic).to_owned());
    let words = ["reports", "envelopes", "strays", "drafts", "archive", "ndr", "activity", "ledger", "rejected"];
    assert_eq!(names, words.map(|word| format!("journal.{word}")));
}

#[test]
fn a_variable_beats_the_file_and_the_file_beats_the_default() {
    let file = "[kafka]\ngroup = \"file\"\n[correlate]\nsettle = \"1s\"\n";
    let settings = good(file, &[("MAILJOURNAL_KAFKA_GROUP", "variable"), ("PATH", "/bin")]);
    assert_eq!(settings.kafka.group, "variable");
    assert_eq!(settings.timing.settle, Duration::from_secs(1));
    assert_eq!(settings.timing.quiet, Duration::from_secs(60));
}

#[test]
fn every_key_can_be_set_by_its_variable_and_in_the_file() {
    for key in keys::KEYS {
        good("", &[(&keys::variable(key.name), key.example)]);
        let is_number = key.expected.contains("number");
        let quote = if is_number { "" } else { "\"" };
        good(&format!("{} = {quote}{}{quote}", key.name, key.example), &[]);
    }
}

#[test]
fn a_prefix_stands_before_every_topic() {
    let settings = good("topics.prefix = \"eu.\"\ntopics.archive = \"records\"", &[]);
    assert_eq!(settings.topics.name(Topic::Archive), "eu.records");
    assert_eq!(settings.topics.name(Input::Reports), "eu.journal.reports");
    assert_eq!(settings.topics.name(Output::Strays), "eu.journal.strays");
    assert_eq!(settings.topics.input("eu.journal.envelopes"), Some(Input::Envelopes));
    assert_eq!(settings.topics.input("eu.records"), None);
    assert_eq!(&*settings.topics.input_names().strays, "eu.journal.strays");
}

#[test]
fn client_properties_are_passed_through() {
    let file = "[kafka.client]\n\"security.protocol\" = \"SASL_SSL\"\nssl.ca.location = \"/ca.pem\"\n\"socket.timeout.ms\" = 5000\n";
    let settings = good(file, &[("MAILJOURNAL_KAFKA_CLIENT_SASL_USERNAME", "me")]);
    let expect = [
        ("sasl.username", "me"),
        ("security.protocol", "SASL_SSL"),
        ("socket.timeout.ms", "5000"),
        ("ssl.ca.location", "/ca.pem"),
    ];
    assert_eq!(settings.kafka.client.iter().collect::<Vec<_>>(), expect);
}

#[test]
fn durations_have_units() {
    #[track_caller]
    fn check(text: &str, expect: Option<u64>) {
        let settings = settings("", &[("MAILJOURNAL_CORRELATE_SETTLE", text), ("MAILJOURNAL_CORRELATE_QUIET", "900s")]);
        assert_eq!(settings.ok().map(|settings| settings.timing.settle), expect.map(Duration::from_millis));
    }
    check("0s", Some(0));
    check("250ms", Some(250));
    check("1m30s", Some(90_000));
    check("1m250ms", Some(60_250));
    for wrong in
        ["", "5", "s", "5 s", "-5s", "5s5s", "5s1m", "5sec", "5S", "1.5s", "99999999999999999999d", "4000d", "٣s"]
    {
        check(wrong, None);
    }
}

#[test]
fn every_error_is_told_at_once_with_its_line() {
    let file = "[kafka]\nbroker = \"a:1\"\n\n[correlate]\nsettle = 5\nquiet = \"soon\"\n[topics]\npartitions = \"6\"\n";
    check_errors(
        file,
        &[("MAILJOURNAL_ARCHIVE_FORMAT", "xml"), ("MAILJOURNAL_KAFKA_BROKER", "a:1")],
        &[
            "m.toml:2: there is no key `kafka.broker`; did you mean `kafka.brokers`?",
            "m.toml:5: `correlate.settle`: expected a duration (units d, h, m, s, ms), like \"5s\"; found 5 (a number)",
            "m.toml:6: `correlate.quiet`: expected a duration (units d, h, m, s, ms), like \"60s\"; found \"soon\"",
            "m.toml:8: `topics.partitions`: expected a whole number from 1, like 6; found \"6\"",
            "MAILJOURNAL_ARCHIVE_FORMAT: `archive.format`: expected avro or report, like \"avro\"; found \"xml\"",
            "MAILJOURNAL_KAFKA_BROKER: no setting has this variable; did you mean MAILJOURNAL_KAFKA_BROKERS?",
        ],
    );
}

#[test]
fn waits_must_not_shrink() {
    check_errors(
        "correlate.quiet = \"20m\"",
        &[("MAILJOURNAL_CORRELATE_REMEMBER", "1m")],
        &[
            "default: `correlate.patience`: 15m is shorter than `correlate.quiet`, which is 20m; settle ≤ quiet ≤ patience ≤ remember must hold",
            "MAILJOURNAL_CORRELATE_REMEMBER: `correlate.remember`: 1m is shorter than `correlate.patience`, which is 15m; settle ≤ quiet ≤ patience ≤ remember must hold",
        ],
    );
}

#[test]
fn what_is_not_toml_is_told_with_its_line() {
    let errors = settings("[kafka]\ngroup = \n", &[]).expect_err("no value");
    assert!(errors.starts_with("m.toml:2: this is not TOML: "), "{errors}");
    let errors = settings("[kafka]\ngroup = \"a\"\ngroup = \"b\"\n", &[]).expect_err("twice");
    assert!(errors.starts_with("m.toml:3: this is not TOML: "), "{errors}");
}

#[test]
fn sections_and_keys_are_told_apart() {
    check_errors("kafka = 5", &[], &["m.toml:1: `kafka` is a section: write [kafka] and its keys below"]);
    check_errors(
        "[corelate]\nsettle = \"1s\"",
        &[],
        &["m.toml:1: there is no section `corelate`; did you mean `correlate`?"],
    );
    check_errors(
        "[kafka.brokers]\na = 1",
        &[],
        &[
            "m.toml:1: `kafka.brokers`: expected HOST:PORT, several by comma, like \"kafka-1:9092,kafka-2:9092\"; found {…} (a table)",
        ],
    );
}

#[test]
fn what_the_product_depends_on_is_not_passed_through() {
    check_errors(
        "[kafka.client]\n\"isolation.level\" = \"read_uncommitted\"\n\"bootstrap.servers\" = \"a:1\"",
        &[("MAILJOURNAL_KAFKA_CLIENT_GROUP_ID", "x")],
        &[
            "m.toml:2: `kafka.client.isolation.level` is not yours to set: exactly-once depends on it; leave it out",
            "m.toml:3: `kafka.client.bootstrap.servers` is not yours to set: set `kafka.brokers`",
            "MAILJOURNAL_KAFKA_CLIENT_GROUP_ID: `kafka.client.group.id` is not yours to set: set `kafka.group`",
        ],
    );
}

#[test]
fn topic_names_differ_and_are_such_that_kafka_takes_them() {
    check_errors(
        "topics.archive = \"journal.ledger\"",
        &[],
        &["default: `topics.ledger`: `topics.archive` has the same name, journal.ledger; give each topic its own"],
    );
    check_errors(
        "topics.ndr = \"no spaces\"",
        &[],
        &[
            "m.toml:1: `topics.ndr`: expected a topic name (letters, digits, '.', '_', '-'), like \"journal.ndr\"; found \"no spaces\"",
        ],
    );
    assert!(settings(&format!("topics.prefix = \"{}\"", "x".repeat(240)), &[]).is_err());
}

#[test]
fn variables_of_others_are_left_alone() {
    for name in [
        "MAILJOURNAL_TEST_BROKER",
        "MAILJOURNAL_CORPUS",
        "MAILJOURNAL_CONFIG",
        "MAILJOURNAL_SERVICE_HOST",
        "MAILJOURNAL_PORT",
        "MAILJOURNAL_PORT_9464_TCP_ADDR",
        "MAILJOURNAL_METRICS_SERVICE_PORT_HTTP",
    ] {
        good("", &[(name, "x")]);
    }
    assert!(settings("", &[("MAILJOURNAL_KAFKA_GRUOP", "x")]).is_err());
}

#[test]
fn an_instance_needs_a_name_of_its_own() {
    let unnamed = Settings::check(None, std::iter::empty(), None).expect_err("no host name, no instance");
    assert!(unnamed.to_string().contains("`kafka.instance`"), "{unnamed}");
    let named = [("MAILJOURNAL_KAFKA_INSTANCE".to_owned(), "slot-0".to_owned())];
    assert!(Settings::check(None, named.into_iter(), None).is_ok());
}

#[test]
fn secrets_are_shown_as_stars() {
    #[track_caller]
    fn check(key: &str, value: &str, expect: &str) {
        let file = format!("{key} = \"{value}\"");
        let (settings, effective) =
            Settings::check(Some(("m.toml", &file)), std::iter::empty(), Some("host-1")).expect("right");
        let shown = effective.iter().find(|effective| effective.origin.to_string() == "m.toml:1").expect("is listed");
        assert_eq!(shown.value, format!("\"{expect}\""));
        if value != expect {
            assert!(!format!("{settings:?}").contains("hush"), "Debug tells the secret");
        }
    }
    check("kafka.client.\"sasl.password\"", "hush", "***");
    check("kafka.client.\"sasl.username\"", "hush", "***");
    check("kafka.client.\"ssl.key.pem\"", "hush", "***");
    check("kafka.client.\"ssl.keystore.password\"", "hush", "***");
    check("kafka.client.\"sasl.oauthbearer.client.secret\"", "hush", "***");
    check("kafka.client.\"sasl.jaas.config\"", "hush", "***");
    check("kafka.client.\"sasl.mechanism\"", "PLAIN", "PLAIN");
    check("registry.url", "https://me:hush@registry:8081/path", "https://***@registry:8081/path");
    check("registry.url", "https://registry:8081/@/path", "https://registry:8081/@/path");
}

/// Found by the fuzzing of settings: whatever prints the brokers would have printed the password.
#[test]
fn a_password_among_the_brokers_is_refused_and_not_shown() {
    check_errors(
        "kafka.brokers = \"a:1,https://me:hush@kafka-1:9092\"",
        &[],
        &[
            "m.toml:1: `kafka.brokers`: expected HOST:PORT, several by comma, like \"kafka-1:9092,kafka-2:9092\"; found \"a:1,https://***@kafka-1:9092\"",
        ],
    );
}

/// Found by the fuzzing of settings: shown again, such a name was no TOML, or other settings.
#[test]
fn a_name_that_no_property_has_is_refused() {
    check_errors(
        "[kafka.client]\n\"a\\\"b\" = 1\n\"\" = 2\n\"c\\nd = 3\" = \"x\"",
        &[],
        &[
            "m.toml:2: `kafka.client.a\\\"b`: no property has this name (letters, digits, '.', '_', '-')",
            "m.toml:3: `kafka.client.`: no property has this name (letters, digits, '.', '_', '-')",
            "m.toml:4: `kafka.client.c\\nd = 3`: no property has this name (letters, digits, '.', '_', '-')",
        ],
    );
}

#[test]
fn what_a_settings_file_says_stays_on_the_line_of_its_error() {
    check_errors(
        "\"a\\nb\" = 1\n[\"c\\rd\"]\n[kafka]\ngroup = \"e\\nf\"",
        &[],
        &[
            "m.toml:1: there is no key `a\\nb`; `mailjournal config show` lists all keys",
            "m.toml:2: there is no section `c\\rd`; did you mean `turn`?",
            "m.toml:4: `kafka.group`: expected a name, like \"mailjournal\"; found \"e\\nf\"",
        ],
    );
}

#[test]
fn what_is_shown_is_a_settings_file_again() {
    let file = "topics.partitions = 12\n[kafka.client]\n\"security.protocol\" = \"SSL\"\n";
    let (_, effective) =
        Settings::check(Some(("m.toml", file)), std::iter::empty(), Some("host-1")).expect("these are right");
    let shown: Vec<String> = effective.iter().map(ToString::to_string).collect();
    let again = good(&shown.join("\n"), &[]);
    assert_eq!(again.topics.partitions, 12);
    assert_eq!(again.kafka.client.iter().collect::<Vec<_>>(), [("security.protocol", "SSL")]);
    assert_eq!(effective.len(), keys::KEYS.len() + 1);
}

#[test]
fn the_readme_tells_every_key_and_its_default() {
    let readme = include_str!("../../README.md");
    for key in keys::KEYS {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let row = format!("| `{}` | {default} | {} |", key.name, key.meaning);
        let row = row.replace("|  |", "| |");
        assert!(readme.contains(&row), "README.md lacks the row {row}");
    }
}
