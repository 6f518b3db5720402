//! `peers/NAME.toml`: one peer, validated as a whole. Whether it fits beside the other files is decided in
//! `peers`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::filters::filter;
use super::node::{aliases, dialled, tlp};
use super::problem::{ConfigFault, ConfigProblem, KnownKeys};
use super::reading::{ConfigReport, TomlSection, checked, parse};
use crate::envelope::seal::{SealKey, SealKeyError};
use crate::filter::FilterLists;
use crate::identity::{PublisherName, parse_public_key};
use crate::limits::IGNORED_MAX;
use crate::policy::{Peer, Rate, Receive, Share};

const KEYS: &[&str] = &[
    "key",
    "seal",
    "addresses",
    "aliases",
    "publisher_only",
    "paused",
    "pending",
    "revoked",
    "verified",
    "added",
    "added_by",
    "verified_at",
    "verified_by",
    "contact",
    "expect_every",
    "share",
    "receive",
];
const SHARE_KEYS: &[&str] = &["tlp_max", "seal", "where"];
const RECEIVE_KEYS: &[&str] = &["relay", "ignore", "rate", "rate_per_publisher", "where"];
const SECTIONS: &[KnownKeys] = &[("", KEYS), ("share", SHARE_KEYS), ("receive", RECEIVE_KEYS)];
/// Settings of later versions: refused, never ignored.
const LATER: &[&str] = &["groups"];
const LATER_SHARE: &[&str] = &["redact", "groups"];
const LATER_RECEIVE: &[&str] = &["seal", "groups"];

/// Of `contact`. It is repeated in each warning about the peer.
const CONTACT_CHARS_MAX: usize = 200;
/// Of `expect_every`: a feed is quiet for seconds all the time.
const EXPECT_EVERY_S_MIN: u64 = 60;

/// The content of a peer file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFile {
    pub peer: Peer,
    /// Empty: never dialled, it connects to us.
    pub addresses: Vec<String>,
    /// Publishers that are deliberately not trusted: their events are counted, without a warning.
    pub ignore: Vec<PublisherName>,
    pub pairing: PeerPairing,
    pub care: PeerCare,
    /// As shown: relative to the node's directory.
    pub file: PathBuf,
    /// Line of its key.
    pub key_line: usize,
    pub lines: RuleLines,
    /// The text that was read. When it is no longer in force, this still shows it.
    pub text: Arc<str>,
}

/// Lines of the rules that decide what the peer gets; `None` for a default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleLines {
    pub tlp_max: Option<usize>,
    pub seal: Option<usize>,
    pub filter: Option<usize>,
    pub paused: Option<usize>,
    pub pending: Option<usize>,
    pub revoked: Option<usize>,
}

/// How far the two operators have got with each other, as the command line wrote it down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerPairing {
    /// Known, and not yet trusted: no connection, and nothing of theirs is taken.
    pub pending: bool,
    /// Somebody compared the words of both fingerprints.
    pub verified: bool,
    /// Time and author of the file, and of the comparison of the words; as typed, at most 80 characters each.
    pub added: Option<String>,
    pub added_by: Option<String>,
    pub verified_at: Option<String>,
    pub verified_by: Option<String>,
}

/// What the operator wants to know when something is wrong with the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCare {
    /// Whom to call; as typed, at most 200 characters.
    pub contact: Option<String>,
    /// A longer silence of a connected peer is worth a warning, in seconds.
    pub expect_every_s: Option<u64>,
}

impl PeerFile {
    /// Reads one file's text; `file` is its name as shown, and its stem is the peer's name. There are no lists.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    #[cfg(any(test, feature = "sim"))]
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<ConfigProblem>> {
        Self::parse_with(file, text, &crate::filter::NoLists)
    }

    /// The same, if its filters may name `lists`.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse_with(file: &Path, text: &str, lists: &dyn FilterLists) -> Result<Self, Vec<ConfigProblem>> {
        let mut report = ConfigReport::new(file, text, SECTIONS);
        let name = stem_name(file, &mut report);
        let table = parse(text, &mut report);
        if !report.problems.is_empty() {
            return Err(report.problems);
        }
        let top = TomlSection::open(table.get_ref(), KEYS, LATER, &mut report);
        let key = match top.text("key", &mut report) {
            Some(at) => checked(at, "key", parse_public_key, &mut report),
            None => {
                if report.problems.is_empty() {
                    let hint = "key = \"ed25519:…\", as intelmesh key show prints it at the peer's";
                    report.fault(1, ConfigFault::Missing { key: "key", hint });
                }
                None
            }
        };
        let key_line = top.line("key", &report);
        let seal = seal(&top, &mut report);
        let addresses = dialled(&top, &mut report).unwrap_or_default();
        let aliases = aliases(&top, &mut report);
        let publisher_only = top.flag("publisher_only", &mut report).unwrap_or(false);
        let paused = top.flag("paused", &mut report).unwrap_or(false);
        let revoked = top.flag("revoked", &mut report).unwrap_or(false);
        let pairing = pairing(&top, &mut report);
        let care = care(&top, &mut report);
        let lines = rule_lines(&top, &report);
        let share = share(&top, SHARE_KEYS, LATER_SHARE, lists, &mut report);
        let (receive, ignore) = receive(&top, lists, &mut report);
        let (Some(name), Some(key), true) = (name, key, report.problems.is_empty()) else {
            report.problems.sort_by_key(|problem| problem.line);
            return Err(report.problems);
        };
        let dialled = !addresses.is_empty() && !publisher_only;
        let peer =
            Peer { name, key, seal, aliases, dialled, publisher_only, paused, revoked, share, receive };
        let (file, text) = (file.to_owned(), text.into());
        Ok(Self { peer, addresses, ignore, pairing, care, file, key_line, lines, text })
    }
}

impl PeerFile {
    /// The section and the text of each `where`.
    pub fn filters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let both = [("share", &self.peer.share.filter), ("receive", &self.peer.receive.filter)];
        both.into_iter().filter_map(|(section, filter)| Some((section, filter.as_ref()?.source())))
    }
}

/// The file's stem must be the name itself: `cert_ee.toml` would be a second file for `cert-ee`.
fn stem_name(file: &Path, report: &mut ConfigReport) -> Option<PublisherName> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    match PublisherName::parse(&stem) {
        Ok(name) if name.as_str() == stem => Some(name),
        _ => {
            report.fault(1, ConfigFault::FileName(stem.chars().take(80).collect()));
            None
        }
    }
}

/// Reads the key to which bodies for the peer are sealed; `[share]` decides if it gets nothing else.
fn seal(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Option<SealKey> {
    if top.is_flag("seal") {
        let known: &'static [&'static str] = &[];
        report.fault(
            top.line("seal", report),
            ConfigFault::UnknownKey { key: "seal".into(), known, sections: &[("share", SHARE_KEYS)] },
        );
        return None;
    }
    let at = top.text("seal", report)?;
    match SealKey::parse(at.value) {
        Ok(key) => Some(key),
        Err(fault) => {
            let wanted = match fault {
                SealKeyError::Form(_) => {
                    "a sealing key: \"x25519:\" and 43 characters of base64url without padding"
                }
                SealKeyError::Weak => {
                    "a sealing key: it is weak, and anybody could open what is sealed to it"
                }
            };
            report.refuse("seal", &at, wanted);
            None
        }
    }
}

fn pairing(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> PeerPairing {
    let mut note = |key| top.text(key, report).map(|at| at.value.chars().take(80).collect());
    let (added, added_by) = (note("added"), note("added_by"));
    let (verified_at, verified_by) = (note("verified_at"), note("verified_by"));
    PeerPairing {
        pending: top.flag("pending", report).unwrap_or(false),
        verified: top.flag("verified", report).unwrap_or(false),
        added,
        added_by,
        verified_at,
        verified_by,
    }
}

impl RuleLines {
    /// Returns the lines of `[share]`. Faults of the section are reported when it is read.
    pub(super) fn of_share(top: &TomlSection<'_, '_>, report: &ConfigReport) -> Self {
        let Some(section) = top.table("share") else { return Self::default() };
        Self {
            tlp_max: section.line_where_typed("tlp_max", report),
            seal: section.line_where_typed("seal", report),
            filter: section.line_where_typed("where", report),
            ..Self::default()
        }
    }
}

fn care(top: &TomlSection<'_, '_>, report: &mut ConfigReport) -> PeerCare {
    let contact = top.text("contact", report).map(|at| at.value.chars().take(CONTACT_CHARS_MAX).collect());
    let wanted = "a time of 1m or more, like \"1h\" or \"2d\"";
    let parse = |text: &str| span(text).filter(|seconds| *seconds >= EXPECT_EVERY_S_MIN);
    let expect_every_s = top.choice("expect_every", wanted, report, parse);
    PeerCare { contact, expect_every_s }
}

/// `90s`, `30m`, `1h` or `2d`, in seconds.
pub(crate) fn span(text: &str) -> Option<u64> {
    let unit_s = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    text[..text.len() - 1].trim_end().parse::<u32>().ok().map(|number| u64::from(number) * unit_s)
}

fn rule_lines(top: &TomlSection<'_, '_>, report: &ConfigReport) -> RuleLines {
    RuleLines {
        paused: top.line_where_typed("paused", report),
        pending: top.line_where_typed("pending", report),
        revoked: top.line_where_typed("revoked", report),
        ..RuleLines::of_share(top, report)
    }
}

fn ignored(section: &TomlSection<'_, '_>, report: &mut ConfigReport) -> Vec<PublisherName> {
    let most = (IGNORED_MAX, "one of 256 ignored publishers at most");
    let names = section
        .list("ignore", most, report, |at, report| checked(at, "ignore", PublisherName::parse, report));
    names.unwrap_or_default()
}

/// Reads `[share]` of a peer or a client.
pub(super) fn share(
    top: &TomlSection<'_, '_>,
    keys: &'static [&'static str],
    later: &[&str],
    lists: &dyn FilterLists,
    report: &mut ConfigReport,
) -> Share {
    let mut share = Share::default();
    if let Some(section) = top.section("share", keys, later, report) {
        share.tlp_max = tlp(&section, "tlp_max", report).unwrap_or(share.tlp_max);
        share.seal = section.flag("seal", report).unwrap_or(share.seal);
        share.filter = filter(&section, "where", lists, report);
    }
    share
}

fn receive(
    top: &TomlSection<'_, '_>,
    lists: &dyn FilterLists,
    report: &mut ConfigReport,
) -> (Receive, Vec<PublisherName>) {
    let (mut receive, mut ignore) = (Receive::default(), Vec::new());
    if let Some(section) = top.section("receive", RECEIVE_KEYS, LATER_RECEIVE, report) {
        receive.relay = section.flag("relay", report).unwrap_or(receive.relay);
        receive.rate = rate(&section, "rate", report);
        receive.rate_per_publisher = rate(&section, "rate_per_publisher", report);
        receive.filter = filter(&section, "where", lists, report);
        ignore = ignored(&section, report);
    }
    (receive, ignore)
}

pub(super) fn rate(
    section: &TomlSection<'_, '_>,
    key: &'static str,
    report: &mut ConfigReport,
) -> Option<Rate> {
    section.choice(key, "a rate like \"100/s\"", report, |text| {
        let number = text.strip_suffix("/s")?.trim_end();
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let per_second = number.parse().ok().filter(|per_second| digits && *per_second > 0)?;
        Some(Rate { per_second })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::public_key_text;
    use crate::policy::Tlp;

    fn key() -> String {
        public_key_text(&crate::fixture::key(7).verifying_key())
    }

    fn parsed(text: &str) -> Result<PeerFile, Vec<String>> {
        let text = text.replace("KEY", &key());
        let shown = |problems: Vec<ConfigProblem>| problems.iter().map(ConfigProblem::to_string).collect();
        PeerFile::parse(Path::new("peers/cert-ee.toml"), &text).map_err(shown)
    }

    #[test]
    fn a_key_is_enough_and_such_a_peer_is_never_dialled() {
        let file = parsed("key = \"KEY\"").unwrap();
        assert_eq!(file.peer.name.as_str(), "cert-ee");
        assert!(!file.peer.dialled && !file.peer.paused && file.peer.receive.relay);
        assert_eq!(file.peer.share.tlp_max, Tlp::Amber);
    }

    #[test]
    fn all_keys_are_read() {
        let file = parsed(
            "key = \"KEY\"\nseal = \"x25519:CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk\"\n\
             addresses = [\"/ip4/192.0.2.1/tcp/4801\"]\naliases = [\"old_ee\"]\npaused = true\nverified = true\n\
             [share]\ntlp_max = \"tlp:red\"\n[receive]\nrelay = false\nrate = \"100/s\"\nrate_per_publisher = \"5/s\"",
        )
        .unwrap();
        assert_eq!(file.peer.aliases[0].as_str(), "old-ee");
        assert!(file.peer.paused && file.peer.dialled && file.pairing.verified && !file.peer.receive.relay);
        assert_eq!(file.peer.share.tlp_max, Tlp::Red);
        assert_eq!(file.peer.receive.rate, Some(Rate { per_second: 100 }));
        assert_eq!(file.peer.receive.rate_per_publisher, Some(Rate { per_second: 5 }));
    }

    #[test]
    fn the_time_to_expect_events_has_a_unit() {
        let every = |text: &str| parsed(&format!("key = \"KEY\"\nexpect_every = \"{text}\""));
        for (text, seconds) in [("60s", 60), ("30m", 1_800), ("1 h", 3_600), ("2d", 172_800)] {
            assert_eq!(every(text).unwrap().care.expect_every_s, Some(seconds), "{text}");
        }
        for bad in ["", "h", "1", "59s", "0h", "-1h", "1w", "99999999999d", "1é"] {
            let problems = every(bad).unwrap_err();
            assert!(problems[0].starts_with("peers/cert-ee.toml:2: \"expect_every\""), "{bad}: {problems:?}");
        }
    }

    #[test]
    fn a_publisher_alone_is_never_dialled_and_others_may_be_ignored() {
        let text = "key = \"KEY\"\naddresses = [\"/ip4/192.0.2.1/tcp/1\"]\npublisher_only = true\n\
                    [receive]\nignore = [\"cert-xx\", \"cert_yy\"]";
        let file = parsed(text).unwrap();
        assert!(file.peer.publisher_only && !file.peer.dialled);
        assert_eq!(file.ignore.iter().map(PublisherName::as_str).collect::<Vec<_>>(), ["cert-xx", "cert-yy"]);
        let problems = parsed("key = \"KEY\"\n[receive]\nignore = [\"not a name\"]").unwrap_err();
        assert!(problems[0].starts_with("peers/cert-ee.toml:3: \"ignore\""), "{problems:?}");
    }

    #[test]
    fn each_slip_has_its_line() {
        for (text, want) in [
            ("key = \"KEY\"\n[share]\ntlp-max = \"RED\"", "peers/cert-ee.toml:3: unknown key \"tlp-max\""),
            (
                "key = \"KEY\"\n[share]\ntlp_max = \"BLUE\"",
                "peers/cert-ee.toml:3: \"tlp_max\": \"BLUE\" is not",
            ),
            ("addresses = []", "peers/cert-ee.toml:1: \"key\" is missing"),
            ("key = \"ed25519:AAAA\"", "peers/cert-ee.toml:1: \"key\": \"ed25519:AAAA\" is not a key"),
            (
                "\nkey = \"ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
                "peers/cert-ee.toml:2: \"key\": this ed25519 key is weak",
            ),
            (
                "key = \"KEY\"\n[receive]\nrate = \"0/s\"",
                "peers/cert-ee.toml:3: \"rate\": \"0/s\" is not a rate",
            ),
            (
                "key = \"KEY\"\naddresses = [\"/ip4/0.0.0.0/tcp/4801\"]",
                "peers/cert-ee.toml:2: \"addresses\": \"/ip4/0.0.0.0/tcp/4801\" is not an address that can be dialled",
            ),
            (
                "key = \"KEY\"\naddresses = [\"/dns4/h/tcp/0\"]",
                "peers/cert-ee.toml:2: \"addresses\": \"/dns4/h/tcp/0\" is not an address that can be dialled",
            ),
            (
                "key = \"KEY\"\naddresses = [\n \"nowhere\"]",
                "peers/cert-ee.toml:3: \"addresses\": \"nowhere\"",
            ),
            ("key = \"KEY\"\nseal = true", "peers/cert-ee.toml:2: unknown key \"seal\""),
            (
                "key = \"KEY\"\nseal = \"x25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
                "peers/cert-ee.toml:2: \"seal\": \"x25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\" is not a sealing key: it is weak",
            ),
            (
                "key = \"KEY\"\n[share]\nseal = \"yes\"",
                "peers/cert-ee.toml:3: \"seal\" must be true or false",
            ),
            (
                "key = \"KEY\"\n[share]\nwhere = 'meta.tpl == \"GREEN\"'",
                "peers/cert-ee.toml:3:14: \"where\": meta has no \"tpl\"",
            ),
            (
                "key = \"KEY\"\n[receive]\nwhere = '''\ntrue &&\n  evnt[\"a\"] == 1'''",
                "peers/cert-ee.toml:5:3: \"where\": unknown name \"evnt\"",
            ),
            (
                "key = \"KEY\"\n[share]\nwhere = 'asn_in(event, \"a.txt\")'",
                "peers/cert-ee.toml:3:24: \"where\": asn_in: list \"a.txt\": no such list",
            ),
            ("key = \"KEY\"\nwhere = \"true\"", "peers/cert-ee.toml:2: unknown key \"where\""),
            ("key = \"KEY\"\ngroups = []", "peers/cert-ee.toml:2: not_built: \"groups\""),
            ("key = ", "peers/cert-ee.toml:1:"),
        ] {
            let problems = parsed(text).expect_err(text);
            assert!(problems[0].starts_with(want), "{text}: {problems:?}");
        }
    }

    #[test]
    fn a_key_in_the_wrong_section_is_told_its_place() {
        for (text, want) in [
            ("key = \"KEY\"\ntlp-max = \"RED\"", "did you mean \"tlp_max\"? it belongs below [share]"),
            (
                "key = \"KEY\"\n[receive]\ntlp_max = \"RED\"",
                "did you mean \"tlp_max\"? it belongs below [share]",
            ),
            (
                "key = \"KEY\"\n[share]\nadresses = []",
                "did you mean \"addresses\"? it belongs above the first [section]",
            ),
            ("key = \"KEY\"\n[share]\nrelay = true", "did you mean \"relay\"? it belongs below [receive]"),
            ("key = \"KEY\"\n[share]\ncolour = 1", "known here: tlp_max, seal, where"),
        ] {
            let text = text.replace("KEY", &key());
            let problems = PeerFile::parse(Path::new("peers/cert-ee.toml"), &text).unwrap_err();
            assert_eq!(problems[0].hint().as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn the_name_of_the_file_is_the_name_of_the_peer() {
        let problems = PeerFile::parse(Path::new("peers/Cert_EE.toml"), "").unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "peers/Cert_EE.toml:1: \"Cert_EE\" is not a valid name for a peer"
        );
        assert_eq!(problems[0].hint().unwrap(), "rename the file to cert-ee.toml");
    }

    proptest::proptest! {
        /// Every problem names a line of the file, for any input.
        #[test]
        fn no_text_is_a_panic_and_every_problem_has_a_line_of_the_file(
            pieces in proptest::collection::vec(
                proptest::sample::select(&[
                    "key", "addresses", "[share]", "[[share]]", "tlp_max", "rate", " = ", "\"", "\"100/s\"", "[", "]",
                    "\n", "true", "1e9", "#", "\u{1F600}", ".", "{", "}", "'''", "\r", "\\u00",
                ]),
                0..40,
            )
        ) {
            let text = pieces.concat();
            if let Err(problems) = PeerFile::parse(Path::new("peers/cert-ee.toml"), &text) {
                let lines = text.matches('\n').count() + 1;
                assert!(!problems.is_empty());
                let in_file = |line| (1..=lines).contains(&line);
                assert!(problems.iter().all(|problem| problem.line.is_some_and(in_file)), "{problems:?}");
            }
        }
    }
}
