//! What goes to a peer, or comes from it, under names that it or this node had before.

use super::testing::{name, node_names, peer};
use super::*;
use crate::envelope::Body;
use crate::identity::{EventId, ProjectName};

fn core(publisher: &str, tlp: Tlp, to: &[&str], sealed: bool) -> Core {
    let project = ProjectName::parse("intelmq").unwrap();
    Core {
        id: EventId { publisher: name(publisher), project, uuid: uuid::Uuid::from_u128(1) },
        created: Timestamp(1),
        tlp,
        to: to.iter().map(|to| name(to)).collect(),
        body: if sealed { Body::Sealed("x".into()) } else { Body::Plain("{}".into()) },
        ..crate::fixture::core()
    }
}

/// We are cert-at, and were cert-old; the peer is cert-est, and was cert-ee.
#[test]
fn old_names_count_wherever_a_share_is_decided() {
    let (own, peer) = (node_names(&["cert-at", "cert-old"]), peer(&["cert-est", "cert-ee"]));
    let of = |publisher, tlp, to: &[&str], sealed| {
        share(&core(publisher, tlp, to, sealed), &HopPath::default(), &own, &peer, None)
    };
    for (what, shared, expected) in [
        ("named by its old name", of("cert-at", Tlp::Green, &["cert-ee"], false), Ok(())),
        ("by its present one", of("cert-at", Tlp::Green, &["cert-est"], false), Ok(())),
        ("another is named", of("cert-at", Tlp::Green, &["cert-pl"], false), Err(WithheldReason::NotNamed)),
        ("sealed to its old name", of("cert-pl", Tlp::AmberStrict, &["cert-ee"], true), Ok(())),
        (
            "sealed to another",
            of("cert-pl", Tlp::AmberStrict, &["cert-lv"], true),
            Err(WithheldReason::NotNamed),
        ),
        ("its own by its old name", of("cert-ee", Tlp::Red, &["cert-pl"], false), Ok(())),
        ("ours by our old name, AMBER", of("cert-old", Tlp::Amber, &[], false), Ok(())),
        ("another's AMBER", of("cert-pl", Tlp::Amber, &[], false), Err(WithheldReason::TlpHop)),
        ("ours by our old name, RED, sealed", of("cert-old", Tlp::Red, &["cert-ee"], true), Ok(())),
    ] {
        assert_eq!(shared, expected, "{what}");
    }
}

/// A client may be called as a publisher, and is not it for that.
#[test]
fn client_gets_nothing_by_its_name_or_sealed() {
    let own = node_names(&["cert-at"]);
    let all = Share { tlp_max: Tlp::Red, ..Share::default() };
    let green = Share { tlp_max: Tlp::Green, ..Share::default() };
    let of = |publisher, tlp, to: &[&str], sealed, rules: &Share| {
        share_with_client(&core(publisher, tlp, to, sealed), &HopPath::default(), &own, rules, None)
    };
    for (what, shared, expected) in [
        ("ours, AMBER", of("cert-at", Tlp::Amber, &[], false, &all), Ok(())),
        ("another's, GREEN", of("cert-pl", Tlp::Green, &[], false, &all), Ok(())),
        ("above its label", of("cert-at", Tlp::Amber, &[], false, &green), Err(WithheldReason::TlpMax)),
        ("another's AMBER", of("cert-pl", Tlp::Amber, &[], false, &all), Err(WithheldReason::TlpHop)),
        ("for somebody", of("cert-at", Tlp::Green, &["soc"], false, &all), Err(WithheldReason::NotNamed)),
        ("sealed to us", of("cert-pl", Tlp::Green, &["cert-at"], true, &all), Err(WithheldReason::NotNamed)),
        ("sealed by us", of("cert-at", Tlp::Red, &["cert-pl"], true, &all), Err(WithheldReason::NotNamed)),
        ("RED", of("cert-at", Tlp::Red, &[], false, &all), Err(WithheldReason::TlpHop)),
    ] {
        assert_eq!(shared, expected, "{what}");
    }
}

#[test]
fn old_names_count_when_something_is_received() {
    let own = node_names(&["cert-at", "cert-old"]);
    let mut source = peer(&["cert-est", "cert-ee"]);
    source.receive.relay = false;
    let from =
        |publisher| receive(&core(publisher, Tlp::Red, &[], false), &HopPath::default(), &own, &source);
    assert_eq!(from("cert-old"), Ok(()), "our own comes home");
    assert_eq!(from("cert-ee"), Ok(()), "its own");
    assert_eq!(from("cert-pl"), Err(NotReceived::Relay));
}

/// The keys of a node sign for each of its names, and for no other.
#[test]
fn keys_are_bound_to_every_name_of_a_node() {
    let own_key = testing::peer(&["own"]).key;
    let list =
        TrustList::new(node_names(&["cert-at", "cert-old"]), own_key, [peer(&["cert-est", "cert-ee"])]);
    let standing = |publisher, key: &VerifyingKey| list.standing(&name(publisher), key, Timestamp(1));
    let theirs = list.peers().next().unwrap().key;
    for publisher in ["cert-at", "cert-old"] {
        assert_eq!(standing(publisher, &own_key), Some(Standing::Good));
        assert_eq!(standing(publisher, &theirs), None);
        assert_eq!(list.identity_key(&name(publisher)), Some(&own_key));
    }
    for publisher in ["cert-est", "cert-ee"] {
        assert_eq!(standing(publisher, &theirs), Some(Standing::Good));
        assert_eq!(standing(publisher, &own_key), None);
    }
}
