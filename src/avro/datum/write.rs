//! Shapes → data.

use std::fmt;

use serde::ser::{Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

use super::Unsupported;

/// Appends the datum of a value.
pub fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Unsupported> {
    value.serialize(&mut Writer { out })
}

impl serde::ser::Error for Unsupported {
    fn custom<T: fmt::Display>(what: T) -> Unsupported {
        Unsupported(what.to_string())
    }
}

fn unsupported<T>(what: &str) -> Result<T, Unsupported> {
    Err(Unsupported(format!("no schema has {what}")))
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    /// Zig-zag, then seven bits a byte, the lowest first.
    fn long(&mut self, value: i64) {
        let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while rest > 0x7F {
            self.out.push(0x80 | (rest & 0x7F) as u8);
            rest >>= 7;
        }
        self.out.push(rest as u8);
    }

    fn length(&mut self, length: usize) {
        self.long(i64::try_from(length).expect("nothing is larger than memory"));
    }

    fn sized(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// All items are one block; where there are none, only the end of blocks is written.
    fn items(&mut self, length: Option<usize>) -> Result<&mut Self, Unsupported> {
        match length {
            None => return unsupported("items that nobody has counted"),
            Some(0) => {}
            Some(length) => self.length(length),
        }
        Ok(self)
    }
}

impl Serializer for &mut Writer<'_> {
    type Ok = ();
    type Error = Unsupported;
    type SerializeSeq = Self;
    type SerializeTuple = Impossible<(), Unsupported>;
    type SerializeTupleStruct = Impossible<(), Unsupported>;
    type SerializeTupleVariant = Impossible<(), Unsupported>;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), Unsupported>;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn serialize_bool(self, value: bool) -> Result<(), Unsupported> {
        self.out.push(value.into());
        Ok(())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Unsupported> {
        self.long(value.into());
        Ok(())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Unsupported> {
        self.long(value);
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Unsupported> {
        self.sized(value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unsupported> {
        self.sized(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Unsupported> {
        self.long(0);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unsupported> {
        self.long(1);
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), Unsupported> {
        self.long(index.into());
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Unsupported> {
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Unsupported> {
        self.items(length)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Unsupported> {
        self.items(length)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unsupported> {
        Ok(self)
    }

    fn serialize_i8(self, _: i8) -> Result<(), Unsupported> {
        unsupported("i8")
    }

    fn serialize_i16(self, _: i16) -> Result<(), Unsupported> {
        unsupported("i16")
    }

    fn serialize_u8(self, _: u8) -> Result<(), Unsupported> {
        unsupported("u8")
    }

    fn serialize_u16(self, _: u16) -> Result<(), Unsupported> {
        unsupported("u16")
    }

    fn serialize_u32(self, _: u32) -> Result<(), Unsupported> {
        unsupported("u32")
    }

    fn serialize_u64(self, _: u64) -> Result<(), Unsupported> {
        unsupported("u64")
    }

    fn serialize_f32(self, _: f32) -> Result<(), Unsupported> {
        unsupported("f32")
    }

    fn serialize_f64(self, _: f64) -> Result<(), Unsupported> {
        unsupported("f64")
    }

    fn serialize_char(self, _: char) -> Result<(), Unsupported> {
        unsupported("char")
    }

    fn serialize_unit(self) -> Result<(), Unsupported> {
        unsupported("a unit")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unsupported> {
        unsupported("a unit struct")
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unsupported> {
        unsupported("a variant that holds something")
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Unsupported> {
        unsupported("a tuple")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Unsupported> {
        unsupported("a tuple struct")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Unsupported> {
        unsupported("a variant that holds something")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unsupported> {
        unsupported("a variant that holds something")
    }
}

impl SerializeSeq for &mut Writer<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unsupported> {
        self.long(0);
        Ok(())
    }
}

impl SerializeMap for &mut Writer<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unsupported> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unsupported> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unsupported> {
        self.long(0);
        Ok(())
    }
}

impl SerializeStruct for &mut Writer<'_> {
    type Ok = ();
    type Error = Unsupported;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Result<(), Unsupported> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unsupported> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of the specification's examples, and the bounds.
    #[test]
    fn longs_are_zig_zag_and_variable() {
        for (value, expect) in [
            (0_i64, &[0x00_u8][..]),
            (-1, &[0x01]),
            (1, &[0x02]),
            (-2, &[0x03]),
            (-64, &[0x7F]),
            (64, &[0x80, 0x01]),
            (i64::MAX, &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
            (i64::MIN, &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
        ] {
            let mut out = Vec::new();
            write(&mut out, &value).unwrap();
            assert_eq!(out, expect, "{value}");
        }
    }

    #[test]
    fn what_no_schema_has_is_an_error() {
        assert!(write(&mut Vec::new(), &1.5).is_err());
        assert!(write(&mut Vec::new(), &("a", "b")).is_err());
    }
}
