//! Says why a peer gets an event, or why not: policy's answer in words, with the file and line of the rule that decides
//! and the change that would be necessary. The one function behind `submit --dry-run`, `event show` and `peer explain`.
//! It decides nothing itself: that is `policy::share`.

mod clients;

use serde::{Serialize, Serializer};

use crate::config::PeerFile;
use crate::envelope::Core;
use crate::identity::{HopPath, NodeNames, PublisherName};
use crate::policy::{self, Tlp, TrustList, WithheldReason};
use crate::time::Timestamp;

pub(crate) use clients::share_with_client;

/// The answer of policy for one event and one peer (`intelmesh.explain/1` has a list of them).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Explanation {
    pub peer: PublisherName,
    #[serde(flatten)]
    pub outcome: RuleOutcome,
    /// The rule that decides, with its file and line if it stands in one.
    pub rule: String,
    /// The change that would be necessary, and who has to make it; absent if it is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub(crate) enum RuleOutcome {
    Shared,
    Withheld(#[serde(serialize_with = "reason_word")] WithheldReason),
    /// No connection with it may stand.
    Cut(CutReason),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CutReason {
    Revoked,
    Pending,
    Paused,
}

fn reason_word<S: Serializer>(why: &WithheldReason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(why.as_str())
}

impl RuleOutcome {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Withheld(_) => "withheld",
            Self::Cut(_) => "cut",
        }
    }

    /// Returns a short name of the reason; `None` if it is shared.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Shared => None,
            Self::Withheld(why) => Some(why.as_str()),
            Self::Cut(CutReason::Revoked) => Some("revoked"),
            Self::Cut(CutReason::Pending) => Some("pending"),
            Self::Cut(CutReason::Paused) => Some("paused"),
        }
    }
}

/// Decides whether the event of `core`, which came by `path`, may go to the peer of `file`, by its rules.
pub(crate) fn share(
    core: &Core,
    path: &HopPath,
    own: &NodeNames,
    file: &PeerFile,
    now: Timestamp,
) -> Explanation {
    let peer = file.peer.name.clone();
    let (outcome, rule, remedy) = match (cut(file), policy::share(core, path, own, &file.peer, Some(now))) {
        (Some((reason, rule, remedy)), _) => (RuleOutcome::Cut(reason), rule, Some(remedy)),
        (None, Ok(())) => (RuleOutcome::Shared, shared_by(core, file), None),
        (None, Err(why)) => {
            let (rule, remedy) = withheld_by(why, core, path, file);
            (RuleOutcome::Withheld(why), rule, Some(remedy))
        }
    };
    Explanation { peer, outcome, rule, remedy }
}

/// Returns the peer as it stands now: if it revoked its own key, its file need not say so.
pub(crate) fn standing(file: &PeerFile, trust: &TrustList) -> PeerFile {
    let mut file = file.clone();
    file.peer.revoked |= trust.peer(&file.peer.name).is_some_and(|peer| peer.revoked);
    file
}

/// Returns the peer as it stood while its feed ran, before it was cut off.
pub(crate) fn while_connected(file: &PeerFile) -> PeerFile {
    let mut file = file.clone();
    (file.peer.revoked, file.peer.paused, file.pairing.pending) = (false, false, false);
    file
}

fn cut(file: &PeerFile) -> Option<(CutReason, String, String)> {
    let (name, lines) = (&file.peer.name, &file.lines);
    if file.peer.revoked {
        let rule = match lines.revoked {
            Some(_) => place(file, lines.revoked, "revoked = true"),
            None => format!("{name} revoked its own key"),
        };
        return Some((
            CutReason::Revoked,
            rule,
            format!("pair anew with {name}: a revoked key never counts again"),
        ));
    }
    if file.pairing.pending {
        let rule = place(file, lines.pending, "pending = true");
        return Some((CutReason::Pending, rule, format!("compare the words: intelmesh peer verify {name}")));
    }
    if file.peer.paused {
        let rule = place(file, lines.paused, "paused = true");
        return Some((CutReason::Paused, rule, format!("it waits for: intelmesh peer resume {name}")));
    }
    None
}

/// `FILE:LINE: RULE`, or that it is the default.
fn place(file: &PeerFile, line: Option<usize>, rule: &str) -> String {
    match line {
        Some(line) => format!("{}:{line}: {rule}", file.file.display()),
        None => format!("{}: {rule} (the default)", file.file.display()),
    }
}

fn tlp_rule(file: &PeerFile) -> String {
    place(file, file.lines.tlp_max, &format!("tlp_max = \"{}\"", file.peer.share.tlp_max))
}

fn shared_by(core: &Core, file: &PeerFile) -> String {
    let peer = &file.peer;
    if peer.has_name(&core.id.publisher) {
        return "it is the event's own publisher".to_owned();
    }
    if core.body.is_sealed() && peer.is_among(&core.to) {
        return "sealed, and it is a recipient".to_owned();
    }
    if core.body.is_sealed() {
        return format!("carries it for the recipients, cannot read it; {}", tlp_rule(file));
    }
    match file.peer.share.filter.as_ref().and(file.lines.filter) {
        Some(line) if policy::is_bare_withdrawal(core) => {
            format!(
                "{}; {}:{line}: where is not asked of a bare withdrawal",
                tlp_rule(file),
                file.file.display()
            )
        }
        Some(line) => format!("{}; {}:{line}: where admits it", tlp_rule(file), file.file.display()),
        None => tlp_rule(file),
    }
}

fn withheld_by(why: WithheldReason, core: &Core, path: &HopPath, file: &PeerFile) -> (String, String) {
    let (name, shown) = (&file.peer.name, file.file.display());
    let publisher = &core.id.publisher;
    match why {
        WithheldReason::TlpMax if core.body.is_sealed() => {
            let label = core.tlp;
            (
                tlp_rule(file),
                format!("tlp_max = \"{label}\" in {shown}: it would carry it, and could not read it"),
            )
        }
        // No agreement lets these travel unsealed, at any tlp_max.
        WithheldReason::TlpMax if core.tlp >= Tlp::AmberStrict => {
            (tlp_rule(file), format!("seal it to {name} (--seal --to {name})"))
        }
        WithheldReason::TlpMax => {
            let label = core.tlp;
            (tlp_rule(file), format!("tlp_max = \"{label}\" in {shown}, or seal it to {name}"))
        }
        WithheldReason::TlpHop if core.body.is_sealed() => (
            format!(
                "TLP:{} goes from its publisher to recipients alone, sealed too (docs/SECURITY.md)",
                core.tlp
            ),
            format!("{publisher} must share it with {name} itself"),
        ),
        WithheldReason::TlpHop => (
            format!("TLP:{} does not travel on unsealed (docs/SECURITY.md)", core.tlp),
            format!("{publisher} can share it with {name} itself, or seal it to {name}"),
        ),
        WithheldReason::NotNamed => {
            let names: Vec<&str> = core.to.iter().map(PublisherName::as_str).collect();
            (
                format!("the event is for {} alone", names.join(", ")),
                format!("{publisher} must name {name} in `to`"),
            )
        }
        WithheldReason::NotSealed => (
            place(file, file.lines.seal, "seal = true"),
            format!("submit it with --to {name} --seal, or seal = false in {shown}"),
        ),
        WithheldReason::Hops => (
            format!("it came over {} hops, at most {}", path.len(), core.max_hops),
            format!("a shorter way: pair {publisher} and {name} directly"),
        ),
        WithheldReason::Expired => {
            let at = core.expires.map(|at| at.to_string()).unwrap_or_default();
            (format!("it expired at {at}"), format!("{publisher} can publish it again"))
        }
        WithheldReason::Filter => {
            let takes_back = core.links.iter().any(|link| link.relation.takes_back());
            let fields = if takes_back { ", or the fields that it looks at in what takes back" } else { "" };
            let remedy = format!("the filter in {shown}{fields}");
            (place(file, file.lines.filter, "where does not admit it"), remedy)
        }
        WithheldReason::FilterFailed => {
            let failure = policy::failure(file.peer.share.filter.as_ref(), core, path);
            let failure = failure.map(|failure| failure.to_string()).unwrap_or_default();
            (
                place(file, file.lines.filter, &format!("where fails on it: {failure}")),
                format!(
                    "the filter in {shown}: test for what may be absent with field(event, \"…\", default)"
                ),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::envelope::Body;

    use crate::policy::Tlp;

    fn file(rest: &str) -> PeerFile {
        let key = crate::fixture::key(7).verifying_key();
        let text = format!("key = \"{}\"\n{rest}", crate::identity::public_key_text(&key));
        PeerFile::parse(Path::new("peers/cert-ee.toml"), &text).unwrap()
    }

    fn core(tlp: Tlp) -> Core {
        Core {
            created: Timestamp(5),
            tlp,
            max_hops: 8,
            body: Body::Plain("{\"source.ip\":\"192.0.2.1\"}".into()),
            ..crate::fixture::core()
        }
    }

    fn explained(core: &Core, path: &str, own: &str, rest: &str) -> (RuleOutcome, String) {
        let path = HopPath::new(
            path.split('!')
                .filter(|hop| !hop.is_empty())
                .map(|hop| PublisherName::parse(hop).unwrap())
                .collect(),
        )
        .unwrap();
        let own = PublisherName::parse(own).unwrap().into();
        let explanation = share(core, &path, &own, &file(rest), Timestamp(10));
        assert_eq!(explanation.outcome == RuleOutcome::Shared, explanation.remedy.is_none());
        (explanation.outcome, explanation.rule)
    }

    type Row = (Core, &'static str, &'static str, &'static str, RuleOutcome, &'static str);

    fn check<const N: usize>(rows: [Row; N]) {
        for (core, path, own, rest, outcome, rule) in rows {
            let found = explained(&core, path, own, rest);
            assert_eq!(found, (outcome, rule.to_owned()), "{rest}");
        }
    }

    #[test]
    fn each_answer_names_the_rule_that_decides_and_where_it_stands() {
        let named = |to: &str| Core { to: vec![PublisherName::parse(to).unwrap()], ..core(Tlp::Green) };
        let expired = Core { expires: Some(Timestamp(9)), ..core(Tlp::Green) };
        check([
            (
                core(Tlp::Green),
                "",
                "cert-at",
                "",
                RuleOutcome::Shared,
                "peers/cert-ee.toml: tlp_max = \"AMBER\" (the default)",
            ),
            (
                core(Tlp::Amber),
                "",
                "cert-at",
                "[share]\ntlp_max = \"GREEN\"",
                RuleOutcome::Withheld(WithheldReason::TlpMax),
                "peers/cert-ee.toml:3: tlp_max = \"GREEN\"",
            ),
            (
                core(Tlp::Amber),
                "!cert-at",
                "cert-pl",
                "",
                RuleOutcome::Withheld(WithheldReason::TlpHop),
                "TLP:AMBER does not travel on unsealed (docs/SECURITY.md)",
            ),
            (
                named("cert-lt"),
                "",
                "cert-at",
                "",
                RuleOutcome::Withheld(WithheldReason::NotNamed),
                "the event is for cert-lt alone",
            ),
            (
                core(Tlp::Green),
                "",
                "cert-at",
                "[share]\nseal = true",
                RuleOutcome::Withheld(WithheldReason::NotSealed),
                "peers/cert-ee.toml:3: seal = true",
            ),
            (
                expired,
                "",
                "cert-at",
                "",
                RuleOutcome::Withheld(WithheldReason::Expired),
                "it expired at 1970-01-01T00:00:00.009Z",
            ),
            (
                core(Tlp::Green),
                "",
                "cert-at",
                "[share]\n\nwhere = 'event[\"source.ip\"] == \"192.0.2.9\"'",
                RuleOutcome::Withheld(WithheldReason::Filter),
                "peers/cert-ee.toml:4: where does not admit it",
            ),
        ]);
    }

    /// A sealed event is explained by the use that each peer has of it.
    #[test]
    fn sealed_events_name_readers_and_carriers() {
        let sealed = |tlp: Tlp, to: &str| Core {
            to: vec![PublisherName::parse(to).unwrap()],
            body: Body::Sealed("sealed".into()),
            ..core(tlp)
        };
        check([
            (
                sealed(Tlp::Red, "cert-ee"),
                "",
                "cert-at",
                "",
                RuleOutcome::Shared,
                "sealed, and it is a recipient",
            ),
            (
                sealed(Tlp::Amber, "cert-pl"),
                "",
                "cert-at",
                "",
                RuleOutcome::Shared,
                "carries it for the recipients, cannot read it; peers/cert-ee.toml: tlp_max = \"AMBER\" (the default)",
            ),
            (
                sealed(Tlp::Red, "cert-pl"),
                "",
                "cert-at",
                "",
                RuleOutcome::Withheld(WithheldReason::NotNamed),
                "the event is for cert-pl alone",
            ),
            (
                sealed(Tlp::Red, "cert-ee"),
                "!cert-at",
                "cert-pl",
                "",
                RuleOutcome::Withheld(WithheldReason::TlpHop),
                "TLP:RED goes from its publisher to recipients alone, sealed too (docs/SECURITY.md)",
            ),
        ]);
    }

    #[test]
    fn a_peer_that_is_cut_off_gets_nothing_and_the_line_that_says_so_is_named() {
        check([
            (
                core(Tlp::Green),
                "",
                "cert-at",
                "paused = true",
                RuleOutcome::Cut(CutReason::Paused),
                "peers/cert-ee.toml:2: paused = true",
            ),
            (
                core(Tlp::Green),
                "",
                "cert-at",
                "revoked = true",
                RuleOutcome::Cut(CutReason::Revoked),
                "peers/cert-ee.toml:2: revoked = true",
            ),
            (
                core(Tlp::Green),
                "",
                "cert-at",
                "pending = true",
                RuleOutcome::Cut(CutReason::Pending),
                "peers/cert-ee.toml:2: pending = true",
            ),
        ]);
    }
}
