//! `status` for people: at most 80 columns, the verdict first, then peers, journal, consumers, strangers and
//! errors. Words carry everything; there is no colour. Times are RFC 3339 in UTC.

use comfy_table::{CellAlignment, Table, presets};

use super::health::{bytes_text, health_line, span_text};
use super::{CannotOpen, DoorWay, Peer, PeerState, Snapshot};
use crate::time::Timestamp;

/// Errors shown; all of them are in the JSON.
const ERRORS_SHOWN: usize = 8;
const STRANGERS_SHOWN: usize = 5;

/// The whole of `status`, ending with a newline.
pub fn render(snapshot: &Snapshot, now: Timestamp) -> String {
    let mut text = health_line(snapshot);
    text.push('\n');
    for health in snapshot.health.iter().skip(1) {
        text += &format!("  {}: {}; {}\n", health.code.as_str(), health.what, health.hint);
    }
    let uptime = span_text(snapshot.uptime_s.max(0.0) as u64);
    text +=
        &format!("\n{}, intelmesh {}, up {uptime}\nkey {}\n", snapshot.name, snapshot.version, snapshot.key);
    text += &peers(snapshot, now);
    text += &store(snapshot, now);
    text += &consumers(snapshot);
    text += &cannot_open(snapshot);
    text += &doors(snapshot);
    text += &strangers(snapshot);
    text += &errors(snapshot);
    text
}

/// Blanks between columns: with the longest names there is room for one.
fn gap(snapshot: &Snapshot) -> u16 {
    let longest = snapshot.peers.iter().map(|peer| peer.name.as_str().len()).max().unwrap_or(0);
    if longest > 16 { 1 } else { 2 }
}

fn table(head: &[&str], gap: u16) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter().copied());
    for column in table.column_iter_mut() {
        column.set_padding((0, gap)).set_cell_alignment(CellAlignment::Right);
    }
    if let Some(first) = table.column_mut(0) {
        first.set_cell_alignment(CellAlignment::Left);
    }
    table
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| span_text(value.ceil() as u64))
}

fn peer_state(peer: &Peer, now: Timestamp) -> String {
    let since =
        peer.since.map(|since| format!(" {}", span_text(now.since_ms(since) / 1000))).unwrap_or_default();
    match (peer.state, peer.connected) {
        (PeerState::Paused, _) => "paused".to_owned(),
        (PeerState::Revoked, _) => "REVOKED".to_owned(),
        (PeerState::Trusted, true) => format!("up{since}"),
        (PeerState::Trusted, false) if peer.addresses.is_empty() => "not dialled".to_owned(),
        (PeerState::Trusted, false) => format!("DOWN{since}"),
    }
}

fn peers(snapshot: &Snapshot, now: Timestamp) -> String {
    if snapshot.peers.is_empty() {
        return "\nno peers yet: exchange invitations (intelmesh invite, intelmesh peer add)\n".to_owned();
    }
    let gap = gap(snapshot);
    let mut state = table(&["PEERS", "state", "skew", "sent lag", "age", "recv lag", "age"], gap);
    let mut sent =
        table(&["SENT", "offered", "accepted", "refused", "deferred", "rejected", "withheld"], gap);
    let mut received = table(
        &["RECEIVED", "offered", "accepted", "refused", "deferred", "rejected", "missing", "owed"],
        gap,
    );
    let mut errors = String::new();
    for peer in &snapshot.peers {
        let (out, back) = (&peer.sent, &peer.received);
        state.add_row([
            peer.name.to_string(),
            peer_state(peer, now),
            peer.skew_ms.map_or_else(|| "-".to_owned(), |skew| format!("{skew} ms")),
            known(out.lag_events),
            seconds(out.lag_s),
            known(back.lag_events),
            seconds(back.lag_s),
        ]);
        let counts = [out.offered, out.accepted, out.refused, out.deferred, out.rejected, out.withheld];
        sent.add_row(row(peer, &counts));
        let counts = [
            back.offered,
            back.accepted,
            back.refused,
            back.deferred,
            back.rejected,
            back.missing,
            back.owed,
        ];
        received.add_row(row(peer, &counts));
        if let Some(error) = &peer.last_error {
            errors += &format!("  {}: last error: {error}\n", peer.name);
        }
    }
    format!("\n{}{errors}\n{}\n{}", lines(&state), lines(&sent), lines(&received))
}

fn row(peer: &Peer, counts: &[u64]) -> Vec<String> {
    std::iter::once(peer.name.to_string()).chain(counts.iter().map(u64::to_string)).collect()
}

fn store(snapshot: &Snapshot, now: Timestamp) -> String {
    let journal = &snapshot.journal;
    let held = match journal.last_seq + 1 - journal.first_seq.min(journal.last_seq + 1) {
        0 => "empty".to_owned(),
        _ => format!("seq {}..{}", journal.first_seq, journal.last_seq),
    };
    let of = journal.keep_bytes.map(|keep| format!(" of {}", bytes_text(keep))).unwrap_or_default();
    let oldest = journal
        .oldest
        .map(|at| format!(", oldest {}", span_text(now.since_ms(at) / 1000)))
        .unwrap_or_default();
    let keep = journal.keep_days.map(|days| format!(" (keep {days} d)")).unwrap_or_default();
    let free = snapshot
        .disk
        .as_ref()
        .map(|disk| format!(", disk free {}", bytes_text(disk.free_bytes)))
        .unwrap_or_default();
    let floor = snapshot.seen.floor.map(|at| format!(", complete since {at}")).unwrap_or_default();
    let clock = if snapshot.clock.ok { "ok" } else { "OFF: nothing expires" };
    format!(
        "\nJOURNAL    {held}, {}{of}{oldest}{keep}{free}\nSEEN       {} ids, {}{floor}\nCLOCK      {clock}\n",
        bytes_text(journal.bytes),
        snapshot.seen.ids,
        bytes_text(snapshot.seen.bytes),
    )
}

fn consumers(snapshot: &Snapshot) -> String {
    if snapshot.consumers.is_empty() {
        return "\nno consumers: nobody has read from run/out.sock yet\n".to_owned();
    }
    let mut table = table(&["CONSUMERS", "connected", "position", "lag", "age", "missing"], gap(snapshot));
    for consumer in &snapshot.consumers {
        table.add_row([
            consumer.name.clone().unwrap_or_else(|| "(no name)".to_owned()),
            if consumer.connected { "yes" } else { "no" }.to_owned(),
            consumer.position.to_string(),
            known(consumer.lag_events),
            seconds(consumer.lag_s),
            consumer.missing.to_string(),
        ]);
    }
    format!("\n{}", lines(&table))
}

fn cannot_open(snapshot: &Snapshot) -> String {
    snapshot.cannot_open.as_ref().map_or_else(String::new, |closed| {
        let CannotOpen { count, id, reason, at } = closed;
        format!("\nCANNOT OPEN {count} events that were sealed for this node\n  {at} {id}: {reason}\n")
    })
}

fn doors(snapshot: &Snapshot) -> String {
    let gap = gap(snapshot);
    let mut submits = table(&["DOORS IN", "clients", "accepted", "duplicates", "rejects", "aside"], gap);
    let mut consumers = table(&["DOORS OUT", "connected", "handed", "adapted", "set aside", "aside"], gap);
    let (mut into, mut out) = (String::new(), String::new());
    for door in &snapshot.doors {
        let aside = door.aside.as_ref().map_or(0, |aside| aside.lines).to_string();
        let error =
            door.last_error.as_ref().map(|error| format!(", last error: {error}")).unwrap_or_default();
        match &door.way {
            DoorWay::Submit(state) => {
                let counts = [state.clients, state.accepted, state.duplicates, state.rejects];
                let counts = counts.iter().map(u64::to_string).chain([aside]);
                submits.add_row(std::iter::once(door.name.clone()).chain(counts));
                into += &format!("  {}: {} at {}{error}\n", door.name, state.from, state.at);
            }
            DoorWay::Consumer(state) => {
                let connected = if state.connected { "yes" } else { "no" }.to_owned();
                let counts = [state.handed, state.adapted, state.set_aside].map(|count| count.to_string());
                let row = [door.name.clone(), connected].into_iter().chain(counts).chain([aside]);
                consumers.add_row(row);
                let held = state.held.as_ref().map(|held| format!(", held: {held}")).unwrap_or_default();
                out += &format!("  {}: {} at {}{held}{error}\n", door.name, state.to, state.at);
            }
        }
    }
    let mut text = String::new();
    for (table, lines_of) in [(&submits, into), (&consumers, out)] {
        if !lines_of.is_empty() {
            text += &format!("\n{}{lines_of}", lines(table));
        }
    }
    text
}

fn strangers(snapshot: &Snapshot) -> String {
    if snapshot.strangers.is_empty() {
        return String::new();
    }
    let mut text = "\nSTRANGERS who knocked\n".to_owned();
    for stranger in snapshot.strangers.iter().take(STRANGERS_SHOWN) {
        text += &format!(
            "  {} {} from {}, {} times\n",
            stranger.last, stranger.key, stranger.address, stranger.count
        );
    }
    text + &rest(snapshot.strangers.len(), STRANGERS_SHOWN)
}

fn errors(snapshot: &Snapshot) -> String {
    if snapshot.errors.is_empty() {
        return String::new();
    }
    let mut text = "\nERRORS\n".to_owned();
    for problem in snapshot.errors.iter().take(ERRORS_SHOWN) {
        text += &format!("  {} {}\n", problem.at, problem.what);
    }
    text + &rest(snapshot.errors.len(), ERRORS_SHOWN)
}

fn rest(count: usize, shown: usize) -> String {
    if count > shown { format!("  and {} more (--json shows all)\n", count - shown) } else { String::new() }
}

#[cfg(test)]
mod tests;
