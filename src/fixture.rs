//! One event and any number of keys, for the tests of every module and for the simulator. A test changes what it is
//! about: `Core { tlp: Tlp::Red, ..fixture::core() }`. Not compiled into the node.

use ed25519_dalek::SigningKey;

use crate::envelope::{Body, Core, ENVELOPE_VERSION, EventType, IdScheme};
use crate::event::EventFormat;
use crate::policy::Tlp;
use crate::time::Timestamp;

/// A plain event of cert-at, GREEN, for everybody.
pub fn core() -> Core {
    Core {
        version: ENVELOPE_VERSION,
        id: "cert-at:intelmq:72ddb00c-2d0a-4eea-b7ac-ae122b8e6c3b".parse().expect("an id"),
        ids: IdScheme::Random,
        created: Timestamp(1_763_632_800_123),
        expires: None,
        event_type: EventType::Event,
        format: EventFormat::intelmq(),
        tlp: Tlp::Green,
        to: Vec::new(),
        max_hops: 16,
        parent: None,
        links: Vec::new(),
        ext: None,
        body: Body::Plain("{\"a\":1}".into()),
        extensions: Default::default(),
    }
}

/// The n-th key.
pub fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}
