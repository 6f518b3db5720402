//! Names in filters that IntelMQ does not know. Such a filter is valid and answers no for every event, so a letter that
//! was mistyped shows in what does not arrive. A receiver's own list of fields counts as well.

use std::collections::BTreeSet;
use std::path::Path;

use super::CheckFindings;
use crate::config::{NODE_FILE, NodeConfig, PeerFiles};
use crate::filter::{Filter, nearest};
use crate::format::intelmq::{Harmonization, classifications};

pub(super) fn check(config: &NodeConfig, peers: &PeerFiles, found: &mut CheckFindings) {
    let known = KnownNames::of(config);
    for peer in &peers.peers {
        for filter in [&peer.peer.share.filter, &peer.peer.receive.filter].into_iter().flatten() {
            known.compare(&peer.file, &peer.text, filter, found);
        }
    }
    let text = std::fs::read_to_string(config.dir.join(NODE_FILE)).unwrap_or_default();
    for filter in config.doors.consumers.iter().filter_map(|door| door.filter.as_ref()) {
        known.compare(Path::new(NODE_FILE), &text, filter, found);
    }
}

struct KnownNames {
    fields: BTreeSet<String>,
    classifications: BTreeSet<&'static str>,
}

impl KnownNames {
    /// IntelMQ's own names, and those that the receivers of this node have.
    fn of(config: &NodeConfig) -> Self {
        let mut fields: BTreeSet<String> =
            Harmonization::intelmq().event_fields().map(str::to_owned).collect();
        for door in &config.doors.consumers {
            if let Some(own) =
                door.form.harmonization.as_ref().and_then(|file| Harmonization::load(file).ok())
            {
                fields.extend(own.event_fields().map(str::to_owned));
            }
        }
        Self { fields, classifications: classifications().collect() }
    }

    fn compare(&self, file: &Path, text: &str, filter: &Filter, found: &mut CheckFindings) {
        let names = filter.names();
        let place = |name: &str| {
            let quoted = [format!("\"{name}\""), format!("'{name}'"), format!("\"{name}\\\"")];
            let has = |line: &str| quoted.iter().any(|quoted| line.contains(quoted.as_str()));
            format!("{}:{}", file.display(), text.lines().position(has).map_or(1, |at| at + 1))
        };
        for field in names.fields.iter().filter(|field| !self.has_field(field)) {
            let near = nearest(field, self.fields.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if self.is_of_intelmq(field) => {
                    "IntelMQ's fields stand in its harmonization.conf".to_owned()
                }
                // Other formats have fields of their own.
                None => continue,
            };
            found.warning(format!("{}: IntelMQ has no field \"{field}\"", place(field)), hint);
        }
        let unknown = |word: &&String| !self.classifications.contains(word.as_str());
        for word in names.classifications.iter().filter(unknown) {
            let near = nearest(word, self.classifications.iter().copied());
            let hint = near.map_or_else(
                || "types and taxonomies are those of IntelMQ, such as \"phishing\"".to_owned(),
                |near| format!("did you mean \"{near}\"?"),
            );
            found.warning(format!("{}: IntelMQ has no classification \"{word}\"", place(word)), hint);
        }
    }

    /// Its first part is one of IntelMQ's, as in `source.colour`.
    fn is_of_intelmq(&self, field: &str) -> bool {
        let Some((first, _)) = field.split_once('.') else { return false };
        self.fields.iter().any(|known| known.split_once('.').is_some_and(|(known, _)| known == first))
    }

    fn has_field(&self, field: &str) -> bool {
        self.fields.contains(field) || field.starts_with("extra.")
    }
}
