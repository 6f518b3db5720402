//! Which version of the wire this node speaks and signs: its own. A test (feature `sim`) may ask for the stand-in of
//! version 2 by `INTELMESH_SPEAKS=2`; the shipped program does not look at that variable.

use crate::envelope::Signer;
use crate::keyring::Keyring;
use crate::protocol::Dialect;

#[cfg(not(feature = "sim"))]
pub fn dialect() -> Dialect {
    Dialect::default()
}

#[cfg(feature = "sim")]
pub(crate) fn dialect() -> Dialect {
    let wanted = std::env::var_os("INTELMESH_SPEAKS");
    if wanted.is_some_and(|version| version == "2") { Dialect::SUCCESSOR } else { Dialect::default() }
}

#[cfg(not(feature = "sim"))]
pub fn signer(keyring: &Keyring) -> Signer {
    keyring.signer()
}

#[cfg(feature = "sim")]
pub(crate) fn signer(keyring: &Keyring) -> Signer {
    if dialect().is_successor() { keyring.signer().as_successor() } else { keyring.signer() }
}
