/// Joins `parts` so that no two different lists give the same bytes: each part is preceded by its
/// length, as 8 bytes, little-endian.
///
/// What is hashed or authenticated goes through here. Bytes that were merely put one after the
/// other could be read in two ways: `"ab", "c"` and `"a", "bc"` would be the same.
pub(crate) fn framed<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The way back, which exists only for one way there.
    fn parts(mut bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut parts = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk() {
            let (part, rest) = rest.split_at(u64::from_le_bytes(*len) as usize);
            parts.push(part.to_vec());
            bytes = rest;
        }
        parts
    }

    proptest! {
        #[test]
        fn can_be_read_in_one_way_only(list in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..6)) {
            prop_assert_eq!(parts(&framed(list.iter().map(Vec::as_slice))), list);
        }
    }
}
