//! Chance that can be repeated: SplitMix64 from a seed that is printed, or taken from `INTELMESH_SEED`.
//! It deliberately is not good enough for anything but tests.

/// A seeded source of numbers.
pub struct Dice(u64);

impl Dice {
    /// The seed of `INTELMESH_SEED`, or one of this process; printed with the command that repeats `test`.
    pub fn announced(test: &str) -> Self {
        let given = std::env::var("INTELMESH_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let elapsed = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos());
            u64::from(std::process::id()) << 32 | u64::from(elapsed)
        });
        println!("seed {seed}; repeat with: INTELMESH_SEED={seed} cargo test {test} -- --nocapture");
        Self(seed)
    }

    pub fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll().to_le_bytes()[0]).collect()
    }

    /// A UUIDv4 in its usual form.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.roll(), self.roll());
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xfff,
            low >> 48 & 0xfff,
            low & 0xffff_ffff_ffff
        )
    }
}
