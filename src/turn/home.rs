//! Home partitions: where Kafka's default (Java) partitioner puts a key.

/// The home partition of a key among `partitions`, which is at least 1.
pub fn home_partition(key: &[u8], partitions: i32) -> i32 {
    // The Java client drops the sign bit rather than taking the absolute value.
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive).expect("31 bits fit") % partitions
}

/// MurmurHash2, 32 bits, with the seed that Kafka's Java client uses.
fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let length = u32::try_from(bytes.len() & 0xffff_ffff).expect("masked to 32 bits");
    let mut hash = SEED ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that Apache Kafka's own UtilsTest states for its murmur2.
    #[test]
    fn agrees_with_the_java_client() {
        let check = |key: &str, expect: i32| assert_eq!(murmur2(key.as_bytes()).cast_signed(), expect, "{key}");
        check("21", -973_932_308);
        check("foobar", -790_332_482);
        check("a-little-bit-long-string", -985_981_536);
        check("a-little-bit-longer-string", -1_486_304_829);
        check("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
    }

    #[test]
    fn is_within_the_partitions() {
        for number in 0..1000 {
            let home = home_partition(format!("<{number}@example.com>").as_bytes(), 7);
            assert!((0..7).contains(&home));
        }
    }
}
