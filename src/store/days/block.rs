//! A block of a day: the rows under one name in the database. What the rows mean is defined elsewhere.

/// Key and digest.
pub(crate) const ROW_BYTES: usize = 48;

pub(crate) type SeenRow = [u8; ROW_BYTES];

/// A block's name in its day: the first 12 bits of its keys, and a number of its own.
pub(crate) type BlockName = (u16, u32);

/// Encodes the name so that names sort as their parts do.
pub(crate) fn block_key((prefix, number): BlockName) -> [u8; 6] {
    let (prefix, number) = (prefix.to_be_bytes(), number.to_be_bytes());
    [prefix[0], prefix[1], number[0], number[1], number[2], number[3]]
}
