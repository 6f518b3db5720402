//! `status --nagios`: one line and an exit code, as plugins of Nagios, Icinga and check_mk give them.

use super::ask;
use crate::cli::answer::CommandAnswer;
use crate::cli::failure::{CommandFailure, DONE};
use crate::cli::place::NodeDirectory;
use crate::status::{Snapshot, health_line};

const WARNING: u8 = 1;
const CRITICAL: u8 = 2;
const UNKNOWN: u8 = 3;

/// # Errors
/// Only the exit code: the line is on stdout, also if the node cannot be asked.
pub fn nagios(place: &NodeDirectory) -> Result<(), CommandFailure> {
    let (exit, line) = match ask(place) {
        Ok(snapshot) => judged(&snapshot),
        Err(failure) => (UNKNOWN, format!("UNKNOWN - {}", without_bar(failure.first()))),
    };
    let mut answer = CommandAnswer::new();
    answer.line(line)?;
    answer.flush()?;
    if exit == DONE { Ok(()) } else { Err(CommandFailure::silent(exit)) }
}

fn judged(snapshot: &Snapshot) -> (u8, String) {
    let (exit, word) = match snapshot.health.as_slice() {
        [] => (DONE, "OK"),
        health if health.iter().any(|reason| reason.code.is_critical()) => (CRITICAL, "CRITICAL"),
        _ => (WARNING, "WARNING"),
    };
    let line = health_line(snapshot);
    let (_, said) = line.split_once(": ").unwrap_or(("", &line));
    (exit, format!("{word} - {} | {}", without_bar(said), figures(snapshot)))
}

/// `label=value[unit];warn;crit;min;max`, with blanks between.
fn figures(snapshot: &Snapshot) -> String {
    let watched = snapshot.watched().count();
    let up = snapshot.watched().filter(|peer| peer.connected).count();
    let longest = |lags: &mut dyn Iterator<Item = Option<f64>>| lags.flatten().fold(0.0, f64::max);
    let sent = longest(&mut snapshot.peers.iter().map(|peer| peer.sent.lag_s));
    let received = longest(&mut snapshot.peers.iter().map(|peer| peer.received.lag_s));
    let consumers = longest(&mut snapshot.consumers.iter().map(|consumer| consumer.lag_s));
    let accepted: u64 = snapshot.peers.iter().map(|peer| peer.received.accepted).sum();
    let aside: u64 =
        snapshot.doors.iter().filter_map(|door| door.aside.as_ref()).map(|aside| aside.lines).sum();
    let keep = snapshot.journal.keep_bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
    let mut figures = vec![
        format!("peers_up={up};;;0;{watched}"),
        format!("sent_lag={sent:.1}s;;;0"),
        format!("received_lag={received:.1}s;;;0"),
        format!("consumer_lag={consumers:.1}s;;;0"),
        format!("received={accepted}c"),
        format!("set_aside={aside};;;0"),
        format!("journal={}B;;;0;{keep}", snapshot.journal.bytes),
    ];
    figures.extend(snapshot.disk.as_ref().map(|disk| format!("disk_free={}B;;;0", disk.free_bytes)));
    figures.join(" ")
}

/// The bar begins the figures.
fn without_bar(text: &str) -> String {
    text.replace('|', "/")
}
