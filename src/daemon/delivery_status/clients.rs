//! Whether a client of the HTTP door was handed an event: the rule is its file's, and how far it has read is known since
//! the start.

use super::DeliverySources;
use crate::config::ClientFile;
use crate::control::{DeliveryRecord, DeliveryState, ReaderName};
use crate::explain::{self, RuleOutcome};
use crate::record::Entry;

pub(super) fn client(entry: &Entry, file: &ClientFile, sources: &DeliverySources<'_>) -> DeliveryRecord {
    let core = entry.envelope.core();
    let (outcome, rule) = explain::share_with_client(core, &entry.path, &sources.own, file, sources.now);
    let status = sources.client_status.iter().find(|status| status.name == file.name);
    let (state, why) = match (outcome, status.and_then(|status| status.read.as_ref())) {
        (RuleOutcome::Withheld(_) | RuleOutcome::Cut(_), _) => {
            (DeliveryState::Withheld, outcome.reason().map(str::to_owned))
        }
        (RuleOutcome::Shared, None) => {
            (DeliveryState::NotYet, Some("it has read nothing since the node started".to_owned()))
        }
        (RuleOutcome::Shared, Some(read)) if entry.seq > read.to => {
            (DeliveryState::NotYet, Some(format!("it has read up to seq {}", read.to)))
        }
        (RuleOutcome::Shared, Some(read)) if entry.seq <= read.after => {
            let why = format!("since the node started it has read from seq {} on", read.after + 1);
            (DeliveryState::NotYet, Some(why))
        }
        (RuleOutcome::Shared, Some(_)) => (DeliveryState::Passed, None),
    };
    let record = DeliveryRecord::new(ReaderName::Client(file.name.clone()), state);
    DeliveryRecord { why, rule: Some(rule), ..record }
}
