//! Checks what an event withdraws or replaces (decisions/0013): only its publisher's own events, and never for fewer
//! peers than had them, or these would go on believing them. The caller looks up which events are held.

use super::refusal::SubmitError;
use crate::envelope::Core;
use crate::identity::{EventId, HopPath};
use crate::link::LinkTarget;
use crate::policy::{Peer, TrustList, WithheldReason, share};

/// Returns the events that `core` withdraws or replaces. Each has to be recalled before `core` is signed. If it is
/// held, [`check_audience`] has to be asked; if not, it cannot be compared, and is let through.
///
/// # Errors
/// `bad_meta` if one of them, or the left side of such a link, is another publisher's.
pub(crate) fn taken_back(core: &Core) -> Result<Vec<EventId>, SubmitError> {
    let mut targets: Vec<EventId> = Vec::new();
    for link in core.links.iter().filter(|link| link.relation.takes_back()) {
        let LinkTarget::Event(target) = &link.right else { continue };
        let sides = [Some(target), link.left.as_ref()];
        if let Some(foreign) = sides.into_iter().flatten().find(|id| id.publisher != core.id.publisher) {
            let what = format!("\"{}\" counts only among a publisher's own events", link.relation.as_str());
            return Err(SubmitError::bad_meta(format!("{what}, and {foreign} is another's"))
                .hint("link it with `related` or `derived-from`, and ask its publisher to take it back"));
        }
        if !targets.contains(target) {
            targets.push(target.clone());
        }
    }
    Ok(targets)
}

/// Checks that `core`, which takes `target` back, goes to all recipients of `target`.
///
/// # Errors
/// `bad_meta` for a stricter label, or for a `to` that leaves somebody out.
pub(crate) fn check_audience(core: &Core, target: &Core, trust: &TrustList) -> Result<(), SubmitError> {
    if core.tlp > target.tlp {
        let what = format!("it takes back {}, which is TLP:{}", target.id, target.tlp);
        return Err(SubmitError::bad_meta(format!("{what}, and is TLP:{} itself", core.tlp))
            .hint("give it the label of what it takes back, or a more open one"));
    }
    // One of them may have been renamed in between.
    let is_named = |name| core.to.iter().any(|ours| trust.present_name(ours) == trust.present_name(name));
    let left_out = target.to.iter().find(|name| !is_named(name));
    if !core.to.is_empty() && (target.to.is_empty() || left_out.is_some()) {
        let whom = left_out.map_or("everybody whom policy allows".to_owned(), |name| format!("\"{name}\""));
        return Err(SubmitError::bad_meta(format!(
            "it takes back {}, which was for {whom}, and `to` leaves that out",
            target.id
        ))
        .hint("name all recipients of what it takes back, or leave `to` out"));
    }
    Ok(())
}

/// Checks that `core`, which takes `target` back, passes the filters that `target` passed. It was shared with `path`.
/// If it only withdraws, it passes them all; a replacement has fields of its own, which a filter may keep back.
///
/// # Errors
/// `bad_meta` with the peers that would go on believing the target.
pub(crate) fn check_filters(
    core: &Core,
    target: &Core,
    path: &HopPath,
    trust: &TrustList,
) -> Result<(), SubmitError> {
    let may_have =
        |core: &Core, path: &HopPath, peer: &Peer| share(core, path, trust.own_names(), peer, None);
    let misses = |peer: &&Peer| {
        may_have(target, path, peer).is_ok()
            && matches!(
                may_have(core, &HopPath::default(), peer),
                Err(WithheldReason::Filter | WithheldReason::FilterFailed)
            )
    };
    let filtered = trust.peers().filter(|peer| peer.share.filter.is_some() && !peer.is_cut());
    let missed: Vec<&str> = filtered.filter(misses).map(|peer| peer.name.as_str()).collect();
    if missed.is_empty() {
        return Ok(());
    }
    let what =
        format!("it takes back {}, and the filter for {} does not admit it", target.id, missed.join(", "));
    Err(SubmitError::bad_meta(what).hint(
        "give it the fields that `where` in the peer's file looks at, or withdraw with event_description.text alone",
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::envelope::Body;

    use crate::filter::{Filter, NoLists};
    use crate::format::SubmitCode;
    use crate::identity::PublisherName;
    use crate::link::{Link, Relation};
    use crate::policy::Tlp;
    use crate::policy::testing::{name, peer, trusting};
    use crate::time::Timestamp;

    fn id(publisher: &str, n: u128) -> EventId {
        EventId {
            publisher: PublisherName::parse(publisher).unwrap(),
            project: crate::identity::ProjectName::parse("intelmq").unwrap(),
            uuid: uuid::Uuid::from_u128(n),
        }
    }

    fn core(tlp: Tlp, to: &[&str]) -> Core {
        Core {
            id: id("cert-at", 1),
            created: Timestamp(1),
            tlp,
            to: to.iter().map(|name| PublisherName::parse(name).unwrap()).collect(),
            ..crate::fixture::core()
        }
    }

    fn link(relation: &str, left: Option<EventId>, right: EventId) -> Link {
        Link { left, relation: Relation::parse(relation).unwrap(), right: LinkTarget::Event(right) }
    }

    #[test]
    fn only_ones_own_is_withdrawn_or_replaced() {
        let (own, other, foreign) = (id("cert-at", 2), id("cert-at", 3), id("cert-ee", 2));
        let cases = [
            ("its own", link("withdraws", None, own.clone()), Ok(vec![own.clone()])),
            (
                "its own, by another of its own",
                link("replaces", Some(other), own.clone()),
                Ok(vec![own.clone()]),
            ),
            ("another's", link("withdraws", None, foreign.clone()), Err(SubmitCode::BadMeta)),
            ("another's, replaced", link("replaces", None, foreign.clone()), Err(SubmitCode::BadMeta)),
            ("in another's name", link("withdraws", Some(foreign.clone()), own), Err(SubmitCode::BadMeta)),
            ("only related", link("related", None, foreign), Ok(vec![])),
        ];
        for (name, link, expected) in cases {
            let found = taken_back(&Core { links: vec![link], ..core(Tlp::Green, &[]) });
            assert_eq!(found.map_err(|error| error.code), expected, "{name}");
        }
    }

    /// cert-ee gets what is in EE, cert-pl everything.
    fn trust() -> TrustList {
        let filter = Filter::compile(r#"country(event, "EE")"#, &NoLists).unwrap();
        let mut filtered = peer(&["cert-ee"]);
        filtered.share.filter = Some(Arc::new(filter));
        let own = peer(&["cert-at"]).key;
        TrustList::new(name("cert-at"), own, [filtered, peer(&["cert-pl"])])
    }

    #[test]
    fn what_takes_back_passes_the_filters_of_its_target() {
        let with = |relation: &str, body: &'static str| Core {
            links: vec![link(relation, None, id("cert-at", 2))],
            body: Body::Plain(Bytes::from_static(body.as_bytes())),
            ..core(Tlp::Green, &[])
        };
        let bare = with("withdraws", r#"{"event_description.text":"wrong"}"#);
        let shared = |peer: &Peer| share(&bare, &HopPath::default(), trust().own_names(), peer, None).is_ok();
        assert!(trust().peers().all(shared));
        let at_home = r#"{"source.geolocation.cc":"EE"}"#;
        let target = Core { id: id("cert-at", 2), ..with("related", at_home) };
        let elsewhere = Core { id: id("cert-at", 2), ..with("related", r#"{"source.geolocation.cc":"LV"}"#) };
        for (name, event, target, passes) in [
            ("a bare withdrawal", with("withdraws", r#"{"event_description.text":"wrong"}"#), &target, true),
            ("with the field", with("withdraws", at_home), &target, true),
            ("without the field", with("withdraws", r#"{"comment":"wrong"}"#), &target, false),
            ("a bare replacement", with("replaces", r#"{"event_description.text":"x"}"#), &target, false),
            ("a replacement", with("replaces", at_home), &target, true),
            ("what cert-ee never got", with("replaces", r#"{"a":1}"#), &elsewhere, true),
        ] {
            let checked = check_filters(&event, target, &HopPath::default(), &trust());
            assert_eq!(checked.is_ok(), passes, "{name}");
            if let Err(told) = checked {
                assert!(told.message.contains("cert-ee") && told.hint.is_some(), "{name}: {told}");
            }
        }
    }

    #[test]
    fn what_takes_back_goes_to_everybody_whom_its_target_went_to() {
        type Audience = (Tlp, &'static [&'static str]);
        let cases: &[(&str, Audience, Audience, bool)] = &[
            ("the same", (Tlp::Green, &[]), (Tlp::Green, &[]), true),
            ("a more open label", (Tlp::Clear, &[]), (Tlp::Amber, &[]), true),
            ("a stricter label", (Tlp::Amber, &[]), (Tlp::Green, &[]), false),
            ("the same recipients", (Tlp::Green, &["b", "a"]), (Tlp::Green, &["a", "b"]), true),
            ("one that was renamed", (Tlp::Green, &["a", "new-b"]), (Tlp::Green, &["a", "b"]), true),
            ("one more recipient", (Tlp::Green, &["a", "b"]), (Tlp::Green, &["a"]), true),
            ("one recipient fewer", (Tlp::Green, &["a"]), (Tlp::Green, &["a", "b"]), false),
            ("to some, of what was for all", (Tlp::Green, &["a"]), (Tlp::Green, &[]), false),
            ("to all, of what was for some", (Tlp::Green, &[]), (Tlp::Green, &["a"]), true),
        ];
        let trust = trusting(&["cert-at"], &[&["a"], &["new-b", "b"]]);
        for (name, (tlp, to), (target_tlp, target_to), fits) in cases {
            let checked = check_audience(&core(*tlp, to), &core(*target_tlp, target_to), &trust);
            assert_eq!(checked.is_ok(), *fits, "{name}");
            assert!(checked.is_ok() || checked.is_err_and(|error| error.hint.is_some()), "{name}");
        }
    }
}
