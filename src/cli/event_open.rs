//! `event open`: the content of a sealed envelope in a file, for one of its recipients. Needs `keys/` and no running
//! node; `event show` opens events of the journal.

use std::path::Path;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::CommandAnswer;
use super::envelope_file::{read_envelope, verified};
use super::failure::CommandFailure;
use super::place::NodeDirectory;
use crate::control::LinkFacts;
use crate::envelope::OpenedBody;
use crate::identity::EventId;

/// The content of the seal (mirrors `intelmesh.opened/1`).
#[derive(Serialize)]
struct Inside {
    schema: &'static str,
    id: String,
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkFacts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
}

impl Inside {
    fn of(id: &EventId, opened: &OpenedBody) -> Self {
        let raw = |bytes: &Bytes| {
            let text = String::from_utf8(bytes.to_vec()).ok()?;
            RawValue::from_string(text).ok()
        };
        Self {
            schema: "intelmesh.opened/1",
            id: id.to_string(),
            payload: raw(&opened.payload),
            ext: opened.ext.as_ref().and_then(raw),
            links: opened.links.iter().map(LinkFacts::from).collect(),
            parent: opened.parent.as_ref().map(EventId::to_string),
        }
    }
}

/// Prints the payload, or with `--json` all that was sealed. Opens it only if the signature verifies.
pub(crate) fn open(place: &NodeDirectory, file: &Path, json: bool) -> Result<(), CommandFailure> {
    let bytes = Bytes::from(read_envelope(file)?);
    let envelope = verified(bytes, &place.trust()?).map_err(CommandFailure::no)?;
    let config = place.config()?;
    let opener = place.keyring(&config)?.opener(config.names());
    let opened = opener.open(envelope.envelope());
    let opened = opened.map_err(|fault| CommandFailure::no(format!("cannot open: {fault}")))?;
    let mut answer = CommandAnswer::new();
    if json {
        answer.json(&Inside::of(envelope.envelope().id(), &opened))?;
    } else {
        answer.json_text(&opened.payload)?;
        answer.line("")?;
    }
    answer.flush()
}
