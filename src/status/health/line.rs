//! The first line of `status`: whether all is well, else the worst reason and what to do.

use super::{HealthCode, listed};
use crate::status::{HealthItem, PeerStatus, Snapshot};

/// `ok: …`, `starting: …` or `warning: …`.
pub(crate) fn health_line(snapshot: &Snapshot) -> String {
    let watched: Vec<&PeerStatus> = snapshot.watched().collect();
    let Some(worst) = snapshot.health.first() else {
        return if snapshot.starting { starting(snapshot, &watched) } else { well(snapshot, &watched) };
    };
    let down: Vec<&HealthItem> =
        snapshot.health.iter().filter(|health| health.code == HealthCode::PeerDown).collect();
    let rest = snapshot.health.len() - 1;
    if worst.code == HealthCode::PeerDown && down.len() > 1 {
        return several_down(&down, watched.len(), snapshot.health.len() - down.len());
    }
    format!("warning: {}{}; {}", worst.what, and_more(rest), worst.hint)
}

fn well(snapshot: &Snapshot, watched: &[&PeerStatus]) -> String {
    let up = watched.iter().filter(|peer| peer.connected).count();
    let lag = watched.iter().flat_map(|peer| [peer.sent.lag_s, peer.received.lag_s]).flatten();
    let feeds = match lag.reduce(f64::max) {
        Some(lag) => format!(", all feeds within {} s", lag.ceil() as u64),
        None => String::new(),
    };
    let consumers = match snapshot.consumers.len() {
        1 => "1 consumer".to_owned(),
        many => format!("{many} consumers"),
    };
    format!("ok: {up} of {} peers up{feeds}, {consumers}", watched.len())
}

fn starting(snapshot: &Snapshot, watched: &[&PeerStatus]) -> String {
    let peers: Vec<&str> =
        watched.iter().filter(|peer| peer.is_away()).map(|peer| peer.name.as_str()).collect();
    let doors = snapshot.doors.iter().filter(|door| door.down.is_some());
    let doors: Vec<&str> = doors.map(|door| door.name.as_str()).collect();
    let mut open = Vec::new();
    if !peers.is_empty() {
        let (away, all) = (peers.len(), watched.len());
        open.push(format!("{away} of {all} peers are not connected yet: {}", listed(&peers)));
    }
    if !doors.is_empty() {
        open.push(format!("doors that have not reached their other end yet: {}", listed(&doors)));
    }
    format!("starting: {}", open.join("; "))
}

fn several_down(down: &[&HealthItem], watched: usize, others: usize) -> String {
    if down.len() == watched {
        let first = down[0].peer.as_ref().map(|peer| format!(" {peer}")).unwrap_or_default();
        return format!(
            "warning: none of {watched} peers can be reached{}; see to this node's network, then: intelmesh peer check{first}",
            and_more(others)
        );
    }
    let names: Vec<&str> = down.iter().filter_map(|health| Some(health.peer.as_ref()?.as_str())).collect();
    format!(
        "warning: {} of {watched} peers are down: {}{}; intelmesh peer check",
        down.len(),
        listed(&names),
        and_more(others)
    )
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" (and {count} more)") }
}
