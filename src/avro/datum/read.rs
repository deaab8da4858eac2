//! Data → shapes. Nothing is given memory for what its length claims before so many bytes are seen to be there: a text
//! is cut out of what came, and each item of a list takes at least a byte of it.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor},
    forward_to_deserialize_any,
};

use super::Unsupported;

/// Reads one datum off the beginning of `bytes`, and leaves what follows it.
pub fn read<'de, T: Deserialize<'de>>(bytes: &mut &'de [u8]) -> Result<T, Unsupported> {
    T::deserialize(&mut Reader { bytes })
}

impl de::Error for Unsupported {
    fn custom<T: fmt::Display>(what: T) -> Unsupported {
        Unsupported(what.to_string())
    }
}

fn malformed<T>(what: &str) -> Result<T, Unsupported> {
    Err(Unsupported(what.to_owned()))
}

struct Reader<'a, 'de> {
    /// What is still to be read.
    bytes: &'a mut &'de [u8],
}

impl<'de> Reader<'_, 'de> {
    fn byte(&mut self) -> Result<u8, Unsupported> {
        let Some((byte, rest)) = self.bytes.split_first() else { return malformed("it ends too early") };
        *self.bytes = rest;
        Ok(*byte)
    }

    /// Seven bits a byte, the lowest first; then zig-zag. Nearly all have one byte.
    #[inline]
    fn long(&mut self) -> Result<i64, Unsupported> {
        match self.bytes.split_first() {
            Some((byte, rest)) if byte & 0x80 == 0 => {
                *self.bytes = rest;
                Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1))
            }
            _ => self.long_of_several(),
        }
    }

    fn long_of_several(&mut self) -> Result<i64, Unsupported> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        malformed("a number has more than ten bytes")
    }

    fn int(&mut self) -> Result<i32, Unsupported> {
        let long = self.long()?;
        i32::try_from(long).or_else(|_| malformed("a number has more than 32 bits"))
    }

    /// An index of symbols or branches.
    fn index(&mut self) -> Result<u32, Unsupported> {
        let int = self.int()?;
        u32::try_from(int).or_else(|_| malformed("an index is negative"))
    }

    fn sized(&mut self) -> Result<&'de [u8], Unsupported> {
        let length = self.long()?;
        let cut = usize::try_from(length).ok().and_then(|length| self.bytes.split_at_checked(length));
        let Some((sized, rest)) = cut else { return malformed("a length reaches beyond its end") };
        *self.bytes = rest;
        Ok(sized)
    }

    fn text(&mut self) -> Result<&'de str, Unsupported> {
        str::from_utf8(self.sized()?).or_else(|_| malformed("a text is not UTF-8"))
    }

    /// How many items the next block of a list has; none ends the list. A negative count has the block's size behind it.
    fn block(&mut self) -> Result<usize, Unsupported> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        match usize::try_from(count.unsigned_abs()) {
            Ok(count) if count <= self.bytes.len() => Ok(count),
            _ => malformed("a list has more items than bytes"),
        }
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'_, 'de> {
    type Error = Unsupported;

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unsupported> {
        malformed("no schema has a value of this type")
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        match self.byte()? {
            0 => visitor.visit_bool(false),
            1 => visitor.visit_bool(true),
            _ => malformed("a truth value is neither 0 nor 1"),
        }
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        visitor.visit_i32(self.int()?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        visitor.visit_i64(self.long()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        visitor.visit_borrowed_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        visitor.visit_borrowed_bytes(self.sized()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        match self.index()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self),
            _ => malformed("a union has no such branch"),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Unsupported> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        let left = self.block()?;
        visitor.visit_seq(Items { reader: self, left })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unsupported> {
        let left = self.block()?;
        visitor.visit_map(Items { reader: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unsupported> {
        visitor.visit_seq(Fields { reader: self, left: fields.len() })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unsupported> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        i8 i16 i128 u8 u16 u32 u64 u128 f32 f64 char unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The items of a list, or the entries of a map, block by block.
struct Items<'a, 'b, 'de> {
    reader: &'a mut Reader<'b, 'de>,
    /// Of this block; none where the last block has ended.
    left: usize,
}

impl<'de> Items<'_, '_, 'de> {
    /// After an item.
    fn taken(&mut self) -> Result<(), Unsupported> {
        self.left -= 1;
        if self.left == 0 {
            self.left = self.reader.block()?;
        }
        Ok(())
    }
}

impl<'de> SeqAccess<'de> for Items<'_, '_, 'de> {
    type Error = Unsupported;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unsupported> {
        if self.left == 0 {
            return Ok(None);
        }
        let item = seed.deserialize(&mut *self.reader)?;
        self.taken()?;
        Ok(Some(item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Items<'_, '_, 'de> {
    type Error = Unsupported;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unsupported> {
        if self.left == 0 {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Unsupported> {
        let value = seed.deserialize(&mut *self.reader)?;
        self.taken()?;
        Ok(value)
    }
}

/// The fields of a record, one behind the other.
struct Fields<'a, 'b, 'de> {
    reader: &'a mut Reader<'b, 'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_, '_, 'de> {
    type Error = Unsupported;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Unsupported> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> EnumAccess<'de> for &mut Reader<'_, 'de> {
    type Error = Unsupported;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Unsupported> {
        let index = self.index()?;
        let variant: Result<S::Value, Unsupported> = seed.deserialize(index.into_deserializer());
        Ok((variant?, self))
    }
}

impl<'de> VariantAccess<'de> for &mut Reader<'_, 'de> {
    type Error = Unsupported;

    fn unit_variant(self) -> Result<(), Unsupported> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Unsupported> {
        malformed("no schema has a variant that holds something")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Unsupported> {
        malformed("no schema has a variant that holds something")
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Unsupported> {
        malformed("no schema has a variant that holds something")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn check<T: for<'de> Deserialize<'de> + PartialEq + fmt::Debug>(mut bytes: &[u8], expect: Option<T>) {
        let value = read::<T>(&mut bytes).ok().filter(|_| bytes.is_empty());
        assert_eq!(value, expect, "{bytes:?}");
    }

    #[test]
    fn numbers_of_all_lengths_are_read_and_longer_ones_refused() {
        check(&[0x00], Some(0_i64));
        check(&[0x01], Some(-1_i64));
        check(&[0x80, 0x01], Some(64_i64));
        check(&[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], Some(i64::MAX));
        check(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], Some(i64::MIN));
        check::<i64>(&[0x80; 11], None);
        check::<i64>(&[0x80], None);
        check::<i32>(&[0xFE, 0xFF, 0xFF, 0xFF, 0x7F], None);
    }

    #[test]
    fn a_list_comes_in_blocks_with_or_without_their_size() {
        let expect = vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        check(b"\x06\x02a\x02b\x02c\x00", Some(expect.clone()));
        check(b"\x04\x02a\x02b\x02\x02c\x00", Some(expect.clone()));
        check(b"\x03\x08\x02a\x02b\x02\x02c\x00", Some(expect));
        check(b"\x02\x02k\x02v\x00", Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])));
        check::<Vec<String>>(b"\x06\x02a\x02b", None);
    }

    #[test]
    fn lengths_and_counts_beyond_the_end_are_refused() {
        check::<String>(b"\x06ab", None);
        check::<String>(b"\x01ab", None);
        check::<Vec<i64>>(&[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], None);
        check::<Vec<i64>>(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0x00], None);
        check::<Option<i64>>(&[0x04, 0x02], None);
        check::<bool>(&[2], None);
        check::<String>(b"\x02\xFF", None);
    }

    #[test]
    fn what_no_schema_has_is_an_error() {
        check::<f64>(&[0; 8], None);
        check::<(i64, i64)>(&[0, 0], None);
    }
}
