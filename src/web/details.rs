//! One event, what names it, the state of the node, and the description of this interface. An event that the client may
//! not have does not exist for it: also its id is not confirmed.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::WebState;
use super::clients::ClientHandle;
use super::page::{may_have, shown, write_event};
use super::problem::Problem;
use super::query::{known_once, pairs};
use crate::config::ClientFile;
use crate::control::{ControlReply, ControlRequest, EventRef};
use crate::format::{DeliveryForm, HandOff};
use crate::limits::TRACE_NAMING_MAX;
use crate::record::Entry;

/// The description of this interface in OpenAPI 3.1; a test compares it with the routes.
const OPENAPI: &str = include_str!("openapi.json");

pub(super) async fn event(
    State(web): State<Arc<WebState>>,
    Extension(client): Extension<ClientHandle>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let asked = pairs(&uri)?;
    known_once(&asked, &["form"])?;
    let form = match asked.first() {
        None => DeliveryForm::default(),
        Some((_, text)) => DeliveryForm::parse(text).ok_or_else(|| {
            Problem::bad(format!("invalid form \"{text:.80}\": expected iep04, plain or ail"))
        })?,
    };
    let file = client.file().ok_or_else(Problem::unauthorized)?;
    let state = Arc::clone(&web);
    let body = web.room.work(move || {
        let entry = find(&state, &file, &id)?;
        let mut body = Vec::new();
        write_event(&state, &file, HandOff { form, ..HandOff::default() }, &entry, &mut body);
        body.push(b'\n');
        Ok(body)
    });
    Ok(json(body.await?))
}

/// Returns the one event of this name that the client may have.
fn find(web: &WebState, file: &ClientFile, id: &str) -> Result<Arc<Entry>, Problem> {
    let wanted = EventRef::parse(id).map_err(|fault| Problem::bad(fault.to_string()))?;
    let store = &web.services.store;
    let found = match &wanted {
        EventRef::Full(full) => store.fetch(full).map(|entry| entry.into_iter().collect()),
        EventRef::Prefix(prefix) => store.find(prefix),
    };
    let mut found: Vec<Arc<Entry>> = found.map_err(|error| Problem::unreadable(&error))?;
    found.retain(|entry| may_have(web, file, entry));
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(|entry| entry.envelope.id().to_string()).collect();
        return Err(Problem::bad(format!("{wanted} names {} events: {}", found.len(), names.join(", "))));
    }
    found.pop().ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "unknown_event", format!("no event {wanted} for this client"))
    })
}

pub(super) async fn trace(
    State(web): State<Arc<WebState>>,
    Extension(client): Extension<ClientHandle>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    known_once(&pairs(&uri)?, &[])?;
    let file = client.file().ok_or_else(Problem::unauthorized)?;
    let state = Arc::clone(&web);
    web.room.work(move || traced(&state, &file, &id)).await.map(|facts| json(facts.to_string().into_bytes()))
}

/// Returns the links of an event, and those of other events of the client that name it.
fn traced(web: &WebState, file: &ClientFile, id: &str) -> Result<serde_json::Value, Problem> {
    let entry = find(web, file, id)?;
    let core = entry.envelope.core();
    let naming = web.services.store.naming(&[entry.envelope.key()], TRACE_NAMING_MAX);
    let (rows, more) = naming.map_err(|error| Problem::unreadable(&error))?;
    let mut named_by = Vec::new();
    for (_, row) in rows {
        let held = web.services.store.entry(row.seq).map_err(|error| Problem::unreadable(&error))?;
        let Some(held) = held.filter(|held| held.seq == row.seq && may_have(web, file, held)) else {
            continue;
        };
        named_by.push(serde_json::json!({
            "id": held.envelope.id().to_string(), "type": row.relation.as_str(),
        }));
    }
    let links: Vec<crate::control::LinkFacts> = core.links.iter().map(Into::into).collect();
    Ok(serde_json::json!({
        "schema": "intelmesh.links/1",
        "id": entry.envelope.id().to_string(),
        "parent": core.parent.as_ref().map(ToString::to_string),
        "links": links,
        "named_by": named_by,
        "withdrawn_by": shown(web, file, entry.withdrawn_by.as_ref()).map(ToString::to_string),
        "replaced_by": shown(web, file, entry.replaced_by.as_ref()).map(ToString::to_string),
        "more": more,
    }))
}

pub(super) async fn status(
    State(web): State<Arc<WebState>>,
    Extension(client): Extension<ClientHandle>,
    uri: Uri,
) -> Result<Response, Problem> {
    known_once(&pairs(&uri)?, &[])?;
    match (web.services.ask)(ControlRequest::Status).await {
        Ok(ControlReply::Status(mut snapshot)) => {
            // Who else reads here is not for clients, and an event that one may not have is not there for it.
            let own = format!("{}/", client.name);
            let is_shown = |consumer: &str| !consumer.contains('/') || consumer.starts_with(&own);
            snapshot.clients.retain(|other| other.name == client.name);
            snapshot.consumers.retain(|consumer| is_shown(&consumer.name));
            snapshot.health.retain(|item| item.consumer.as_deref().is_none_or(is_shown));
            snapshot.consumers.iter_mut().for_each(|consumer| consumer.not_converted = None);
            (snapshot.not_deliverable, snapshot.cannot_open) = (None, None);
            snapshot.equivocations.iter_mut().for_each(|at| at.id = None);
            serde_json::to_vec(&*snapshot).map(json).map_err(|error| Problem::unreadable(&error))
        }
        Ok(_) | Err(_) => Err(Problem::stopping()),
    }
}

pub(super) async fn openapi() -> Response {
    json(OPENAPI.as_bytes().to_vec())
}

pub(super) fn json(body: Vec<u8>) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which methods each path has is asked of a running node by the tests of real nodes.
    #[test]
    fn every_route_is_described_and_no_other() {
        let described: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described: Vec<&str> =
            described["paths"].as_object().unwrap().keys().map(String::as_str).collect();
        described.sort_unstable();
        let sources = [include_str!("mod.rs"), include_str!("../metrics/serve.rs")];
        let sources = sources.map(|text| text.split("#[cfg(test)]\nmod tests").next().unwrap());
        let routes = sources.iter().flat_map(|text| text.split(".route(\"").skip(1));
        let mut routes: Vec<&str> = routes.filter_map(|rest| rest.split('"').next()).collect();
        routes.sort_unstable();
        assert_eq!(routes, described);
    }
}
