//! The filter of one day: says "not this day" from memory. Layers of fastbloom filters, each twice as large
//! as the one before, at 24 bits an id, so that a small day costs little and a large one stays exact.
//! Each layer is a file, written when it changed; derived, so that a missing one is made again by a scan.

use fastbloom::BloomFilter;

use crate::identity::EventKey;

const MAGIC: &[u8; 8] = b"imeshfl1";
const HEAD_BYTES: usize = 24;
/// 16 would let 1 in 1,500 through for each layer of each day: of 256 new ids some twenty would have days opened
/// for nothing, which costs milliseconds each (measured).
const BITS_PER_ID: u64 = 24;
/// Ids of the first layer; the n-th holds 2^n times as many.
const FIRST_LAYER_IDS: u64 = 16 * 1024;
/// With 24 bits an id: 1 in 60,000 is asked of the database for nothing.
const HASHES: u32 = 11;
/// Enough for 2^43 ids.
pub(crate) const LAYERS_MAX: usize = 30;

#[derive(Debug)]
struct Layer {
    bits: BloomFilter,
    ids: u64,
    dirty: bool,
}

#[derive(Debug, Default)]
pub(crate) struct BloomLayers {
    layers: Vec<Layer>,
}

fn capacity(nth: usize) -> u64 {
    FIRST_LAYER_IDS << nth.min(LAYERS_MAX)
}

/// The key is a hash already.
fn hash(key: &EventKey) -> u64 {
    key.0.last_chunk::<8>().map_or(0, |eight| u64::from_le_bytes(*eight))
}

impl BloomLayers {
    pub(crate) fn may_hold(&self, key: &EventKey) -> bool {
        let hash = hash(key);
        self.layers.iter().any(|layer| layer.bits.contains_hash(hash))
    }

    pub(crate) fn insert(&mut self, key: &EventKey) {
        let nth = self.layers.len();
        let full = self.layers.last().is_none_or(|last| last.ids >= capacity(nth - 1));
        if full {
            let bits = (capacity(nth) * BITS_PER_ID) as usize;
            let bits = BloomFilter::with_num_bits(bits).seed(&0).hashes(HASHES);
            self.layers.push(Layer { bits, ids: 0, dirty: true });
        }
        if let Some(last) = self.layers.last_mut() {
            last.bits.insert_hash(hash(key));
            last.ids += 1;
            last.dirty = true;
        }
    }

    /// Returns how many ids were inserted.
    pub(crate) fn ids(&self) -> u64 {
        self.layers.iter().map(|layer| layer.ids).sum()
    }

    /// Returns number and file of each layer that changed since the last call, for this making of the database.
    pub(crate) fn take_changed(&mut self, making: u64) -> Vec<(usize, Vec<u8>)> {
        let changed = self.layers.iter_mut().enumerate().filter(|(_, layer)| layer.dirty);
        changed
            .map(|(nth, layer)| {
                layer.dirty = false;
                (nth, encode(layer, making))
            })
            .collect()
    }

    /// Marks all layers as changed, since those that were taken were not written.
    pub(crate) fn all_changed(&mut self) {
        self.layers.iter_mut().for_each(|layer| layer.dirty = true);
    }

    /// Adds the next layer from its file. Returns false if it is torn, or not of this place or this making of the
    /// database.
    pub(crate) fn add_layer(&mut self, file: &[u8], making: u64) -> bool {
        let layer = decode(file, self.layers.len(), making);
        let read = layer.is_some();
        self.layers.extend(layer);
        read
    }
}

fn encode(layer: &Layer, making: u64) -> Vec<u8> {
    let words = layer.bits.as_slice();
    let mut out = Vec::with_capacity(HEAD_BYTES + words.len() * 8 + 4);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&layer.ids.to_le_bytes());
    out.extend_from_slice(&making.to_le_bytes());
    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

fn decode(file: &[u8], nth: usize, making: u64) -> Option<Layer> {
    let (content, crc) = file.split_last_chunk::<4>()?;
    let (magic, rest) = content.split_first_chunk::<8>()?;
    let (ids, rest) = rest.split_first_chunk::<8>()?;
    let (of, rest) = rest.split_first_chunk::<8>()?;
    let (words, tail) = rest.as_chunks::<8>();
    let expected = (capacity(nth) * BITS_PER_ID / 64) as usize;
    let sound = magic == MAGIC
        && tail.is_empty()
        && u64::from_le_bytes(*of) == making
        && words.len() == expected
        && crc32c::crc32c(content) == u32::from_le_bytes(*crc);
    sound.then(|| {
        let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let bits = BloomFilter::from_vec(words).seed(&0).hashes(HASHES);
        Layer { bits, ids: u64::from_le_bytes(*ids), dirty: false }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> EventKey {
        let mut key = [0; 16];
        key[8..].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        EventKey(key)
    }

    #[test]
    fn every_id_is_found_again_after_writing_and_reading_and_few_others_are() {
        let mut filter = BloomLayers::default();
        (0..100_000).for_each(|n| filter.insert(&key(n)));
        let mut again = BloomLayers::default();
        for (_, file) in filter.take_changed(7) {
            assert!(again.add_layer(&file, 7));
        }
        assert_eq!(again.ids(), 100_000);
        assert!((0..100_000).all(|n| again.may_hold(&key(n))));
        let wrong = (100_000..200_000).filter(|n| again.may_hold(&key(*n))).count();
        assert!(wrong < 100, "{wrong}");
    }

    #[test]
    fn a_torn_or_damaged_file_is_no_layer() {
        let mut filter = BloomLayers::default();
        filter.insert(&key(1));
        let (_, mut file) = filter.take_changed(7).remove(0);
        assert!(BloomLayers::default().add_layer(&file, 7));
        assert!(!BloomLayers::default().add_layer(&file, 8), "of another making");
        assert!(!BloomLayers::default().add_layer(&file[..file.len() - 1], 7));
        file[100] ^= 1;
        assert!(!BloomLayers::default().add_layer(&file, 7));
    }
}
