//! `status --watch`: peers and consumers with their rates and lags, drawn again every two seconds, and when the terminal
//! gets another size. It only asks; it keeps the rates of the last minutes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use super::ask;
use crate::cli::answer::{CommandAnswer, terminal_size};
use crate::cli::colour;
use crate::cli::failure::CommandFailure;
use crate::cli::place::NodeDirectory;
use crate::cli::stop;
use crate::clock;
use crate::identity::PublisherName;
use crate::status::{PeerState, PeerStatus, Snapshot, health_line, span_text};
use crate::terminal::{shown, wrapped};

const EVERY_MS: u64 = 2_000;
/// Wakes that are waiting to be seen.
const WAKES_MAX: usize = 4;
/// Rates that are kept of each peer: the widest sparkline.
const RATES_MAX: usize = 120;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// From the upper left corner, with nothing below.
const REDRAW: &str = "\x1b[H\x1b[2J";
/// Of a terminal that does not say how large it is, and of a file.
const SIZE_DEFAULT: (usize, usize) = (80, 24);

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    /// Two seconds have passed.
    Turn,
    /// The terminal has another size.
    Resized,
    /// A signal, or nobody reads any more.
    Stop,
}

/// # Errors
/// If the node cannot be asked the first time; later it may be restarting.
pub(crate) fn watch(place: &NodeDirectory) -> Result<(), CommandFailure> {
    let wakes = wakes()?;
    let mut rates = RateTable::default();
    let mut answer = CommandAnswer::new();
    let mut asked = Ok(ask(place)?);
    loop {
        if let Ok(snapshot) = &asked {
            rates.observe(snapshot);
        }
        let next = clock::now().tick.plus_ms(EVERY_MS);
        let woken = loop {
            draw(&mut answer, &asked, &rates)?;
            let left = Duration::from_millis(next.since_ms(clock::now().tick));
            match waited(&wakes, left) {
                Wake::Resized => {}
                woken => break woken,
            }
        };
        if woken == Wake::Stop || answer.is_closed() {
            return Ok(());
        }
        asked = ask(place);
    }
}

fn wakes() -> Result<Receiver<Wake>, CommandFailure> {
    let (wake, wakes) = mpsc::sync_channel(WAKES_MAX);
    let resized = wake.clone();
    // If nobody waits any more, it ends already.
    let stop = move || {
        let _ = wake.send(Wake::Stop);
    };
    stop::on_closed_stdout(stop.clone());
    stop::on_signal(stop)?;
    // If one waits already, the size is read after it.
    stop::on_resize(move || {
        let _ = resized.try_send(Wake::Resized);
    })?;
    Ok(wakes)
}

fn waited(wakes: &Receiver<Wake>, left: Duration) -> Wake {
    match wakes.recv_timeout(left) {
        Ok(wake) => wake,
        Err(RecvTimeoutError::Timeout) => Wake::Turn,
        Err(RecvTimeoutError::Disconnected) => Wake::Stop,
    }
}

fn draw(
    answer: &mut CommandAnswer,
    asked: &Result<Snapshot, CommandFailure>,
    rates: &RateTable,
) -> Result<(), CommandFailure> {
    let size = terminal_size();
    let (columns, rows) = size.unwrap_or(SIZE_DEFAULT);
    let frame = match asked {
        Ok(snapshot) => frame(snapshot, rates, columns, rows),
        Err(failure) => format!("error: {}\n", shown(failure.first())),
    };
    let head = if size.is_some() && !colour::is_dumb() { REDRAW } else { "" };
    answer.bytes(format!("{head}{}", colour::painted(&frame)).as_bytes())?;
    answer.flush()
}

/// Accepted events per second, by peer.
#[derive(Debug, Default)]
struct RateTable {
    /// Uptime of the node at the last look.
    at_s: f64,
    peers: BTreeMap<PublisherName, PeerRates>,
}

#[derive(Debug, Default)]
struct PeerRates {
    /// Counters at the last look: sent, received.
    counts: Option<(u64, u64)>,
    sent: f64,
    received: f64,
    /// Both together, oldest first.
    history: VecDeque<f64>,
}

impl RateTable {
    fn observe(&mut self, snapshot: &Snapshot) {
        // A node that was restarted counts from 0 again.
        let restarted = snapshot.uptime_s <= self.at_s;
        let passed = (snapshot.uptime_s - self.at_s).max(0.1);
        self.at_s = snapshot.uptime_s;
        self.peers.retain(|name, _| snapshot.peers.iter().any(|peer| peer.name == *name));
        for peer in &snapshot.peers {
            let rates = self.peers.entry(peer.name.clone()).or_default();
            let counts = (peer.sent.accepted, peer.received.accepted);
            if let Some(before) = rates.counts.filter(|_| !restarted) {
                rates.sent = counts.0.saturating_sub(before.0) as f64 / passed;
                rates.received = counts.1.saturating_sub(before.1) as f64 / passed;
                rates.history.push_back(rates.sent + rates.received);
                if rates.history.len() > RATES_MAX {
                    rates.history.pop_front();
                }
            }
            rates.counts = Some(counts);
        }
    }
}

/// Returns at most `rows` lines of at most `columns` characters. Peers with trouble come first.
fn frame(snapshot: &Snapshot, rates: &RateTable, columns: usize, rows: usize) -> String {
    let uptime = span_text(snapshot.uptime_s.max(0.0) as u64);
    let first = shown(&health_line(snapshot)).into_owned();
    let mut lines: Vec<String> = wrapped(&first, columns).lines().take(3).map(str::to_owned).collect();
    lines.push(format!("{}, up {uptime}, journal seq {}", snapshot.name, snapshot.journal.last_seq));
    lines.push(String::new());
    let consumers = consumer_lines(snapshot);
    // Two lines around the peers, a blank one, and the last of the terminal: a line end there would scroll.
    let room = rows.saturating_sub(lines.len() + consumers.len().min(rows / 3) + 4).max(3);
    lines.extend(peer_lines(snapshot, rates, columns, room));
    lines.push(String::new());
    lines.extend(consumers);
    lines.truncate(rows.saturating_sub(1).max(4));
    lines
        .iter()
        .map(|line| line.chars().take(columns).collect::<String>().trim_end().to_owned() + "\n")
        .collect()
}

fn peer_lines(snapshot: &Snapshot, rates: &RateTable, columns: usize, room: usize) -> Vec<String> {
    let mut peers: Vec<&PeerStatus> = snapshot.peers.iter().collect();
    let rate =
        |peer: &PeerStatus| rates.peers.get(&peer.name).map_or(0.0, |rates| rates.sent + rates.received);
    peers.sort_by(|a, b| {
        a.connected.cmp(&b.connected).then(lag(b).total_cmp(&lag(a))).then(rate(b).total_cmp(&rate(a)))
    });
    let longest = peers.iter().map(|peer| peer.name.as_str().len()).max().unwrap_or(0);
    let width = longest.clamp(5, columns.saturating_sub(40).max(5));
    let mut lines =
        vec![format!("{:width$}  {:8} {:>8} {:>8} {:>9}  rate", "PEERS", "state", "sent/s", "recv/s", "lag")];
    for peer in peers.iter().take(room) {
        let (sent, received) =
            rates.peers.get(&peer.name).map_or((0.0, 0.0), |rates| (rates.sent, rates.received));
        let name: String = peer.name.as_str().chars().take(width).collect();
        let mut line = format!(
            "{name:width$}  {:8} {sent:>8.1} {received:>8.1} {:>9}  ",
            state(peer),
            span_text(lag(peer) as u64)
        );
        let left = columns.saturating_sub(line.chars().count());
        line.extend(rates.peers.get(&peer.name).map(|rates| sparkline(&rates.history, left)));
        lines.push(line);
    }
    if peers.len() > room {
        lines.push(format!("and {} more", peers.len() - room));
    }
    lines
}

fn consumer_lines(snapshot: &Snapshot) -> Vec<String> {
    let mut consumers: Vec<_> = snapshot.consumers.iter().collect();
    consumers.sort_by_key(|consumer| std::cmp::Reverse(consumer.lag_events.unwrap_or(0)));
    let lines = consumers.iter().map(|consumer| {
        let name = shown(&consumer.name).into_owned();
        let behind = consumer.lag_events.map_or_else(|| "-".to_owned(), |events| events.to_string());
        let age = consumer.lag_s.map(|age| format!(", {}", span_text(age as u64))).unwrap_or_default();
        let reads = if consumer.connected { "" } else { ", not connected" };
        format!("{name}: {behind} behind{age}{reads}")
    });
    let head = (!consumers.is_empty()).then(|| "CONSUMERS".to_owned());
    head.into_iter().chain(lines).collect()
}

/// The older of both directions, in seconds.
fn lag(peer: &PeerStatus) -> f64 {
    peer.sent.lag_s.unwrap_or(0.0).max(peer.received.lag_s.unwrap_or(0.0))
}

const fn state(peer: &PeerStatus) -> &'static str {
    match (peer.state, peer.connected) {
        (PeerState::Paused, _) => "paused",
        (PeerState::Revoked, _) => "REVOKED",
        (PeerState::Trusted, true) => "up",
        (PeerState::Trusted, false) if peer.publisher_only => "-",
        (PeerState::Trusted, false) => "DOWN",
    }
}

/// The latest `width` rates, beside the highest of them.
fn sparkline(history: &VecDeque<f64>, width: usize) -> String {
    let shown = history.iter().skip(history.len().saturating_sub(width));
    let most = shown.clone().copied().fold(0.0, f64::max);
    let bar = |rate: &f64| match (rate / most * 7.0).ceil() {
        share if share.is_finite() => BARS[(share as usize).min(7)],
        _ => BARS[0],
    };
    shown.map(bar).collect()
}

#[cfg(test)]
mod tests;
