//! Retries events that were set aside, when the operator asks for it. Each line goes through its own door, with all
//! that the door adds and takes away. A line that is refused again is set aside again. If the retry breaks off, nothing
//! is forgotten, and nothing that was given up is carried out later.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::file::{DeadLetter, TakenUp};
use super::record::AsideRecord;
use crate::control::AsideTried;
use crate::identity::EventId;
use crate::local::submit::door::{Settled, SubmitDoor};
use crate::record::Entry;

/// How long one line may take: a receiver that is not there is not waited for.
const EACH_WITHIN: Duration = Duration::from_secs(20);

/// While the receiver has an entry, the retry cannot give it up: it asks at this interval whether the entry came back.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// Finds the stored event of an id, if the journal still holds it.
pub(crate) type EntryQuestion = Arc<dyn Fn(EventId) -> BoxFuture<'static, Option<Arc<Entry>>> + Send + Sync>;

/// Says why not everything was tried. The rest stays in its place, and comes first the next time.
#[derive(Debug, Error)]
pub(crate) enum AgainError {
    #[error("aside/: {0}")]
    Io(#[from] io::Error),
    #[error("it was not taken within {t} s: is the other side there?", t = EACH_WITHIN.as_secs())]
    NotTaken,
    #[error("a retry of this door is running")]
    Running,
}

/// An entry that was set aside and is to be handed over again.
pub(crate) struct DeadLetterRetry {
    pub entry: Arc<Entry>,
    pub claim: Arc<RetryClaim>,
    /// Dropped if the outcome is not known, or if the entry was not tried.
    pub done: oneshot::Sender<HandedAgain>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandedAgain {
    Taken,
    SetAside,
    Expired,
}

/// Tells who owns a [`DeadLetterRetry`]: its requester may give it up only while nothing of it was sent.
#[derive(Debug, Default)]
pub(crate) struct RetryClaim(AtomicU8);

impl RetryClaim {
    const WAITING: u8 = 0;
    const WITH_THE_RECEIVER: u8 = 1;
    const GIVEN_UP: u8 = 2;

    fn goes(&self, to: u8) -> bool {
        self.0.compare_exchange(Self::WAITING, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Claims the entry for sending. Returns false if it was given up.
    pub(crate) fn begin(&self) -> bool {
        self.goes(Self::WITH_THE_RECEIVER)
    }

    /// Releases the claim: nothing of it was sent after all.
    pub(crate) fn leave(&self) {
        self.0.store(Self::WAITING, Ordering::Release);
    }

    /// Gives the entry up, so that it is not sent any more. Returns false if it is being sent.
    pub(crate) fn give_up(&self) -> bool {
        self.goes(Self::GIVEN_UP)
    }
}

/// The way through one door.
pub(crate) enum Way<'a> {
    Submit(&'a SubmitDoor),
    Consumer(&'a mpsc::Sender<DeadLetterRetry>, &'a EntryQuestion),
}

enum RetryFate {
    Taken,
    /// It is in the file again.
    SetAside,
    /// It cannot be tried: its event is gone, only its beginning was kept, or the line cannot be read.
    Lost,
    /// Its time has passed: nobody may get it any more.
    Expired,
}

/// Tries everything that lies in `aside` now, beginning with what an interrupted attempt left.
///
/// # Errors
/// Returns [`AgainError`] if not everything was tried; the rest is kept.
pub(crate) async fn try_again(aside: &Arc<DeadLetter>, way: Way<'_>) -> Result<AsideTried, AgainError> {
    let Ok(_alone) = aside.retrying.try_lock() else { return Err(AgainError::Running) };
    let Some(taken_up) = aside.take_up().await? else { return Ok(AsideTried::default()) };
    let was_left_over = taken_up.left_over;
    let first = all_of(taken_up, aside, &way).await?;
    let newer = if was_left_over { aside.take_up().await? } else { None };
    let Some(newer) = newer else { return Ok(first) };
    // Lines that the first part set aside again are in the second, and counted there.
    let second = all_of(newer, aside, &way).await?;
    Ok(AsideTried { taken: first.taken + second.taken, expired: first.expired + second.expired, ..second })
}

async fn all_of(mut up: TakenUp, aside: &Arc<DeadLetter>, way: &Way<'_>) -> Result<AsideTried, AgainError> {
    let mut tried = AsideTried::default();
    loop {
        let batch = up.next_batch().await?;
        if batch.is_empty() {
            break;
        }
        for line in batch {
            let fate = match serde_json::from_slice::<AsideRecord>(&line.bytes) {
                Ok(record) => through(&record, way).await?,
                Err(_) => RetryFate::Lost,
            };
            match fate {
                RetryFate::Taken => tried.taken += 1,
                RetryFate::SetAside => tried.set_aside += 1,
                RetryFate::Expired => tried.expired += 1,
                RetryFate::Lost => {
                    aside.put_back(line.bytes).await?;
                    tried.kept += 1;
                }
            }
            aside.tried(&up, line.end).await?;
        }
    }
    aside.finish(up).await?;
    Ok(tried)
}

async fn through(record: &AsideRecord, way: &Way<'_>) -> Result<RetryFate, AgainError> {
    match way {
        Way::Submit(door) => submit(record, door).await,
        Way::Consumer(again, find) => hand_over(record, again, find).await,
    }
}

async fn submit(record: &AsideRecord, door: &SubmitDoor) -> Result<RetryFate, AgainError> {
    let Some(line) = record.bytes_of_line() else { return Ok(RetryFate::Lost) };
    let (line, gone) = (Bytes::from(line), CancellationToken::new());
    let taking = door.take(&line, &gone);
    tokio::pin!(taking);
    let settled = match timeout(EACH_WITHIN, &mut taking).await {
        Ok(settled) => settled,
        Err(_) => {
            // Between two attempts, and not inside of one: it could be taken all the same.
            gone.cancel();
            taking.await
        }
    };
    match settled {
        Some(Settled::Taken { .. }) => Ok(RetryFate::Taken),
        Some(Settled::SetAside) => Ok(RetryFate::SetAside),
        None => Err(AgainError::NotTaken),
    }
}

async fn hand_over(
    record: &AsideRecord,
    again: &mpsc::Sender<DeadLetterRetry>,
    find: &EntryQuestion,
) -> Result<RetryFate, AgainError> {
    let id = record.id.as_ref().and_then(|id| id.parse::<EventId>().ok());
    let Some(id) = id else { return Ok(RetryFate::Lost) };
    let Some(entry) = find(id).await else { return Ok(RetryFate::Lost) };
    let (done, mut outcome) = oneshot::channel();
    let claim = Arc::new(RetryClaim::default());
    let asked = again.send_timeout(DeadLetterRetry { entry, claim: claim.clone(), done }, EACH_WITHIN).await;
    asked.map_err(|_| AgainError::NotTaken)?;
    let mut wait = EACH_WITHIN;
    loop {
        match timeout(wait, &mut outcome).await {
            Ok(Ok(HandedAgain::Taken)) => return Ok(RetryFate::Taken),
            Ok(Ok(HandedAgain::SetAside)) => return Ok(RetryFate::SetAside),
            Ok(Ok(HandedAgain::Expired)) => return Ok(RetryFate::Expired),
            Ok(Err(_)) => return Err(AgainError::NotTaken),
            Err(_) if claim.give_up() => return Err(AgainError::NotTaken),
            Err(_) => wait = ASKED_EVERY,
        }
    }
}
