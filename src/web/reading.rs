//! `GET /v1/events`: a page, a page from a position that is kept here, or a stream.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::Response;

use super::clients::ClientHandle;
use super::cursor::StartPlace;
use super::events::{answer, await_page};
use super::problem::Problem;
use super::query::ReadQuery;
use super::{RequestPlace, WebState, consumer, stream};

pub(super) async fn read(
    State(web): State<Arc<WebState>>,
    Extension(client): Extension<ClientHandle>,
    Extension(place): Extension<RequestPlace>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let query = Arc::new(ReadQuery::parse(&uri)?);
    if wants_stream(&headers) {
        return stream::open(web, client, place, query, &headers).await;
    }
    if query.consumer.is_some() && method != Method::HEAD {
        return consumer::read(web, client, place, query, headers).await;
    }
    let after = query.after.unwrap_or(StartPlace::Earliest);
    let (encoded, room) = await_page(&web, &client, &query, after, &headers).await?;
    Ok(answer(&client, &query, encoded, room, (&method, &headers)))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}
