//! `consumer=NAME`: the position of a client that has no memory is kept here, in the journal, under `CLIENT/NAME`. It moves
//! once the client has taken the whole page: the answer ends the connection, and the client's own end of it, rather than
//! a reset, shows that it read everything. A client with a memory says `after`, and thereby what it has.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use tokio::sync::OwnedMutexGuard;

use super::clients::ClientHandle;
use super::cursor::StartPlace;
use super::events::{answer, await_page};
use super::page::PageReader;
use super::problem::Problem;
use super::query::ReadQuery;
use super::{RequestPlace, WebState};
use crate::protocol::io::PositionMove;
use crate::record::ConsumerName;

/// How long a request waits for the earlier one of the same name, as at `run/out.sock`.
const TURN_WITHIN: Duration = Duration::from_secs(1);

type Turn = Arc<tokio::sync::Mutex<()>>;

/// One request at a time for each name: two would get the same page.
#[derive(Default)]
pub(super) struct ConsumerTurns(Mutex<BTreeMap<ConsumerName, Turn>>);

impl ConsumerTurns {
    async fn take(&self, name: &ConsumerName) -> Result<OwnedMutexGuard<()>, Problem> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Those that nobody waits for any more.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(name.clone()).or_default())
        };
        let taken = tokio::time::timeout(TURN_WITHIN, turn.lock_owned()).await;
        taken.map_err(|_| Problem::busy(format!("consumer \"{name}\" is in use by another request")))
    }
}

/// A page that was answered: the position moves to its end if the client has taken it.
pub(super) struct PendingPosition {
    name: ConsumerName,
    to: PositionMove,
    _turn: OwnedMutexGuard<()>,
}

impl PendingPosition {
    /// The client ended the connection in order: it has read everything.
    pub(crate) async fn taken(self, web: &WebState) {
        let Self { name, to, .. } = &self;
        if let Err(error) = (web.services.place)(name.clone(), Some(*to)).await {
            tracing::warn!(consumer = %name, seq = to.seq, error, "the position could not be kept: the page comes again");
        }
    }
}

pub(super) async fn read(
    web: Arc<WebState>,
    client: ClientHandle,
    place: RequestPlace,
    query: Arc<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let name = query.consumer.as_deref().unwrap_or_default();
    let name = ConsumerName::of_client(&client.name, name)
        .map_err(|fault| Problem::bad(format!("invalid consumer \"{name:.80}\": {fault}")))?;
    let turn = web.turns.take(&name).await?;
    let position = (web.services.place)(name.clone(), None).await.map_err(Problem::busy)?;
    let at = match (query.after, position) {
        // The client says what it has, even if that is less than the position.
        (Some(place @ StartPlace::Cursor(_)), _) => place,
        (Some(place), None) => place,
        (None, None) => StartPlace::Earliest,
        (_, Some(position)) => web.place_of(position),
    };
    let file = client.file().ok_or_else(Problem::unauthorized)?;
    let (state, asked) = (Arc::clone(&web), Arc::clone(&query));
    let start = web.room.work(move || PageReader::new(state, file, asked)?.start(at)).await?;
    // What the client has is kept before it gets more, and a name too many is refused before anything is read for it.
    let begin = PositionMove { from: None, seq: start };
    let from = (web.services.place)(name.clone(), Some(begin)).await.map_err(Problem::busy)?;
    let (encoded, room) = await_page(&web, &client, &query, at, &headers).await?;
    let to = PositionMove { from, seq: encoded.page().next.seq };
    let pending = PendingPosition { name, to, _turn: turn };
    let mut response = answer(&client, &query, encoded, room, (&Method::GET, &headers));
    place.connection.owe(pending);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}
