//! The rules of health as a table: facts in, reasons out.

mod quiet;

use super::*;
use crate::status::{
    ClockStatus, ConsumerState, ConsumerStatus, DiskStatus, DoorAside, DoorDown, DoorStatus, DoorWay,
    Equivocation, Incidents, JournalStatus, NotDeliverable, PeerFault, PeerFaultKind, PeerState, PeerStatus,
    ReceivedStatus, STATUS_SCHEMA, SeenStatus, SentStatus, ShownProblem, SubmitState,
};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn ago(ms: u64) -> Option<Timestamp> {
    Some(NOW.minus_ms(ms))
}

fn name(text: &str) -> PublisherName {
    PublisherName::parse(text).unwrap()
}

fn peer(text: &str) -> PeerStatus {
    PeerStatus {
        name: name(text),
        state: PeerState::Trusted,
        verified: true,
        connected: true,
        since: ago(600_000),
        address: Some("/ip4/192.0.2.7/tcp/4801".into()),
        addresses: vec!["/ip4/192.0.2.7/tcp/4801".into()],
        publisher_only: false,
        was_connected: true,
        down_cause: None,
        stands_since: None,
        skew_ms: Some(3),
        software: None,
        last_frame: ago(4_000),
        last_event: None,
        expect_every_s: None,
        contact: None,
        sent: SentStatus { lag_events: Some(0), lag_s: Some(0.0), ..SentStatus::default() },
        received: ReceivedStatus { lag_events: Some(0), lag_s: Some(1.2), ..ReceivedStatus::default() },
        fault: None,
        last_error: None,
    }
}

fn facts() -> Snapshot {
    Snapshot {
        schema: STATUS_SCHEMA.to_owned(),
        name: name("cert-at"),
        peer_id: "12D3KooW".to_owned(),
        key: "ed25519:AAAA".to_owned(),
        version: "0.1.0".to_owned(),
        uptime_s: 1_200.5,
        ok: true,
        starting: false,
        health: Vec::new(),
        clock: ClockStatus { ok: true, ..ClockStatus::default() },
        journal: JournalStatus {
            first_seq: 1,
            last_seq: 1000,
            bytes: 1_900_000,
            keep_bytes: Some(2_000_000),
            ..JournalStatus::default()
        },
        seen: SeenStatus::default(),
        disk: Some(DiskStatus { free_bytes: 64_000_000_000, free_inodes: Some(1_000_000), full: false }),
        peers: vec![peer("cert-ee"), peer("cert-pl")],
        clients: Vec::new(),
        consumers: vec![ConsumerStatus { name: "soc".into(), connected: true, ..ConsumerStatus::default() }],
        doors: Vec::new(),
        cannot_open: None,
        strangers: Vec::new(),
        unknown_publishers: Vec::new(),
        not_deliverable: None,
        equivocations: Vec::new(),
        errors: Vec::new(),
    }
}

fn door_in(lines: u64) -> DoorStatus {
    let aside = DoorAside { file: "aside/intelmq-tcp.jsonl".into(), lines, last: ago(1) };
    let way = DoorWay::Submit(SubmitState::default());
    DoorStatus {
        name: "intelmq-tcp".into(),
        way,
        aside: (lines > 0).then_some(aside),
        down: None,
        last_error: None,
    }
}

/// The consumer is a door's, and behind; `down_ms`: for so long the door has not reached it.
fn receiver(f: &mut Snapshot, down_ms: Option<u64>, held: Option<&str>) {
    let held = held.map(str::to_owned);
    let at = "127.0.0.1:5001".to_owned();
    let state = ConsumerState { at, since: ago(1), held, ..ConsumerState::default() };
    let down = down_ms.map(|ms| DoorDown { since: NOW.minus_ms(ms), what: "connection refused".into() });
    let (name, way) = ("soc".into(), DoorWay::Consumer(state));
    f.doors.push(DoorStatus { name, way, aside: None, down, last_error: None });
    f.consumers[0].lag_events = Some(5);
}

fn fault(kind: PeerFaultKind, side: FeedSide) -> Option<PeerFault> {
    Some(PeerFault { kind, side, since: NOW.minus_ms(40_000), what: "said so".into() })
}

fn unknown(f: &mut Snapshot, ignored: bool) {
    let through = vec![name("cert-pl")];
    let (first, last) = (NOW.minus_ms(9), NOW);
    f.unknown_publishers.push(UnknownPublisher {
        name: name("cert-xx"),
        events: 3,
        ignored,
        through,
        first,
        last,
    });
}

type Change = fn(&mut Snapshot);

fn judge(facts: &mut Snapshot) {
    facts.judge(&HealthThresholds::default(), &mut Incidents::default(), NOW);
}

/// (case, the change to [`facts`], the reasons that follow).
const RULES: &[(&str, Change, &[HealthCode])] = &[
    ("all is well", |_| {}, &[]),
    ("away 29 s", |f| down(&mut f.peers[0], 29_000), &[HealthCode::PeerSilent]),
    ("down 30 s", |f| down(&mut f.peers[0], 30_000), &[HealthCode::PeerDown]),
    ("down, and it dials us", |f| without_address(&mut f.peers[0], true), &[HealthCode::PeerDown]),
    ("never met, and nobody can dial", |f| without_address(&mut f.peers[0], false), &[HealthCode::NoRoute]),
    (
        "the same, a moment after the start",
        |f| {
            f.uptime_s = 29.0;
            without_address(&mut f.peers[0], false);
        },
        &[],
    ),
    (
        "its events come through others",
        |f| {
            without_address(&mut f.peers[0], false);
            f.peers[0].publisher_only = true;
        },
        &[],
    ),
    (
        "its events come through others, and it reads slowly",
        |f| {
            f.peers[0].publisher_only = true;
            f.peers[0].sent.lag_s = Some(90.0);
            f.peers[0].stands_since = ago(90_000);
        },
        &[],
    ),
    (
        "down, but paused",
        |f| {
            down(&mut f.peers[0], 90_000);
            f.peers[0].state = PeerState::Paused;
        },
        &[],
    ),
    (
        "down for another key",
        |f| {
            down(&mut f.peers[0], 90_000);
            let kind = PeerFaultKind::PeerKeyChanged { key: "ed25519:B".into(), address: "/x".into() };
            f.peers[0].fault = fault(kind, FeedSide::There);
        },
        &[HealthCode::PeerKeyChanged],
    ),
    (
        "turned away",
        |f| f.peers[0].fault = fault(PeerFaultKind::RejectedByPeer, FeedSide::There),
        &[HealthCode::RejectedByPeer],
    ),
    ("cloned", |f| f.peers[0].fault = fault(PeerFaultKind::Cloned, FeedSide::Here), &[HealthCode::Cloned]),
    (
        "another name",
        |f| {
            let called = Some(name("cert-estonia"));
            f.peers[0].fault = fault(PeerFaultKind::NameMismatch { called }, FeedSide::Here);
        },
        &[HealthCode::NameMismatch],
    ),
    (
        "other version",
        |f| f.peers[0].fault = fault(PeerFaultKind::VersionSkew, FeedSide::There),
        &[HealthCode::VersionSkew],
    ),
    (
        "their disk is full",
        |f| f.peers[0].fault = fault(PeerFaultKind::DiskFull, FeedSide::There),
        &[HealthCode::FeedLagging],
    ),
    (
        "their feed is closed again and again",
        |f| f.peers[0].fault = fault(PeerFaultKind::FeedClosed, FeedSide::Here),
        &[HealthCode::FeedLagging],
    ),
    ("silent 24 s", |f| f.peers[0].last_frame = ago(24_000), &[]),
    ("silent 25 s", |f| f.peers[0].last_frame = ago(25_000), &[HealthCode::PeerSilent]),
    ("no frame yet on a fresh connection", fresh_connection, &[]),
    ("its feed stands 29 s", |f| f.peers[0].stands_since = ago(29_000), &[]),
    ("its feed stands 30 s", |f| f.peers[0].stands_since = ago(30_000), &[HealthCode::PeerSilent]),
    (
        "its feed stands, for our disk is full",
        |f| {
            f.peers[0].stands_since = ago(90_000);
            f.disk = Some(DiskStatus { free_bytes: 0, free_inodes: None, full: true });
        },
        &[HealthCode::DiskLow],
    ),
    ("lag unknown", |f| f.peers[0].sent.lag_s = None, &[]),
    ("lag 59 s", |f| f.peers[0].sent.lag_s = Some(59.0), &[]),
    ("lag 60 s", |f| f.peers[0].sent.lag_s = Some(60.0), &[HealthCode::FeedLagging]),
    ("they are ahead of us", |f| f.peers[0].received.lag_s = Some(61.0), &[HealthCode::FeedLagging]),
    (
        "a full disk there explains the lag",
        |f| {
            f.peers[0].fault = fault(PeerFaultKind::DiskFull, FeedSide::There);
            f.peers[0].sent.lag_s = Some(90.0);
        },
        &[HealthCode::FeedLagging],
    ),
    (
        "down explains the lag",
        |f| {
            down(&mut f.peers[0], 90_000);
            f.peers[0].sent.lag_s = Some(90.0);
        },
        &[HealthCode::PeerDown],
    ),
    ("rejected today", |f| f.peers[0].sent.rejected_at = ago(1), &[HealthCode::RejectedByPeer]),
    ("rejected yesterday", |f| f.peers[0].sent.rejected_at = ago(INCIDENT_SHOWN_MS), &[]),
    ("missing", |f| f.peers[0].received.missing_at = ago(1), &[HealthCode::FeedMissing]),
    ("a consumer missed some", |f| f.consumers[0].missing_at = ago(1), &[HealthCode::FeedMissing]),
    (
        "a receiver lost what it held",
        |f| {
            receiver(f, None, None);
            if let DoorWay::Consumer(state) = &mut f.doors[0].way {
                state.lost_at = ago(1);
            }
        },
        &[HealthCode::FeedMissing],
    ),
    ("a consumer lags", |f| f.consumers[0].lag_s = Some(3600.0), &[HealthCode::ConsumerLagging]),
    ("a door set something aside", |f| f.doors.push(door_in(2)), &[HealthCode::DoorRejects]),
    ("a door set nothing aside", |f| f.doors.push(door_in(0)), &[]),
    ("a receiver is away 29 s", |f| receiver(f, Some(29_000), None), &[]),
    (
        "a receiver is away 30 s",
        |f| receiver(f, Some(30_000), None),
        &[HealthCode::DoorDown, HealthCode::ConsumerLagging],
    ),
    (
        "a receiver is away and nothing waits for it",
        |f| {
            receiver(f, Some(90_000), None);
            f.consumers[0].lag_events = Some(0);
        },
        &[HealthCode::DoorDown],
    ),
    (
        "a door into the mesh is down",
        |f| {
            let mut door = door_in(0);
            door.down = Some(DoorDown { since: NOW.minus_ms(30_000), what: "NOAUTH".into() });
            f.doors.push(door);
        },
        &[HealthCode::DoorDown],
    ),
    ("a queue is full", |f| receiver(f, None, Some("the queue is long")), &[HealthCode::ConsumerLagging]),
    ("a receiver that is there takes its time", |f| receiver(f, None, None), &[]),
    ("an unknown publisher", |f| unknown(f, false), &[HealthCode::UnknownPublisher]),
    ("an unknown publisher that is ignored", |f| unknown(f, true), &[]),
    (
        "events that reach nobody",
        |f| {
            let (recipients, id) = (vec![name("cert-xx")], "cert-at:intelmq:1".into());
            f.not_deliverable = Some(NotDeliverable { events: 2, recipients, id, since: NOW });
        },
        &[HealthCode::NotDeliverable],
    ),
    ("retention is near", |f| f.consumers[0].lag_events = Some(900), &[HealthCode::RetentionShort]),
    ("retention is far", |f| f.consumers[0].lag_events = Some(800), &[]),
    (
        "retention takes what a peer has not read",
        |f| f.peers[0].sent.lag_events = Some(999),
        &[HealthCode::RetentionShort],
    ),
    ("clock off", |f| f.clock.ok = false, &[HealthCode::ClockOff]),
    ("skew of 60 s", |f| f.peers[0].skew_ms = Some(-60_000), &[]),
    ("skew over 60 s", |f| f.peers[0].skew_ms = Some(-60_001), &[HealthCode::ClockOff]),
    (
        "disk low",
        |f| f.disk = Some(DiskStatus { free_bytes: DISK_LOW_BYTES - 1, free_inodes: None, full: false }),
        &[HealthCode::DiskLow],
    ),
    (
        "disk full",
        |f| f.disk = Some(DiskStatus { free_bytes: u64::MAX, free_inodes: None, full: true }),
        &[HealthCode::DiskLow],
    ),
    (
        "few inodes",
        |f| {
            f.disk =
                Some(DiskStatus { free_bytes: u64::MAX, free_inodes: Some(DISK_LOW_INODES - 1), full: false })
        },
        &[HealthCode::DiskLow],
    ),
    ("disk unknown", |f| f.disk = None, &[]),
    ("equivocation", |f| equivocation(f, 1), &[HealthCode::Equivocation]),
    ("equivocation of yesterday", |f| equivocation(f, INCIDENT_SHOWN_MS), &[]),
    ("what lasts", |f| problem(f, Some(HealthCode::ConfigBad)), &[HealthCode::ConfigBad]),
    ("what merely happened", |f| problem(f, None), &[]),
    (
        "several, worst first",
        |f| {
            down(&mut f.peers[1], 90_000);
            problem(f, Some(HealthCode::ConfigBad));
            f.clock.ok = false;
        },
        &[HealthCode::ClockOff, HealthCode::ConfigBad, HealthCode::PeerDown],
    ),
];

#[test]
fn every_rule_says_its_reason_and_only_in_its_time() {
    for (case, change, expected) in RULES {
        let mut facts = facts();
        change(&mut facts);
        judge(&mut facts);
        let codes: Vec<HealthCode> = facts.health.iter().map(|health| health.code).collect();
        assert_eq!(codes, *expected, "{case}");
        assert_eq!(facts.ok, expected.is_empty() && !facts.starting, "{case}");
        for health in &facts.health {
            assert!(!health.what.is_empty() && !health.hint.is_empty(), "{case}: {health:?}");
        }
    }
}

fn down(peer: &mut PeerStatus, ms: u64) {
    peer.connected = false;
    peer.address = None;
    peer.since = ago(ms);
    peer.down_cause = Some("connection refused".into());
}

fn without_address(peer: &mut PeerStatus, was_connected: bool) {
    down(peer, 90_000);
    peer.addresses.clear();
    peer.was_connected = was_connected;
}

fn fresh_connection(facts: &mut Snapshot) {
    facts.peers[0].last_frame = None;
    facts.peers[0].since = ago(10_000);
}

fn equivocation(facts: &mut Snapshot, ms: u64) {
    let last = NOW.minus_ms(ms);
    facts.equivocations.push(Equivocation { publisher: name("cert-pl"), count: 1, last, id: None });
}

fn problem(facts: &mut Snapshot, code: Option<HealthCode>) {
    let what = "peers/cert-pl.toml:7: unknown key \"tlp-max\"".to_owned();
    facts.errors.push(ShownProblem { at: NOW, what, hint: Some("did you mean \"tlp_max\"?".into()), code });
}

#[test]
fn the_first_line_says_whether_all_is_well() {
    type Change = fn(&mut Snapshot);
    let table: &[(Change, &str)] = &[
        (|_| {}, "ok: 2 of 2 peers up, all feeds within 2 s, 1 consumer"),
        (|f| f.consumers.clear(), "ok: 2 of 2 peers up, all feeds within 2 s, 0 consumers"),
        (
            |f| {
                f.peers.clear();
                f.consumers.clear();
            },
            "ok: 0 of 0 peers up, 0 consumers",
        ),
        (
            |f| {
                f.uptime_s = 4.0;
                down(&mut f.peers[0], 4_000);
            },
            "starting: 1 of 2 peers are not connected yet: cert-ee",
        ),
        (
            |f| {
                f.uptime_s = 4.0;
                down(&mut f.peers[0], 4_000);
                receiver(f, Some(4_000), None);
            },
            "starting: 1 of 2 peers are not connected yet: cert-ee; doors that have not reached their other end yet: soc",
        ),
        (
            |f| receiver(f, Some(4_000), None),
            "starting: doors that have not reached their other end yet: soc",
        ),
        (
            |f| down(&mut f.peers[0], 1_000),
            "warning: cert-ee was connected until 1 s ago: connection refused; wait, or: intelmesh peer check cert-ee",
        ),
        (
            |f| down(&mut f.peers[0], 11_520_000),
            "warning: cert-ee has been down for 3 h 12 m: connection refused; intelmesh peer check cert-ee",
        ),
        (
            |f| f.peers.iter_mut().for_each(|peer| down(peer, 60_000)),
            "warning: none of 2 peers can be reached; see to this node's network, then: intelmesh peer check cert-ee",
        ),
        (
            |f| {
                f.peers.push(peer("cert-sk"));
                f.peers[..2].iter_mut().for_each(|peer| down(peer, 60_000));
            },
            "warning: 2 of 3 peers are down: cert-ee, cert-pl; intelmesh peer check",
        ),
        (
            |f| {
                down(&mut f.peers[0], 60_000);
                problem(f, Some(HealthCode::ConfigBad));
            },
            "warning: peers/cert-pl.toml:7: unknown key \"tlp-max\" (and 1 more); did you mean \"tlp_max\"?",
        ),
    ];
    for (change, expected) in table {
        let mut facts = facts();
        change(&mut facts);
        judge(&mut facts);
        assert_eq!(health_line(&facts), *expected);
    }
}

#[test]
fn codes_have_the_names_of_the_contract() {
    let listed = "peer_down peer_silent peer_key_changed feed_lagging feed_missing consumer_lagging rejected_by_peer \
                  door_rejects disk_low retention_short clock_off key_expiring config_bad filter_failing equivocation \
                  cloned version_skew door_down no_route name_mismatch unknown_publisher keys_stale not_deliverable";
    let mut ours: Vec<&str> = HealthCode::ALL.iter().map(|code| code.as_str()).collect();
    let mut theirs: Vec<&str> = listed.split_whitespace().collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
    for code in HealthCode::ALL {
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
        assert_eq!(HealthCode::parse(code.as_str()), Some(code));
    }
}

#[test]
fn unknown_is_absent_and_a_snapshot_reads_back() {
    let mut facts = facts();
    facts.peers[0].sent.lag_s = None;
    facts.peers[0].sent.position = None;
    judge(&mut facts);
    let text = serde_json::to_string(&facts).unwrap();
    assert!(text.starts_with(r#"{"schema":"intelmesh.status/1","name":"cert-at""#), "{text}");
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let sent = &value["peers"][0]["sent"];
    assert!(sent.get("lag_s").is_none() && sent.get("position").is_none(), "{sent}");
    assert!(value["peers"][0].get("last_error").is_some_and(serde_json::Value::is_null));
    assert_eq!(serde_json::from_str::<Snapshot>(&text).unwrap(), facts);
}

#[test]
fn spans_and_sizes_have_two_units_and_three_digits() {
    for (seconds, text) in
        [(0, "0 s"), (59, "59 s"), (61, "1 m 1 s"), (11_520, "3 h 12 m"), (400_000, "4 d 15 h")]
    {
        assert_eq!(span_text(seconds), text);
    }
    for (bytes, text) in
        [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (20_000_000_000, "20.0 GB"), (999_600, "1.0 MB")]
    {
        assert_eq!(bytes_text(bytes), text);
    }
}
