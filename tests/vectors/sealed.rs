//! A vector that opens: the recipient's secret is that of a public text, and chance is a hash, so that the file can
//! be made again. What else may be wrong with a seal is in the faults of the core.

use std::convert::Infallible;

use intelmesh::{BodyIdSecret, SealKey, Signer, UnverifiedEnvelope, seal};
use rand::{TryCryptoRng, TryRng};

use super::*;

/// What the header says beside the envelope.
pub const HEADERS: [(&str, &str); 3] = [
    ("opens-for", "cert-ee"),
    ("secret", "b8c6e7ddeaa7ef7b7fc1aeeae4a9c2c1e3f6a6d2e4b6f1c3d5a7988766554433"),
    ("inside", BODY),
];

/// SHA-256 of a counter: as good as chance for a file that everybody may read.
struct Counted(u64);

impl TryRng for Counted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|number| number as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for part in bytes.chunks_mut(32) {
            self.0 += 1;
            part.copy_from_slice(&Sha256::digest(self.0.to_be_bytes())[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Counted {}

pub fn secret() -> [u8; 32] {
    data_encoding::HEXLOWER.decode(HEADERS[1].1.as_bytes()).unwrap().try_into().unwrap()
}

/// Sealed to cert-ee, with `ext` and a link inside.
pub fn opens() -> Vector {
    let link = list(&[text("alternate"), text("CESNET-RT#2235")]);
    let plain = Pairs::minimal()
        .with(10, number(4))
        .with(11, list(&[text("cert-ee")]))
        .with(14, list(&[link]))
        .with(15, bytes(br#"{"rtir_id":12345}"#));
    let plain = UnverifiedEnvelope::decode(plain.signed().into()).unwrap();
    let (core, to) = (plain.envelope().core().clone(), [SealKey::of(&secret().into())]);
    let core = seal(core, &to, &BodyIdSecret::new([7; 32]), &mut Counted(0)).unwrap();
    let bytes = Signer::new(key()).sign(core).unwrap().envelope().bytes().to_vec();
    vector(
        "valid-sealed-opens",
        "ok",
        "",
        "RED, for cert-ee: body, ext and a link are inside (PROTOCOL.md §2.6)",
        bytes,
    )
}
