//! `status --nagios`: one line and an exit code, as plugins of Nagios, Icinga and check_mk give them.

use crate::cli::answer::CommandAnswer;
use crate::cli::failure::{CommandFailure, DONE};
use crate::cli::place::{NodeDirectory, unexpected};
use crate::control::{ControlReply, ControlRequest};
use crate::status::{Snapshot, health_line};
use crate::terminal::shown;

const WARNING: u8 = 1;
const CRITICAL: u8 = 2;
const UNKNOWN: u8 = 3;

/// # Errors
/// Only the exit code: the line is on stdout, also if the node cannot be asked.
pub(crate) fn nagios(place: &NodeDirectory) -> Result<(), CommandFailure> {
    let (exit, line) = match place.ask_if_running(&ControlRequest::Status) {
        Ok(Some(ControlReply::Status(snapshot))) => judged(&snapshot),
        Ok(None) => (
            CRITICAL,
            format!("CRITICAL - no node runs in {}", without_bar(&shown(&place.dir().display().to_string()))),
        ),
        Ok(Some(other)) => (UNKNOWN, format!("UNKNOWN - {}", without_bar(unexpected(&other).first()))),
        Err(failure) => (UNKNOWN, format!("UNKNOWN - {}", without_bar(failure.first()))),
    };
    let mut answer = CommandAnswer::new();
    answer.line(line)?;
    answer.flush()?;
    if exit == DONE { Ok(()) } else { Err(CommandFailure::silent(exit)) }
}

fn judged(snapshot: &Snapshot) -> (u8, String) {
    let (exit, word) = match snapshot.health.as_slice() {
        // Whether it is well is not known yet: a node that restarts again and again must not look well.
        [] if snapshot.starting => (WARNING, "WARNING"),
        [] => (DONE, "OK"),
        health if health.iter().any(|reason| reason.code.is_critical()) => (CRITICAL, "CRITICAL"),
        _ => (WARNING, "WARNING"),
    };
    let line = health_line(snapshot);
    // A node that starts says so: `WARNING - starting: …`.
    let said = ["ok: ", "warning: "].iter().find_map(|head| line.strip_prefix(head)).unwrap_or(&line);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::sample::snapshot;

    /// A node that crashed every 20 s was `OK - starting: …` at each look.
    #[test]
    fn a_starting_node_is_a_warning() {
        let mut starting = snapshot(3.0, &[("cert-ee", false, 0)]);
        assert_eq!(judged(&starting).0, DONE);
        starting.starting = true;
        let (exit, line) = judged(&starting);
        assert_eq!(exit, WARNING);
        assert!(line.starts_with("WARNING - starting: "), "{line}");
    }
}
