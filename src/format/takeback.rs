//! What an event withdraws or replaces (design §5.4): only what is its publisher's own, and never for fewer than had
//! what it takes back, or they would go on believing it. Whether that is held is the caller's to look up.

use super::refusal::SubmitError;
use crate::envelope::Core;
use crate::identity::EventId;
use crate::link::LinkTarget;
use crate::policy::TrustList;

/// The events that `core` withdraws or replaces. Each has to be recalled before `core` is signed, and where it is held
/// [`check_audience`] asked; what is not held cannot be compared, and is let through.
///
/// # Errors
/// `bad_meta` where one of them, or the left side of such a link, is another publisher's.
pub fn taken_back(core: &Core) -> Result<Vec<EventId>, SubmitError> {
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

/// Does `core`, which takes `target` back, go to everybody whom `target` went to?
///
/// # Errors
/// `bad_meta` for a stricter label, or for a `to` that leaves somebody out.
pub fn check_audience(core: &Core, target: &Core, trust: &TrustList) -> Result<(), SubmitError> {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::envelope::{Body, ENVELOPE_VERSION, EventType, IdScheme};
    use crate::event::Format;
    use crate::format::SubmitCode;
    use crate::identity::PublisherName;
    use crate::link::{Link, Relation};
    use crate::policy::Tlp;
    use crate::policy::testing::trusting;
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
            version: ENVELOPE_VERSION,
            id: id("cert-at", 1),
            ids: IdScheme::Random,
            created: Timestamp(1),
            expires: None,
            event_type: EventType::Event,
            format: Format::intelmq(),
            tlp,
            to: to.iter().map(|name| PublisherName::parse(name).unwrap()).collect(),
            max_hops: 16,
            parent: None,
            links: Vec::new(),
            ext: None,
            extensions: Default::default(),
            body: Body::Plain(Bytes::from_static(b"{\"a\":1}")),
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
