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
    let read_to = status.and_then(|status| status.read_to);
    let (state, why) = match (outcome, read_to) {
        (RuleOutcome::Withheld(_) | RuleOutcome::Cut(_), _) => {
            (DeliveryState::Withheld, outcome.reason().map(str::to_owned))
        }
        (RuleOutcome::Shared, Some(seq)) if seq >= entry.seq => (DeliveryState::Passed, None),
        (RuleOutcome::Shared, Some(seq)) => {
            (DeliveryState::NotYet, Some(format!("it has read up to seq {seq}")))
        }
        (RuleOutcome::Shared, None) => {
            (DeliveryState::NotYet, Some("it has read nothing since the node started".to_owned()))
        }
    };
    let record = DeliveryRecord::new(ReaderName::Client(file.name.clone()), state);
    DeliveryRecord { why, rule: Some(rule), ..record }
}
