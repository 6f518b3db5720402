//! Carriers for the tests of the store, signed for real. Not a model of the traffic in the mesh.

use std::sync::OnceLock;

use bytes::Bytes;
use uuid::Uuid;

use super::journal::FreshJournal;
use crate::envelope::{Body, Core, IdScheme, Signer};
use crate::identity::{CheckSecret, EventId, HopPath, LogId, ProjectName, PublisherName};
use crate::link::{Link, LinkTarget, Relation};
use crate::record::{NewCarrier, NewRecord};
use crate::time::{Now, Tick, Timestamp};

/// 2026-11-24T10:00:00Z.
pub const START: Timestamp = Timestamp(1_795_514_400_000);

pub const DAY_MS: u64 = 86_400_000;

pub fn now() -> Now {
    Now { tick: Tick(0), wall: START }
}

pub fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

pub fn fresh(n: u8) -> FreshJournal {
    FreshJournal { log_id: LogId([n; 16]), salt: 77 + u32::from(n), check_secret: CheckSecret::new([n; 32]) }
}

/// The n-th event of `publisher`, with a body of about `bytes`.
pub fn carrier_of(publisher: &str, n: u64, bytes: usize, arrived: Timestamp) -> NewCarrier {
    carrier_with(id_of(publisher, n), IdScheme::Random, n, bytes, arrived)
}

/// The id of the n-th event of `publisher`.
pub fn id_of(publisher: &str, n: u64) -> EventId {
    let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) as u128;
    EventId {
        publisher: name(publisher),
        project: ProjectName::parse("intelmq").unwrap(),
        uuid: Uuid::from_u128(hash << 64 | u128::from(n)),
    }
}

/// The n-th event of `publisher`, with `(relation, right)` for each link.
pub fn linking(publisher: &str, n: u64, links: &[(&str, EventId)]) -> NewRecord {
    let mut core = core_with(id_of(publisher, n), IdScheme::Random, n, 40, START.plus_ms(n));
    let link = |(relation, right): &(&str, EventId)| Link {
        left: None,
        relation: Relation::parse(relation).unwrap(),
        right: LinkTarget::Event(right.clone()),
    };
    core.links = links.iter().map(link).collect();
    NewRecord::Carrier(signed(core, START.plus_ms(n)))
}

pub fn carrier_with(id: EventId, ids: IdScheme, n: u64, bytes: usize, arrived: Timestamp) -> NewCarrier {
    signed(core_with(id, ids, n, bytes, arrived), arrived)
}

pub fn signed(core: Core, arrived: Timestamp) -> NewCarrier {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    let signer = SIGNER.get_or_init(|| Signer::new(crate::fixture::key(7)));
    let publisher = core.id.publisher.clone();
    let path = if publisher == name("cert-at") { vec![] } else { vec![publisher] };
    NewCarrier { envelope: signer.sign(core).unwrap(), path: HopPath::new(path).unwrap(), arrived }
}

pub fn core_with(id: EventId, ids: IdScheme, n: u64, bytes: usize, created: Timestamp) -> Core {
    let body = format!("{{\"n\":{n},\"filler\":\"{}\"}}", "x".repeat(bytes));
    Core { id, ids, created, body: Body::Plain(Bytes::from(body)), ..crate::fixture::core() }
}

/// The n-th event of our own, of about 100 bytes, arriving n ms after the start.
pub fn carrier(n: u64) -> NewRecord {
    NewRecord::Carrier(carrier_of("cert-at", n, 40, START.plus_ms(n)))
}

pub fn foreign(n: u64) -> NewRecord {
    NewRecord::Carrier(carrier_of("cert-ee", n, 40, START.plus_ms(n)))
}
