//! `GET /v1/stats`: how many stored events a client may have, by publisher, type, label and day. The journal is counted
//! once for each client; later requests count what came since. A long count is spread over several requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;

use super::WebState;
use super::clients::ClientHandle;
use super::details::json;
use super::problem::Problem;
use super::query::{known_once, pairs};
use crate::config::ClientFile;
use crate::identity::{LogId, PublisherName};
use crate::limits::{DAY_MS, READ_BYTES, STATS_SCAN_BYTES_MAX};
use crate::policy;
use crate::time::Timestamp;

/// The dimensions of a count, in the order in which they are sorted.
const DIMENSIONS: [&str; 4] = ["publisher", "type", "tlp", "day"];

/// Publisher, type, label, and day of publication.
type CountKey = (PublisherName, &'static str, &'static str, u32);

/// The counts of one client, as far as its journal was counted.
#[derive(Clone)]
struct EventCounts {
    file: Arc<ClientFile>,
    log_id: LogId,
    /// The place before the oldest entry: if retention moved it, the counts are too high.
    floor: u64,
    counted_to: u64,
    counts: BTreeMap<CountKey, u64>,
}

/// The counts of all clients that asked.
#[derive(Default)]
pub(super) struct StatsTable(Mutex<BTreeMap<PublisherName, EventCounts>>);

pub(super) async fn stats(
    State(web): State<Arc<WebState>>,
    Extension(client): Extension<ClientHandle>,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = pairs(&uri)?;
    known_once(&asked, &["by"])?;
    let by: Vec<String> = match asked.first() {
        None => vec!["publisher".to_owned()],
        Some((_, value)) => value.split(',').map(str::to_owned).collect(),
    };
    for (nth, name) in by.iter().enumerate() {
        if !DIMENSIONS.contains(&name.as_str()) || by.iter().take(nth).any(|before| before == name) {
            let expected = DIMENSIONS.join(", ");
            return Err(Problem::bad(format!("invalid by \"{name:.40}\": expected each once of {expected}")));
        }
    }
    let file = client.file().ok_or_else(Problem::unauthorized)?;
    let state = Arc::clone(&web);
    let counted = web.room.work(move || count(&state, file)).await?;
    Ok(json(answer(&by, &counted.counts).to_string().into_bytes()))
}

/// Counts what came since the last time.
fn count(web: &WebState, file: Arc<ClientFile>) -> Result<EventCounts, Problem> {
    let store = &web.services.store;
    let ends = store.ends();
    let known = web.stats.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&file.name);
    let fits = |known: &EventCounts| {
        *known.file == *file && known.log_id == ends.log_id && known.floor == ends.floor.seq
    };
    let mut counted = known.filter(fits).unwrap_or_else(|| EventCounts {
        file: Arc::clone(&file),
        log_id: ends.log_id,
        floor: ends.floor.seq,
        counted_to: ends.floor.seq,
        counts: BTreeMap::new(),
    });
    let mut scanned = 0;
    let done = loop {
        let read =
            store.read_after(counted.counted_to, READ_BYTES).map_err(|error| Problem::unreadable(&error))?;
        counted.counted_to = read.after.seq;
        if read.entries.is_empty() {
            break true;
        }
        for entry in &read.entries {
            let core = entry.envelope.core();
            scanned += entry.envelope.bytes().len();
            counted.counted_to = entry.seq;
            // Stored events: also those that expired since.
            if policy::share_with_client(core, &entry.path, &web.own, &file.share, None).is_ok() {
                let key = (
                    core.id.publisher.clone(),
                    core.event_type.as_str(),
                    core.tlp.as_str(),
                    core.created.day(),
                );
                *counted.counts.entry(key).or_default() += 1;
            }
        }
        if scanned >= STATS_SCAN_BYTES_MAX {
            break false;
        }
    };
    let mut table = web.stats.0.lock().unwrap_or_else(PoisonError::into_inner);
    table.insert(file.name.clone(), counted.clone());
    if done {
        return Ok(counted);
    }
    let detail = format!("events are being counted: {} of {}", counted.counted_to, ends.last.seq);
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1))
}

/// Sums up over the dimensions that were not asked for.
fn answer(by: &[String], counts: &BTreeMap<CountKey, u64>) -> serde_json::Value {
    let mut sums: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for ((publisher, event_type, tlp, day), count) in counts {
        let value = |name: &String| match name.as_str() {
            "publisher" => publisher.to_string(),
            "type" => (*event_type).to_owned(),
            "tlp" => (*tlp).to_owned(),
            _ => Timestamp(u64::from(*day) * DAY_MS).to_string().chars().take(10).collect(),
        };
        *sums.entry(by.iter().map(value).collect()).or_default() += count;
    }
    let row = |(values, count): (&Vec<String>, &u64)| {
        let mut row: serde_json::Map<String, serde_json::Value> =
            by.iter().cloned().zip(values.iter().map(|value| value.as_str().into())).collect();
        row.insert("count".to_owned(), (*count).into());
        serde_json::Value::from(row)
    };
    serde_json::json!({
        "schema": "intelmesh.stats/1",
        "by": by,
        "total": counts.values().sum::<u64>(),
        "counts": sums.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_what_was_not_asked() {
        let name = |text| PublisherName::parse(text).unwrap();
        let counts = BTreeMap::from([
            ((name("cert-at"), "event", "GREEN", 1), 2),
            ((name("cert-at"), "report", "GREEN", 2), 3),
            ((name("cert-ee"), "event", "CLEAR", 1), 5),
        ]);
        let by = ["day".to_owned(), "publisher".to_owned()];
        assert_eq!(
            answer(&by, &counts),
            serde_json::json!({"schema": "intelmesh.stats/1", "by": ["day", "publisher"], "total": 10, "counts": [
                {"day": "1970-01-02", "publisher": "cert-at", "count": 2},
                {"day": "1970-01-02", "publisher": "cert-ee", "count": 5},
                {"day": "1970-01-03", "publisher": "cert-at", "count": 3},
            ]})
        );
    }
}
