//! Records as bytes: one byte of kind, then deterministic CBOR. The length and CRC around them are the
//! journal's.
