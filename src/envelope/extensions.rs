//! Keys 64 to 127 of a signed core (PROTOCOL.md §2.3): fields of later versions that this one checks for form, and
//! signs, keeps and relays without understanding them. Nothing here knows what any of them says.

use std::ops::RangeInclusive;

use bytes::Bytes;

use super::CodecError;
use crate::cbor::{self, CborReader};
use crate::limits::EXTENSIONS_BYTES_MAX;

/// The keys of extensions. They stand behind all keys of version 1.
pub(crate) const EXTENSION_KEYS: RangeInclusive<i64> = 64..=127;

/// The extensions of one core, as they stand in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    pairs: usize,
    /// Keys and values, in order, without the head of a map.
    bytes: Bytes,
}

impl Extensions {
    /// Makes the extensions of `entries`: keys in ascending order, each value one item of deterministic CBOR.
    ///
    /// # Errors
    /// [`CodecError`] for another key or order, for a value of another form, and beyond [`EXTENSIONS_BYTES_MAX`].
    pub fn new<'a>(entries: impl IntoIterator<Item = (u8, &'a [u8])>) -> Result<Self, CodecError> {
        let (mut pairs, mut bytes) = (0, Vec::new());
        for (key, value) in entries {
            cbor::put_unsigned(&mut bytes, key.into());
            bytes.extend_from_slice(value);
            pairs += 1;
        }
        let mut map = Vec::with_capacity(bytes.len() + 2);
        cbor::put_map(&mut map, pairs);
        map.extend_from_slice(&bytes);
        let map = Bytes::from(map);
        let mut reader = CborReader::of_one_item(&map)?;
        let pairs = reader.map()?;
        Self::read(reader, &map, pairs)
    }

    /// Reads the last `pairs` pairs of `map`, which begin at `rest`. The form of `map` has been checked.
    pub(super) fn read(mut rest: CborReader<'_>, map: &Bytes, pairs: u64) -> Result<Self, CodecError> {
        let bytes = map.slice(rest.offset()..);
        for _ in 0..pairs {
            let key = rest.integer().map_err(|_| CodecError::UnknownKey(-1))?;
            if !EXTENSION_KEYS.contains(&key) {
                return Err(CodecError::UnknownKey(key));
            }
            rest.skip_item()?;
        }
        // No more pairs than bytes: they were all passed above.
        let extensions = Self { pairs: pairs as usize, bytes };
        extensions.check()?;
        Ok(extensions)
    }

    pub(super) fn check(&self) -> Result<(), CodecError> {
        if self.bytes.len() > EXTENSIONS_BYTES_MAX {
            return Err(CodecError::Field { field: "extensions", why: "too large" });
        }
        Ok(())
    }

    /// How many keys of a core they are.
    pub fn len(&self) -> usize {
        self.pairs
    }

    pub fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// Keys and values as they stand in a core.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}
