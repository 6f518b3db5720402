//! The families of metrics, as tables: name, kind, help, and how each value is read from the facts of `status`. A value
//! that is not known has no sample.

use std::collections::BTreeSet;

use super::text::{Kind, Label, MetricsText};
use crate::status::{
    ClientStatus, ConsumerState, ConsumerStatus, DoorStatus, DoorWay, HealthCode, PeerState, PeerStatus,
    Snapshot, SubmitState,
};
use crate::time::Timestamp;

/// One family, of things of one sort.
struct Family<T: 'static> {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// Labels beside the name of the thing, and the value.
    series: &'static [Series<T>],
}

type Series<T> = (&'static [Label<'static>], fn(&T) -> Option<f64>);

const SENT: &[Label<'static>] = &[("direction", "sent")];
const RECEIVED: &[Label<'static>] = &[("direction", "received")];

macro_rules! families {
    ($($kind:ident $name:literal $help:literal { $($labels:expr => $read:expr),+ $(,)? })+) => {
        &[$(Family {
            name: concat!("intelmesh_", $name),
            kind: Kind::$kind,
            help: $help,
            series: &[$(($labels, $read)),+],
        }),+]
    };
}

const NODE: &[Family<Snapshot>] = families! {
    Gauge "ok" "1 if nothing is wrong, as the first line of status" { &[] => |it| flag(it.ok) }
    Gauge "starting" "1 while only connections that are not up yet are missing" { &[] => |it| flag(it.starting) }
    Gauge "clock_ok" "0 while wall clock and steady time disagree" { &[] => |it| flag(it.clock.ok) }
    Gauge "journal_first_seq" "Oldest entry of the journal" { &[] => |it| count(it.journal.first_seq) }
    Gauge "journal_last_seq" "Newest entry of the journal" { &[] => |it| count(it.journal.last_seq) }
    Gauge "journal_bytes" "Size of the journal" { &[] => |it| count(it.journal.bytes) }
    Gauge "journal_keep_bytes" "Size at which the journal drops its oldest entries" {
        &[] => |it| it.journal.keep_bytes.map(|bytes| bytes as f64)
    }
    Gauge "journal_oldest_timestamp_seconds" "Arrival of the oldest entry" { &[] => |it| time(it.journal.oldest) }
    Gauge "disk_free_bytes" "Free space on the file system of the journal" {
        &[] => |it| it.disk.as_ref().and_then(|disk| count(disk.free_bytes))
    }
    Gauge "disk_free_inodes" "Files that can still be made there" {
        &[] => |it| it.disk.as_ref()?.free_inodes.and_then(count)
    }
    Gauge "disk_full" "1 while nothing can be stored" { &[] => |it| it.disk.as_ref().and_then(|disk| flag(disk.full)) }
    Gauge "seen_ids" "Identities in the seen set" { &[] => |it| count(it.seen.ids) }
    Gauge "seen_bytes" "Size of the seen set" { &[] => |it| count(it.seen.bytes) }
    Gauge "seen_floor_timestamp_seconds" "From here on the seen set is complete" { &[] => |it| time(it.seen.floor) }
    Gauge "strangers" "Unknown keys that tried to connect" { &[] => |it| count(it.strangers.len() as u64) }
    Counter "unknown_publisher_events_total" "Events rejected because their publisher is not trusted here" {
        &[] => |it| count(it.unknown_publishers.iter().map(|publisher| publisher.events).sum())
    }
    Counter "equivocations_total" "Events of which two contents were signed" {
        &[] => |it| count(it.equivocations.iter().map(|publisher| publisher.count).sum())
    }
    Counter "cannot_open_total" "Events sealed for this node that it could not open" {
        &[] => |it| count(it.cannot_open.as_ref().map_or(0, |events| events.count))
    }
    Gauge "not_deliverable_events" "Events of this node that none of their recipients can get" {
        &[] => |it| count(it.not_deliverable.as_ref().map_or(0, |events| events.events))
    }
};

const PEER: &[Family<PeerStatus>] = families! {
    Gauge "peer_state" "1 for the state that holds" {
        &[("state", "trusted")] => |it| flag(it.state == PeerState::Trusted),
        &[("state", "paused")] => |it| flag(it.state == PeerState::Paused),
        &[("state", "revoked")] => |it| flag(it.state == PeerState::Revoked),
    }
    Gauge "peer_connected" "1 while connected" { &[] => |it| flag(it.connected) }
    Gauge "peer_watched" "1 if it has to be connected for all to be well: trusted, and not publisher_only" {
        &[] => |it| flag(it.is_watched())
    }
    Gauge "peer_verified" "1 if the fingerprint was compared" { &[] => |it| flag(it.verified) }
    Gauge "peer_since_timestamp_seconds" "Last change of the connection" { &[] => |it| time(it.since) }
    Gauge "peer_last_frame_timestamp_seconds" "Arrival of the last frame" { &[] => |it| time(it.last_frame) }
    Gauge "peer_last_event_timestamp_seconds" "Arrival of the last event" { &[] => |it| time(it.last_event) }
    Gauge "peer_expect_every_seconds" "How often its file expects an event" {
        &[] => |it| it.expect_every_s.and_then(count)
    }
    Gauge "peer_clock_skew_seconds" "Their clock minus ours" { &[] => |it| it.skew_ms.map(|ms| ms as f64 / 1_000.0) }
    Gauge "feed_position" "Last seq acknowledged: of our journal if sent, of theirs if received" {
        SENT => |it| it.sent.position.and_then(count),
        RECEIVED => |it| it.received.position.and_then(count),
    }
    Gauge "feed_lag_events" "Entries behind that position" {
        SENT => |it| it.sent.lag_events.and_then(count),
        RECEIVED => |it| it.received.lag_events.and_then(count),
    }
    Gauge "feed_lag_seconds" "Age of the oldest entry that its reader may have and has not acknowledged" {
        SENT => |it| it.sent.lag_s,
        RECEIVED => |it| it.received.lag_s,
    }
    Gauge "feed_owed" "Entries of the peer that are still to be taken" { &[] => |it| count(it.received.owed) }
    Counter "envelopes_offered_total" "Envelopes that were offered" {
        SENT => |it| count(it.sent.offered),
        RECEIVED => |it| count(it.received.offered),
    }
    Counter "envelopes_total" "Envelopes by outcome: refused are duplicates, withheld were never offered" {
        &[("direction", "sent"), ("outcome", "accepted")] => |it| count(it.sent.accepted),
        &[("direction", "sent"), ("outcome", "refused")] => |it| count(it.sent.refused),
        &[("direction", "sent"), ("outcome", "rejected")] => |it| count(it.sent.rejected),
        &[("direction", "sent"), ("outcome", "withheld")] => |it| count(it.sent.withheld),
        &[("direction", "received"), ("outcome", "accepted")] => |it| count(it.received.accepted),
        &[("direction", "received"), ("outcome", "refused")] => |it| count(it.received.refused),
        &[("direction", "received"), ("outcome", "rejected")] => |it| count(it.received.rejected),
        &[("direction", "received"), ("outcome", "missing")] => |it| count(it.received.missing),
    }
    Counter "filter_errors_total" "Events for which a filter had no answer, since it changed" {
        SENT => |it| count(it.sent.filter_failing.as_ref().map_or(0, |failing| failing.count)),
        RECEIVED => |it| count(it.received.filter_failing.as_ref().map_or(0, |failing| failing.count)),
    }
};

const CONSUMER: &[Family<ConsumerStatus>] = families! {
    Gauge "consumer_connected" "1 while it reads" { &[] => |it| flag(it.connected) }
    Gauge "consumer_position" "Last seq that it has acknowledged" { &[] => |it| count(it.position) }
    Gauge "consumer_lag_events" "Entries behind its position" { &[] => |it| it.lag_events.and_then(count) }
    Gauge "consumer_lag_seconds" "Age of the oldest entry that it has not acknowledged" { &[] => |it| it.lag_s }
    Counter "consumer_missing_total" "Entries that it had not read when retention took them" {
        &[] => |it| count(it.missing)
    }
    Counter "consumer_not_converted_total" "Events that have no form in the format that it asked for" {
        &[] => |it| count(it.not_converted.as_ref().map_or(0, |events| events.count))
    }
};

const DOOR: &[Family<DoorStatus>] = families! {
    Gauge "door_up" "0 while a door cannot reach its other end" { &[] => |it| flag(it.down.is_none()) }
    Gauge "door_aside" "Events set aside for the operator" {
        &[] => |it| count(it.aside.as_ref().map_or(0, |aside| aside.lines))
    }
    Gauge "door_clients" "Connections to a submit door" { &[] => |it| count(submit(it)?.clients) }
    Counter "submissions_total" "Events taken at a submit door, by outcome" {
        &[("outcome", "accepted")] => |it| count(submit(it)?.accepted),
        &[("outcome", "duplicate")] => |it| count(submit(it)?.duplicates),
        &[("outcome", "rejected")] => |it| count(submit(it)?.rejects),
    }
    Gauge "door_connected" "1 while a receiver takes events at a consumer door" {
        &[] => |it| flag(consumer(it)?.connected)
    }
    Counter "handoffs_total" "Events at a consumer door, by outcome; adapted ones are handed over too" {
        &[("outcome", "handed")] => |it| count(consumer(it)?.handed),
        &[("outcome", "adapted")] => |it| count(consumer(it)?.adapted),
        &[("outcome", "set_aside")] => |it| count(consumer(it)?.set_aside),
        &[("outcome", "expired")] => |it| count(consumer(it)?.expired),
    }
};

const CLIENT: &[Family<ClientStatus>] = families! {
    Gauge "client_connected" "1 while a request of the client is answered" { &[] => |it| flag(it.connected) }
    Gauge "client_last_request_timestamp_seconds" "Its last request" { &[] => |it| time(it.last) }
    Counter "client_events_total" "Events of a client, by what became of them" {
        &[("outcome", "handed")] => |it| count(it.handed),
        &[("outcome", "posted")] => |it| count(it.posted),
        &[("outcome", "refused")] => |it| count(it.refused),
    }
};

pub(crate) fn write(text: &mut MetricsText, snapshot: &Snapshot) {
    text.family("intelmesh_build_info", Kind::Gauge, "Version of the program");
    text.sample(&[("version", &snapshot.version), ("name", snapshot.name.as_str())], 1.0);
    health(text, snapshot);
    each(text, NODE, &[([], snapshot)]);
    let peers: Vec<_> = snapshot.peers.iter().map(|peer| ([("peer", peer.name.as_str())], peer)).collect();
    each(text, PEER, &peers);
    text.family("intelmesh_withheld_total", Kind::Counter, "Envelopes that were not offered, by reason");
    for (peer, (reason, events)) in
        snapshot.peers.iter().flat_map(|peer| peer.sent.withheld_why.iter().map(move |why| (peer, why)))
    {
        text.sample(&[("peer", peer.name.as_str()), ("reason", reason)], *events as f64);
    }
    let consumers: Vec<_> =
        snapshot.consumers.iter().map(|at| ([("consumer", at.name.as_str())], at)).collect();
    each(text, CONSUMER, &consumers);
    let doors: Vec<_> = snapshot.doors.iter().map(|door| ([("door", door.name.as_str())], door)).collect();
    each(text, DOOR, &doors);
    let clients: Vec<_> =
        snapshot.clients.iter().map(|client| ([("client", client.name.as_str())], client)).collect();
    each(text, CLIENT, &clients);
}

/// Each code has at least one sample, so that a rule about it never lacks its data.
fn health(text: &mut MetricsText, snapshot: &Snapshot) {
    text.family("intelmesh_health", Kind::Gauge, "1 while this is wrong; the codes are those of status");
    for code in HealthCode::ALL {
        let these = snapshot.health.iter().filter(|item| item.code == code);
        let subjects: BTreeSet<_> = these
            .map(|item| {
                let peer = item.peer.as_ref().map_or("", |name| name.as_str());
                (peer, item.door.as_deref().unwrap_or(""), item.consumer.as_deref().unwrap_or(""))
            })
            .collect();
        if subjects.is_empty() {
            text.sample(&health_labels(code, ("", "", "")), 0.0);
        }
        for subject in subjects {
            text.sample(&health_labels(code, subject), 1.0);
        }
    }
}

fn health_labels<'a>(
    code: HealthCode,
    (peer, door, consumer): (&'a str, &'a str, &'a str),
) -> [Label<'a>; 4] {
    [("code", code.as_str()), ("peer", peer), ("door", door), ("consumer", consumer)]
}

fn each<'a, T: 'static, const N: usize>(
    text: &mut MetricsText,
    families: &[Family<T>],
    things: &[([Label<'a>; N], &T)],
) {
    for family in families {
        text.family(family.name, family.kind, family.help);
        for (name, thing) in things {
            for (labels, read) in family.series {
                let Some(value) = read(thing) else { continue };
                text.sample(&[name.as_slice(), labels].concat(), value);
            }
        }
    }
}

fn flag(holds: bool) -> Option<f64> {
    Some(f64::from(u8::from(holds)))
}

/// Above 2^53 it is rounded, as everything in Prometheus.
fn count(number: u64) -> Option<f64> {
    Some(number as f64)
}

fn time(at: Option<Timestamp>) -> Option<f64> {
    at.map(|at| at.0 as f64 / 1_000.0)
}

fn submit(door: &DoorStatus) -> Option<&SubmitState> {
    match &door.way {
        DoorWay::Submit(state) => Some(state),
        DoorWay::Consumer(_) => None,
    }
}

fn consumer(door: &DoorStatus) -> Option<&ConsumerState> {
    match &door.way {
        DoorWay::Consumer(state) => Some(state),
        DoorWay::Submit(_) => None,
    }
}
