//! `status` for people: at most 80 columns, the verdict first, then peers, journal, consumers, doors, strangers and
//! errors. Words carry everything; there is no colour. Times are RFC 3339 in UTC.

use comfy_table::{CellAlignment, Table, presets};

use super::health::{bytes_text, health_line, span_text};
use super::{DoorWay, HealthCode, HealthItem, PeerState, PeerStatus, Snapshot};
use crate::terminal::{Lines, shown};
use crate::time::Timestamp;

/// Errors shown; all of them are in the JSON.
const ERRORS_SHOWN: usize = 8;
const STRANGERS_SHOWN: usize = 5;
/// Reasons of one code that are shown one by one.
const ALIKE_SHOWN: usize = 3;

/// The whole of `status`.
pub(crate) fn render(snapshot: &Snapshot, now: Timestamp) -> Lines {
    let mut lines = Lines::default();
    lines.push(health_line(snapshot));
    reasons(snapshot, &mut lines);
    let uptime = span_text(snapshot.uptime_s.max(0.0) as u64);
    lines.blank();
    lines.push(format!("{}, intelmesh {}, up {uptime}", snapshot.name, snapshot.version));
    lines.push(format!("key {}", snapshot.key));
    peers(snapshot, now, &mut lines);
    store(snapshot, now, &mut lines);
    consumers(snapshot, &mut lines);
    clients(snapshot, &mut lines);
    cannot_open(snapshot, &mut lines);
    doors(snapshot, &mut lines);
    strangers(snapshot, &mut lines);
    errors(snapshot, &mut lines);
    lines
}

/// All but the first, which the first line has. Many of one code are one line.
fn reasons(snapshot: &Snapshot, lines: &mut Lines) {
    let mut at = 1;
    while let Some(health) = snapshot.health.get(at) {
        let alike: Vec<&HealthItem> =
            snapshot.health.iter().skip(at).take_while(|other| other.code == health.code).collect();
        let code = health.code.as_str();
        for one in alike.iter().take(ALIKE_SHOWN) {
            lines.push(format!("  {code}: {}; {}", one.what, one.hint));
        }
        if alike.len() > ALIKE_SHOWN {
            lines.push(format!("  {code}: and {} more (--json shows all)", alike.len() - ALIKE_SHOWN));
        }
        at += alike.len();
    }
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

/// A cell with a line end in it would become two rows.
fn row(table: &mut Table, name: &str, cells: impl IntoIterator<Item = String>) {
    let cells = std::iter::once(name.to_owned()).chain(cells);
    table.add_row(cells.map(|cell| shown(&cell).into_owned()));
}

fn push(table: &Table, lines: &mut Lines) {
    table.lines().for_each(|line| lines.push(line.trim_end()));
}

fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| span_text(value.ceil() as u64))
}

/// `3 ms`, `-2 h 0 m`.
fn skew_text(skew_ms: i64) -> String {
    match skew_ms.unsigned_abs() {
        ms @ ..1_000 => format!("{}{ms} ms", if skew_ms < 0 { "-" } else { "" }),
        ms => format!("{}{}", if skew_ms < 0 { "-" } else { "" }, span_text(ms / 1_000)),
    }
}

fn peer_state(peer: &PeerStatus, now: Timestamp) -> String {
    let since =
        peer.since.map(|since| format!(" {}", span_text(now.since_ms(since) / 1000))).unwrap_or_default();
    match (peer.state, peer.connected) {
        (PeerState::Paused, _) => "paused".to_owned(),
        (PeerState::Revoked, _) => "REVOKED".to_owned(),
        (PeerState::Trusted, true) => format!("up{since}"),
        (PeerState::Trusted, false) if peer.publisher_only => "publisher only".to_owned(),
        (PeerState::Trusted, false) => format!("DOWN{since}"),
    }
}

fn peers(snapshot: &Snapshot, now: Timestamp, lines: &mut Lines) {
    lines.blank();
    if snapshot.peers.is_empty() {
        lines.push("no peers yet: exchange invitations (intelmesh invite, intelmesh peer add)");
        return;
    }
    let gap = gap(snapshot);
    let mut state = table(&["PEERS", "state", "skew", "sent lag", "age", "recv lag", "age"], gap);
    let mut sent =
        table(&["SENT", "offered", "accepted", "refused", "deferred", "rejected", "withheld"], gap);
    let mut received = table(
        &["RECEIVED", "offered", "accepted", "refused", "deferred", "rejected", "missing", "owed"],
        gap,
    );
    for peer in &snapshot.peers {
        let (out, back) = (&peer.sent, &peer.received);
        let cells = [
            peer_state(peer, now),
            peer.skew_ms.map_or_else(|| "-".to_owned(), skew_text),
            known(out.lag_events),
            seconds(out.lag_s),
            known(back.lag_events),
            seconds(back.lag_s),
        ];
        row(&mut state, peer.name.as_str(), cells);
        counts(
            &mut sent,
            peer,
            &[out.offered, out.accepted, out.refused, out.deferred, out.rejected, out.withheld],
        );
        counts(
            &mut received,
            peer,
            &[
                back.offered,
                back.accepted,
                back.refused,
                back.deferred,
                back.rejected,
                back.missing,
                back.owed,
            ],
        );
    }
    push(&state, lines);
    last_errors(snapshot, lines);
    for table in [&sent, &received] {
        if table.row_count() > 0 {
            lines.blank();
            push(table, lines);
        }
    }
}

/// Adds a row of counts; a peer gets none if nothing was exchanged with it since the start.
fn counts(table: &mut Table, peer: &PeerStatus, counts: &[u64]) {
    if counts.iter().any(|count| *count > 0) {
        row(table, peer.name.as_str(), counts.iter().map(u64::to_string));
    }
}

/// Shows the last errors of peers that health does not mention.
fn last_errors(snapshot: &Snapshot, lines: &mut Lines) {
    for peer in &snapshot.peers {
        let told = snapshot.health.iter().any(|health| health.peer.as_ref() == Some(&peer.name));
        if let Some(error) = peer.last_error.as_ref().filter(|_| !told) {
            lines.push(format!("  {}: last error: {error}", peer.name));
        }
    }
}

fn store(snapshot: &Snapshot, now: Timestamp, lines: &mut Lines) {
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
    lines.blank();
    lines.push(format!("JOURNAL    {held}, {}{of}{oldest}{keep}{free}", bytes_text(journal.bytes)));
    lines.push(format!("SEEN       {} ids, {}{floor}", snapshot.seen.ids, bytes_text(snapshot.seen.bytes)));
    lines.push(format!("CLOCK      {clock}"));
}

fn consumers(snapshot: &Snapshot, lines: &mut Lines) {
    lines.blank();
    if snapshot.consumers.is_empty() {
        lines.push("no consumers: nobody has read from run/out.sock yet");
        return;
    }
    let mut table = table(&["CONSUMERS", "connected", "position", "lag", "age", "missing"], gap(snapshot));
    for consumer in &snapshot.consumers {
        let cells = [
            if consumer.connected { "yes" } else { "no" }.to_owned(),
            consumer.position.to_string(),
            known(consumer.lag_events),
            seconds(consumer.lag_s),
            consumer.missing.to_string(),
        ];
        row(&mut table, &consumer.name, cells);
    }
    push(&table, lines);
    for consumer in &snapshot.consumers {
        let Some(left_out) = &consumer.not_converted else { continue };
        lines.push(format!("  {}: {} events not converted", consumer.name, left_out.count));
        lines.push(format!("    {} {}: {}", left_out.at, left_out.id, left_out.reason));
    }
}

fn cannot_open(snapshot: &Snapshot, lines: &mut Lines) {
    let Some(closed) = &snapshot.cannot_open else { return };
    lines.blank();
    lines.push(format!("CANNOT OPEN {} events that were sealed for this node", closed.count));
    lines.push(format!("  {} {}: {}", closed.at, closed.id, closed.reason));
}

fn doors(snapshot: &Snapshot, lines: &mut Lines) {
    let gap = gap(snapshot);
    let mut submits = table(&["DOORS IN", "clients", "accepted", "duplicates", "rejects", "in aside/"], gap);
    let mut consumers =
        table(&["DOORS OUT", "connected", "handed", "adapted", "set aside", "in aside/"], gap);
    let (mut into, mut out) = (Lines::default(), Lines::default());
    for door in &snapshot.doors {
        let aside = door.aside.as_ref().map_or(0, |aside| aside.lines).to_string();
        let error =
            door.last_error.as_ref().map(|error| format!(", last error: {error}")).unwrap_or_default();
        match &door.way {
            DoorWay::Submit(state) => {
                let counts = [state.clients, state.accepted, state.duplicates, state.rejects];
                let counts = counts.iter().map(u64::to_string).chain([aside]);
                row(&mut submits, &door.name, counts);
                into.push(format!("  {} ({}): {}{error}", door.name, state.from, state.at));
            }
            DoorWay::Consumer(state) => {
                let connected = if state.connected { "yes" } else { "no" }.to_owned();
                let counts = [state.handed, state.adapted, state.set_aside].map(|count| count.to_string());
                row(&mut consumers, &door.name, [connected].into_iter().chain(counts).chain([aside]));
                let held = state.held.as_ref().map(|held| format!(", held: {held}")).unwrap_or_default();
                out.push(format!("  {} ({}): {}{held}{error}", door.name, state.to, state.at));
            }
        }
    }
    for (table, of_them) in [(&submits, into), (&consumers, out)] {
        if !of_them.is_empty() {
            lines.blank();
            push(table, lines);
            lines.append(&of_them);
        }
    }
}

fn clients(snapshot: &Snapshot, lines: &mut Lines) {
    if snapshot.clients.is_empty() {
        return;
    }
    let mut table = table(&["CLIENTS", "last request", "handed", "posted", "refused"], gap(snapshot));
    for client in &snapshot.clients {
        let counts = [client.handed, client.posted, client.refused].map(|count| count.to_string());
        let last = client.last.map_or_else(|| "never".to_owned(), |at| at.to_string());
        row(&mut table, client.name.as_str(), std::iter::once(last).chain(counts));
    }
    lines.blank();
    push(&table, lines);
}

fn strangers(snapshot: &Snapshot, lines: &mut Lines) {
    if snapshot.strangers.is_empty() {
        return;
    }
    lines.blank();
    lines.push("STRANGERS: connections from unknown keys, refused");
    for stranger in snapshot.strangers.iter().take(STRANGERS_SHOWN) {
        lines.push(format!(
            "  {} {} from {}, {} times",
            stranger.last, stranger.key, stranger.address, stranger.count
        ));
    }
    rest(snapshot.strangers.len(), STRANGERS_SHOWN, lines);
}

/// Shows the errors that are over. Those that last belong to health, and stand above.
fn errors(snapshot: &Snapshot, lines: &mut Lines) {
    let lasts = |code: Option<HealthCode>| {
        code.is_some_and(|code| snapshot.health.iter().any(|health| health.code == code))
    };
    let past: Vec<_> = snapshot.errors.iter().filter(|problem| !lasts(problem.code)).collect();
    if past.is_empty() {
        return;
    }
    lines.blank();
    lines.push("ERRORS");
    for problem in past.iter().take(ERRORS_SHOWN) {
        lines.push(format!("  {} {}", problem.at, problem.what));
    }
    rest(past.len(), ERRORS_SHOWN, lines);
}

fn rest(count: usize, shown: usize, lines: &mut Lines) {
    if count > shown {
        lines.push(format!("  and {} more (--json shows all)", count - shown));
    }
}

#[cfg(test)]
mod tests;
