//! The schemas of the topic values, and Avro single-object encoding: `C3 01`, the schema's CRC-64-AVRO fingerprint
//! (little-endian), the datum (Avro specification, "Single-object encoding"). Pure: bytes in, values out.
//!
//! Every version ever written lies in `schemas/published/` and stays readable: a value is read with the schema that its
//! fingerprint names, then resolved to today's. To change a shape, add `vN+1.avsc` and its line in [`Schema::texts`];
//! what is new needs a default.

mod datum;

use std::{io, sync::LazyLock};

use apache_avro::{
    rabin::Rabin, reader::datum::GenericDatumReader, util::max_allocation_bytes, writer::datum::GenericDatumWriter,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::limits;

/// The values that topics carry, one schema each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Schema {
    EnvelopeEvent,
    Draft,
    JournalRecord,
    NonDelivery,
    JournalActivity,
    Ledger,
}

/// What every framed value begins with.
pub const MARKER: [u8; 2] = [0xC3, 0x01];

/// Bytes of framing before the datum: the marker and the fingerprint.
pub const FRAME_BYTES: usize = 10;

impl Schema {
    /// In the order of declaration, which [`Schema::index`] relies on.
    pub const ALL: [Schema; 6] = [
        Schema::EnvelopeEvent,
        Schema::Draft,
        Schema::JournalRecord,
        Schema::NonDelivery,
        Schema::JournalActivity,
        Schema::Ledger,
    ];

    /// The Avro name, without its namespace `mailjournal`.
    pub fn name(self) -> &'static str {
        match self {
            Schema::EnvelopeEvent => "EnvelopeEvent",
            Schema::Draft => "Draft",
            Schema::JournalRecord => "JournalRecord",
            Schema::NonDelivery => "NonDelivery",
            Schema::JournalActivity => "JournalActivity",
            Schema::Ledger => "Ledger",
        }
    }

    /// Every version ever written, oldest first; the last is today's.
    pub fn texts(self) -> &'static [&'static str] {
        match self {
            Schema::EnvelopeEvent => &[include_str!("../schemas/published/EnvelopeEvent/v1.avsc")],
            Schema::Draft => &[
                include_str!("../schemas/published/Draft/v1.avsc"),
                include_str!("../schemas/published/Draft/v2.avsc"),
                include_str!("../schemas/published/Draft/v3.avsc"),
            ],
            Schema::JournalRecord => &[include_str!("../schemas/published/JournalRecord/v1.avsc")],
            Schema::NonDelivery => &[include_str!("../schemas/published/NonDelivery/v1.avsc")],
            Schema::JournalActivity => &[include_str!("../schemas/published/JournalActivity/v1.avsc")],
            Schema::Ledger => &[include_str!("../schemas/published/Ledger/v1.avsc")],
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

/// Why bytes are not a value of the schema asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "the value is not Avro single-object encoding: it must begin with the bytes C3 01 and a schema's fingerprint"
    )]
    NotFramed,
    /// Written by a newer mailjournal, or by something else.
    #[error(
        "no published version of {schema} has the fingerprint {fingerprint}: \
         upgrade mailjournal if a newer one wrote the value, else write it with schemas/published/{schema}"
    )]
    UnknownSchema { schema: &'static str, fingerprint: String },
    #[error("the value does not fit its {schema} schema: {detail}")]
    Malformed { schema: &'static str, detail: String },
}

/// Encodes with today's schema, framed.
///
/// # Panics
/// If the Rust shape and its schema disagree, which no value decides: each shape's tests would have shown it.
pub fn encode<T: Serialize>(schema: Schema, value: &T) -> Vec<u8> {
    encode_sized(schema, value, 0)
}

/// As [`encode`], with room made at once for `body_bytes` of content, so that large originals are copied once.
pub fn encode_sized<T: Serialize>(schema: Schema, value: &T, body_bytes: usize) -> Vec<u8> {
    let version = today(schema);
    let mut framed = Vec::with_capacity(body_bytes + limits::AVRO_FIRST_BYTES);
    framed.extend_from_slice(&MARKER);
    framed.extend_from_slice(&version.fingerprint);
    datum::write(&mut framed, value)
        .unwrap_or_else(|error| panic!("the shape and the schema of {} disagree: {error}", schema.name()));
    debug_assert_eq!(framed[FRAME_BYTES..], version.reference(value), "the shape and the schema of {}", schema.name());
    framed
}

/// Only the datum of a value of today's schema: what it is, without saying how it is written.
pub fn encode_datum<T: Serialize>(value: &T) -> Vec<u8> {
    let mut datum = Vec::with_capacity(limits::AVRO_FIRST_BYTES);
    datum::write(&mut datum, value).unwrap_or_else(|error| panic!("the value has no Avro form: {error}"));
    datum
}

/// Decodes a framed value that any published version of the schema wrote. `T` is the shape that writes the schema, for
/// today's values are read without looking at it.
pub fn decode<T: DeserializeOwned>(schema: Schema, framed: &[u8]) -> Result<T, DecodeError> {
    if !is_framed(framed) {
        return Err(DecodeError::NotFramed);
    }
    let (frame, mut rest) = framed.split_at(FRAME_BYTES);
    let fingerprint = &frame[MARKER.len()..];
    let versions = &VERSIONS[schema.index()];
    let Some(version) = versions.iter().find(|version| version.fingerprint == fingerprint) else {
        let fingerprint = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        return Err(DecodeError::UnknownSchema { schema: schema.name(), fingerprint });
    };
    let value = version.read(&mut rest).map_err(|error| malformed(schema, error))?;
    if !rest.is_empty() {
        return Err(malformed(schema, format!("{} bytes follow its end", rest.len())));
    }
    Ok(value)
}

/// Decodes the first fields alone of a value whose whole shape is `W`: `T` has these in the same order.
pub fn decode_first<T: DeserializeOwned + From<W>, W: DeserializeOwned>(
    schema: Schema,
    framed: &[u8],
) -> Result<T, DecodeError> {
    match framed.strip_prefix(&MARKER).and_then(|rest| rest.strip_prefix(&fingerprint(schema))) {
        Some(mut rest) => datum::read(&mut rest).map_err(|error| malformed(schema, error.to_string())),
        None => decode::<W>(schema, framed).map(T::from),
    }
}

/// Whether the bytes can be a framed value.
pub fn is_framed(bytes: &[u8]) -> bool {
    bytes.len() >= FRAME_BYTES && bytes.starts_with(&MARKER)
}

/// What follows the framing; the bytes themselves if they have none.
pub fn datum(framed: &[u8]) -> &[u8] {
    if is_framed(framed) { &framed[FRAME_BYTES..] } else { framed }
}

/// The fingerprint that today's values of the schema are framed with, as it stands in the bytes.
pub fn fingerprint(schema: Schema) -> [u8; 8] {
    today(schema).fingerprint
}

fn malformed(schema: Schema, detail: impl AsRef<str>) -> DecodeError {
    let detail = detail.as_ref().chars().take(limits::ERROR_DETAIL_CHARS_MAX).collect();
    DecodeError::Malformed { schema: schema.name(), detail }
}

/// One published version, ready to read and to write.
struct Version {
    fingerprint: [u8; 8],
    writer: GenericDatumWriter<'static>,
    reader: GenericDatumReader<'static>,
    is_today: bool,
}

impl Version {
    fn new(schema: &'static apache_avro::Schema, today: &'static apache_avro::Schema, is_today: bool) -> Version {
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&schema.fingerprint::<Rabin>().bytes);
        let writer = GenericDatumWriter::builder(schema).human_readable(false).build();
        let reader = GenericDatumReader::builder(schema)
            .maybe_reader_schema((!is_today).then_some(today))
            .human_readable(false)
            .build();
        Version {
            fingerprint,
            writer: writer.expect("a published schema resolves"),
            reader: reader.expect("a published schema resolves"),
            is_today,
        }
    }

    /// The datum as apache-avro writes it, schema in hand.
    fn reference<T: Serialize>(&self, value: &T) -> Vec<u8> {
        let mut datum = Vec::new();
        let written = self.writer.write_ser(&mut datum, value);
        written.unwrap_or_else(|error| panic!("the shape and its schema disagree: {error}"));
        datum
    }

    /// Today's version is read straight into the shape; an older one through a generic value that is resolved first.
    fn read<T: DeserializeOwned>(&self, datum: &mut &[u8]) -> Result<T, String> {
        if !self.is_today {
            return self.read_older(datum).map_err(|error| error.to_string());
        }
        let mut theirs = *datum;
        let value = datum::read(datum).map_err(|error| error.to_string());
        if cfg!(debug_assertions) {
            let accepted = self.reader.read_deser::<T>(&mut theirs).is_ok();
            assert_eq!(value.is_ok(), accepted, "apache-avro reads the same");
            assert!(value.is_err() || *datum == theirs, "apache-avro reads as far");
        }
        value
    }

    fn read_older<T: DeserializeOwned>(&self, datum: &mut &[u8]) -> apache_avro::AvroResult<T> {
        let mut watched = Watched { rest: datum, starved: false };
        let value = self.reader.read_value(&mut watched)?;
        if watched.starved {
            let end = io::ErrorKind::UnexpectedEof.into();
            return Err(apache_avro::Error::new(apache_avro::error::Details::ReadBytes(end)));
        }
        apache_avro::from_value(&value)
    }
}

/// Notices a read behind the end: where a value was cut, apache-avro reads a union or a text as null.
struct Watched<'a, 'b> {
    rest: &'a mut &'b [u8],
    starved: bool,
}

impl io::Read for Watched<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.starved |= self.rest.is_empty() && !out.is_empty();
        self.rest.read(out)
    }
}

static PARSED: LazyLock<Vec<Vec<apache_avro::Schema>>> = LazyLock::new(|| {
    max_allocation_bytes(limits::AVRO_ALLOCATION_BYTES_MAX);
    let parse = |text: &&str| apache_avro::Schema::parse_str(text).expect("a published schema parses");
    Schema::ALL.iter().map(|schema| schema.texts().iter().map(parse).collect()).collect()
});

static VERSIONS: LazyLock<Vec<Vec<Version>>> = LazyLock::new(|| PARSED.iter().map(|parsed| versions(parsed)).collect());

fn versions(parsed: &'static [apache_avro::Schema]) -> Vec<Version> {
    let today = parsed.last().expect("every schema has a version");
    parsed.iter().map(|schema| Version::new(schema, today, std::ptr::eq(schema, today))).collect()
}

fn today(schema: Schema) -> &'static Version {
    VERSIONS[schema.index()].last().expect("every schema has a version")
}

/// Byte fields: base64 in JSON, bytes in Avro; copied whole, not one by one.
pub(crate) mod content {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(content: &Option<Bytes>, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return content.as_ref().map(|bytes| STANDARD.encode(bytes)).serialize(serializer);
        }
        content.as_ref().map(|bytes| serde_bytes::Bytes::new(bytes)).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Bytes>, D::Error> {
        if deserializer.is_human_readable() {
            let text = Option::<String>::deserialize(deserializer)?;
            let decode = |text| STANDARD.decode(text).map_err(|error| D::Error::custom(format!("no base64: {error}")));
            return Ok(text.map(decode).transpose()?.map(Bytes::from));
        }
        Ok(Option::<serde_bytes::ByteBuf>::deserialize(deserializer)?.map(|bytes| Bytes::from(bytes.into_vec())))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Grown {
        name: String,
        #[serde(with = "crate::avro::content")]
        content: Option<bytes::Bytes>,
        added: Option<i64>,
        list: Vec<String>,
    }

    const OLD: &str = r#"{"type": "record", "name": "Grown", "namespace": "mailjournal", "fields": [
        {"name": "name", "type": "string"}, {"name": "dropped", "type": "long"},
        {"name": "content", "type": ["null", "bytes"]}]}"#;
    const NEW: &str = r#"{"type": "record", "name": "Grown", "namespace": "mailjournal", "fields": [
        {"name": "name", "type": "string"}, {"name": "content", "type": ["null", "bytes"]},
        {"name": "added", "type": ["null", "long"], "default": null},
        {"name": "list", "type": {"type": "array", "items": "string"}, "default": []}]}"#;

    #[test]
    fn an_older_version_is_read_into_todays_shape() {
        let parse = |text: &str| apache_avro::Schema::parse_str(text).unwrap();
        let schemas: &'static [apache_avro::Schema] = vec![parse(OLD), parse(NEW)].leak();
        let versions = versions(schemas);
        let old = b"\x02x\x0e\x02\x06abc";
        let value: Grown = versions[0].read(&mut &old[..]).unwrap();
        let content = Some(bytes::Bytes::from_static(b"abc"));
        assert_eq!(value, Grown { name: "x".into(), content, added: None, list: Vec::new() });
    }

    #[test]
    fn the_order_of_declaration_is_the_order_of_all() {
        for (index, schema) in Schema::ALL.iter().enumerate() {
            assert_eq!(schema.index(), index);
        }
    }
}
