//! What is written is read again, by every version of every schema, for as long as the project lives.

use std::{fs, path::PathBuf};

use mailjournal::{
    avro::{self, DecodeError, Schema},
    correlate::{StoredDraft, StoredName},
    evidence::envelope_event::EnvelopeEvent,
    record::{self, JournalActivity, JournalRecord, LedgerRow, NonDelivery},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{envelope_event, samples};

fn schemas() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

/// Calls `$check` with a schema, its shape and the sample of it.
macro_rules! for_each_shape {
    ($check:ident) => {
        $check::<EnvelopeEvent>(Schema::EnvelopeEvent, envelope_event::rich());
        $check::<StoredDraft>(Schema::Draft, samples::draft());
        $check::<JournalRecord>(Schema::JournalRecord, samples::record());
        $check::<NonDelivery>(Schema::NonDelivery, samples::non_delivery());
        $check::<JournalActivity>(Schema::JournalActivity, samples::activity());
        $check::<LedgerRow>(Schema::Ledger, samples::ledger());
    };
}

#[test]
fn every_shape_comes_back_from_avro_and_from_json() {
    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(schema: Schema, value: T) {
        let framed = avro::encode(schema, &value);
        assert_eq!(framed[..2], [0xC3, 0x01]);
        assert_eq!(framed[2..10], avro::fingerprint(schema));
        assert_eq!(avro::decode::<T>(schema, &framed).unwrap(), value);
        let json = record::to_json(&value);
        assert!(!json.contains(&b'\n'));
        assert_eq!(serde_json::from_slice::<T>(&json).unwrap(), value);
    }
    for_each_shape!(check);
}

/// Each version's sample was written by the mailjournal that published the version: `vN.avro` is the framed value,
/// `vN.json` what it says. For a new version, run this test once with `MAILJOURNAL_PUBLISH=1`: it writes those of
/// today's version that are not there.
#[test]
fn every_published_version_is_read_into_todays_shapes() {
    fn check<T: Serialize + DeserializeOwned>(schema: Schema, value: T) {
        let folder = schemas().join("published").join(schema.name());
        let versions = schema.texts().len();
        publish(schema, &value, &folder.join(format!("v{versions}")));
        for version in 1..=versions {
            let path = folder.join(format!("v{version}.avro"));
            let framed = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let read: T = avro::decode(schema, &framed).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let told: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
            assert_tells(&told, &serde_json::to_value(&read).unwrap(), &path.display().to_string());
        }
    }
    for_each_shape!(check);
}

fn publish<T: Serialize>(schema: Schema, value: &T, stem: &std::path::Path) {
    if std::env::var_os("MAILJOURNAL_PUBLISH").is_some() && !stem.with_extension("avro").exists() {
        fs::write(stem.with_extension("avro"), avro::encode(schema, value)).unwrap();
        fs::write(stem.with_extension("json"), serde_json::to_vec_pretty(value).unwrap()).unwrap();
    }
}

/// Everything in `old` is in `new`; `new` may say more.
fn assert_tells(old: &Value, new: &Value, place: &str) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            old.iter().for_each(|(key, value)| assert_tells(value, &new[key], &format!("{place}.{key}")));
        }
        (Value::Array(old), Value::Array(new)) => {
            assert_eq!(old.len(), new.len(), "{place}");
            old.iter().zip(new).for_each(|(old, new)| assert_tells(old, new, place));
        }
        _ => assert_eq!(old, new, "{place}"),
    }
}

#[test]
fn the_schemas_that_people_read_are_the_newest_published_ones() {
    for schema in Schema::ALL {
        let newest = schema.texts().last().unwrap();
        let file = schemas().join(format!("{}.avsc", kebab(schema.name())));
        assert_eq!(&fs::read_to_string(&file).unwrap(), newest, "{} differs: publish a new version", file.display());
    }
}

#[test]
fn every_file_in_published_is_built_in() {
    let folders = fs::read_dir(schemas().join("published")).unwrap().count();
    assert_eq!(folders, Schema::ALL.len());
    for schema in Schema::ALL {
        let folder = schemas().join("published").join(schema.name());
        let files = fs::read_dir(&folder)
            .unwrap()
            .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "avsc"));
        assert_eq!(files.count(), schema.texts().len(), "{}", folder.display());
        for (index, text) in schema.texts().iter().enumerate() {
            assert_eq!(&fs::read_to_string(folder.join(format!("v{}.avsc", index + 1))).unwrap(), text);
        }
    }
}

#[test]
fn every_field_is_documented() {
    fn walk(schema: &Value, undocumented: &mut Vec<String>) {
        match schema {
            Value::Object(object) => {
                let named =
                    object.contains_key("symbols") || object.contains_key("fields") || object.contains_key("default");
                if (named || object.len() == 2 && object.contains_key("name")) && !object.contains_key("doc") {
                    undocumented.push(object["name"].to_string());
                }
                object.values().for_each(|inner| walk(inner, undocumented));
            }
            Value::Array(array) => array.iter().for_each(|inner| walk(inner, undocumented)),
            _ => {}
        }
    }
    for schema in Schema::ALL {
        let mut undocumented = Vec::new();
        walk(&serde_json::from_str(schema.texts().last().unwrap()).unwrap(), &mut undocumented);
        assert_eq!(undocumented, Vec::<String>::new(), "{}", schema.name());
    }
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

/// Of today's version the rest is not looked at; a value of an older one is read whole.
#[test]
fn the_name_of_a_stored_draft_is_read_alone() {
    let name = |framed: &[u8]| avro::decode_first::<StoredName, StoredDraft>(Schema::Draft, framed);
    let todays = avro::encode(Schema::Draft, &samples::draft());
    assert_eq!(name(&todays).unwrap(), samples::draft().into());
    assert_eq!(name(&todays[..todays.len() - 1]).unwrap(), samples::draft().into());
    assert!(name(&todays[..20]).is_err());
    let older = fs::read(schemas().join("published/Draft/v1.avro")).unwrap();
    assert_eq!(name(&older).unwrap(), avro::decode::<StoredDraft>(Schema::Draft, &older).unwrap().into());
    assert_eq!(name(b"{}"), Err(DecodeError::NotFramed));
}

#[test]
fn what_is_no_value_is_told_apart() {
    let check = |bytes: &[u8], expect: fn(&DecodeError) -> bool| {
        let error = avro::decode::<LedgerRow>(Schema::Ledger, bytes).unwrap_err();
        assert!(expect(&error), "{error}");
    };
    let framed = avro::encode(Schema::Ledger, &samples::ledger());
    check(b"", |error| *error == DecodeError::NotFramed);
    check(b"{\"topic\": 1}", |error| *error == DecodeError::NotFramed);
    check(&framed[..9], |error| *error == DecodeError::NotFramed);
    check(&[&framed[..], b"x"].concat(), |error| error.to_string().contains("1 bytes follow its end"));
    for end in 10..framed.len() {
        check(&framed[..end], |error| matches!(error, DecodeError::Malformed { schema: "Ledger", .. }));
    }
    let other = avro::encode(Schema::Draft, &samples::draft());
    check(&other, |error| {
        error.to_string().contains("upgrade mailjournal") && error.to_string().contains("schemas/published/Ledger")
    });
}

/// A part of version 1 that lacked its last field was read as a draft that had never been published.
#[test]
fn a_value_that_was_cut_is_refused_in_every_version() {
    fn check<T: DeserializeOwned>(schema: Schema, _: T) {
        for version in 1..=schema.texts().len() {
            let path = schemas().join("published").join(schema.name()).join(format!("v{version}.avro"));
            let framed = fs::read(path).unwrap();
            let read: Vec<usize> =
                (0..framed.len()).filter(|&end| avro::decode::<T>(schema, &framed[..end]).is_ok()).collect();
            assert!(read.is_empty(), "{} v{version} of {} bytes is read with {read:?}", schema.name(), framed.len());
        }
    }
    for_each_shape!(check);
}

#[test]
fn a_length_made_up_by_an_attacker_takes_no_memory() {
    let mut framed = avro::encode(Schema::Ledger, &samples::ledger());
    framed.truncate(10);
    framed.extend_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]);
    let error = avro::decode::<LedgerRow>(Schema::Ledger, &framed).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
}

/// Where assertions are on, each reading is compared with apache-avro's.
#[test]
fn a_damaged_value_is_read_as_apache_avro_reads_it_or_refused() {
    fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(schema: Schema, value: T) {
        let framed = avro::encode(schema, &value);
        for place in 10..framed.len() {
            for byte in [0x00, 0x01, 0x7F, 0x80, 0xFF, framed[place] ^ 0x02] {
                let mut damaged = framed.clone();
                damaged[place] = byte;
                if let Ok(read) = avro::decode::<T>(schema, &damaged) {
                    assert_eq!(avro::decode::<T>(schema, &avro::encode(schema, &read)).unwrap(), read);
                }
            }
        }
    }
    for_each_shape!(check);
}

#[test]
fn bytes_are_written_as_they_are() {
    let content: Vec<u8> = (0..=255).cycle().take(75_000).collect();
    let framed = samples::record_of(&content).to_avro();
    assert!(framed.windows(content.len()).any(|window| window == content));
    assert!(framed.len() < content.len() + 4_000, "{} bytes", framed.len());
}
