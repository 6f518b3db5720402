//! Tests of the output for people: the whole text, and that it fits.

use super::*;
use crate::identity::PublisherName;
use crate::status::{
    ClockStatus, ConsumerStatus, DiskStatus, HealthThresholds, Incidents, JournalStatus, ReceivedStatus,
    STATUS_SCHEMA, SeenStatus, SentStatus, ShownProblem, StrangerStatus,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn peer(name: &str, connected: bool) -> PeerStatus {
    PeerStatus {
        name: PublisherName::parse(name).unwrap(),
        state: PeerState::Trusted,
        verified: true,
        connected,
        since: Some(NOW.minus_ms(11_520_000)),
        address: None,
        addresses: vec!["/dns4/mesh.example.org/tcp/4801".into()],
        publisher_only: false,
        was_connected: true,
        down_cause: (!connected).then(|| "connection refused".to_owned()),
        stands_since: None,
        skew_ms: connected.then_some(-3),
        software: None,
        last_frame: Some(NOW),
        last_event: None,
        expect_every_s: None,
        contact: None,
        sent: SentStatus {
            position: Some(17),
            lag_events: connected.then_some(0),
            lag_s: connected.then_some(0.0),
            offered: 32_702,
            accepted: 9_120,
            refused: 23_582,
            ..SentStatus::default()
        },
        received: ReceivedStatus { offered: 4, accepted: 3, refused: 1, ..ReceivedStatus::default() },
        fault: None,
        last_error: (!connected).then(|| "connection refused".to_owned()),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        schema: STATUS_SCHEMA.to_owned(),
        name: PublisherName::parse("cert-at").unwrap(),
        peer_id: "12D3KooW".to_owned(),
        key: "ed25519:AAAA".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_s: 400_000.0,
        ok: true,
        starting: false,
        health: Vec::new(),
        clock: ClockStatus { ok: true, ..ClockStatus::default() },
        journal: JournalStatus {
            first_seq: 3,
            last_seq: 17,
            bytes: 20_480,
            oldest: Some(NOW.minus_ms(86_400_000)),
            keep_bytes: Some(20_000_000_000),
            keep_days: Some(30),
            ..JournalStatus::default()
        },
        seen: SeenStatus { ids: 17, floor: Some(NOW.minus_ms(1_000)), bytes: 4_096 },
        disk: Some(DiskStatus { free_bytes: 212_000_000_000, free_inodes: None, full: false }),
        peers: vec![peer("cert-ee", true), peer("cert-pl", false)],
        clients: Vec::new(),
        consumers: vec![ConsumerStatus {
            name: "soc".into(),
            position: 17,
            connected: true,
            ..ConsumerStatus::default()
        }],
        doors: Vec::new(),
        cannot_open: None,
        strangers: vec![StrangerStatus {
            key: "ed25519:BBBB".into(),
            address: "/ip4/192.0.2.9/tcp/50000".into(),
            count: 3,
            last: NOW,
        }],
        unknown_publishers: Vec::new(),
        not_deliverable: None,
        equivocations: Vec::new(),
        errors: vec![ShownProblem {
            at: NOW,
            what: "feed of cert-pl closed: silent".into(),
            hint: None,
            code: None,
        }],
    }
}

#[test]
fn the_whole_of_it_stands_in_plain_words() {
    let mut snapshot = snapshot();
    snapshot.judge(&HealthThresholds::default(), &mut Incidents::default(), NOW);
    let expected = "\
warning: cert-pl has been down for 3 h 12 m: connection refused; intelmesh peer check cert-pl

cert-at, intelmesh 0.1.0, up 4 d 15 h
key ed25519:AAAA

PEERS            state   skew  sent lag  age  recv lag  age
cert-ee    up 3 h 12 m  -3 ms         0  0 s         -    -
cert-pl  DOWN 3 h 12 m      -         -    -         -    -

SENT     offered  accepted  refused  deferred  rejected  withheld
cert-ee    32702      9120    23582         0         0         0
cert-pl    32702      9120    23582         0         0         0

RECEIVED  offered  accepted  refused  deferred  rejected  missing  owed
cert-ee         4         3        1         0         0        0     0
cert-pl         4         3        1         0         0        0     0

JOURNAL    seq 3..17, 20.5 kB of 20.0 GB, oldest 1 d 0 h (keep 30 d), disk free 212 GB
SEEN       17 ids, 4.1 kB, complete since 2027-01-15T07:59:59.000Z
CLOCK      ok

CONSUMERS  connected  position  lag  age  missing
soc              yes        17    -    -        0

STRANGERS: connections from unknown keys, refused
  2027-01-15T08:00:00.000Z ed25519:BBBB from /ip4/192.0.2.9/tcp/50000, 3 times

ERRORS
  2027-01-15T08:00:00.000Z feed of cert-pl closed: silent
";
    assert_eq!(render(&snapshot, NOW).as_str(), expected);
}

#[test]
fn tables_fit_80_columns_with_the_longest_name_and_large_counts() {
    let mut snapshot = snapshot();
    snapshot.peers.truncate(1);
    snapshot.peers[0].name = PublisherName::parse("cert-with-a-long-name").unwrap();
    snapshot.peers[0].sent.lag_events = Some(1_234_567);
    let mut both = Lines::default();
    peers(&snapshot, NOW, &mut both);
    consumers(&snapshot, &mut both);
    for line in both.as_str().lines() {
        assert!(line.chars().count() <= 80, "{} {line}", line.len());
    }
}

/// A peer's words, a producer's and a door's: none of them can make a line of its own, or be obeyed by a terminal.
#[test]
fn words_of_others_are_never_lines_of_ours() {
    let mut snapshot = snapshot();
    let evil = "x\u{1b}[2J\nok: all is well\u{202e}";
    snapshot.peers[0].last_error = Some(evil.into());
    snapshot.peers[1].down_cause = Some(evil.into());
    snapshot.consumers[0].name = evil.into();
    snapshot.strangers[0].address = evil.into();
    snapshot.errors[0].what = evil.into();
    snapshot.judge(&HealthThresholds::default(), &mut Incidents::default(), NOW);
    let text = render(&snapshot, NOW);
    let text = text.as_str();
    assert!(!text.lines().any(|line| line.starts_with("ok: all")), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
    assert_eq!(text.matches("\\u001b[2J\\u000aok: all is well\\u202e").count(), 5, "{text}");
}

#[test]
fn an_empty_node_says_what_to_do_next() {
    let mut snapshot = snapshot();
    snapshot.peers.clear();
    snapshot.consumers.clear();
    snapshot.journal = JournalStatus { first_seq: 1, ..JournalStatus::default() };
    let text = render(&snapshot, NOW).as_str().to_owned();
    assert!(
        text.contains("no peers yet: exchange invitations") && text.contains("JOURNAL    empty"),
        "{text}"
    );
}
