//! Frames that the peers of the bench send.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{WALL, name, signer};
use crate::envelope::Core;
use crate::identity::{Check, HopPath, LogId};
use crate::time::Timestamp;
use crate::wire::{CarrierFrame, Have, Mark, Subscribe, Window, WireFrame};

pub fn hello(of: &str, instance: u64) -> WireFrame {
    WireFrame::Hello(Box::new(crate::wire::Hello {
        name: name(of),
        federation: "test".into(),
        version_min: 1,
        version_max: 1,
        software: "peer".into(),
        instance,
        log_id: LogId([of.len() as u8 + of.as_bytes()[5]; 16]),
        first_seq: 1,
        last_seq: 0,
        now: Timestamp(WALL),
        capabilities: Vec::new(),
        key_statements: Vec::new(),
    }))
}

/// SUBSCRIBE of a peer that has nothing yet.
pub fn subscribe() -> WireFrame {
    let window = Window { envelopes: 100, bytes: 1 << 20 };
    let (log_id, marks) = (None, vec![Mark::START]);
    WireFrame::Subscribe(Subscribe { log_id, marks, have_only: false, window, options: BTreeMap::new() })
}

pub fn check(seq: u64) -> Check {
    Check(u128::from(seq).to_be_bytes())
}

pub fn carrier(seq: u64, path: &[&str], envelope: Bytes) -> WireFrame {
    WireFrame::Carrier(carried(seq, path, envelope))
}

pub fn answer(seq: u64, path: &[&str], envelope: Bytes) -> WireFrame {
    WireFrame::Answer(carried(seq, path, envelope))
}

fn carried(seq: u64, path: &[&str], envelope: Bytes) -> CarrierFrame {
    let path = HopPath::new(path.iter().map(|hop| name(hop)).collect()).unwrap();
    CarrierFrame { seq, check: check(seq), path, envelope }
}

pub fn have(seq: u64, of: &Core) -> WireFrame {
    let envelope = signer(of.id.publisher.as_str()).sign(of.clone()).unwrap();
    let digest = envelope.envelope().digest();
    let (created, publisher, key) = (of.created, of.id.publisher.clone(), of.id.key());
    WireFrame::Have(Have { seq, check: check(seq), created, publisher, key, digest })
}
