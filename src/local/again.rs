//! What was set aside is tried again, at the operator's word: each line goes the way it came, through its own
//! door with all that the door adds and takes away. What is refused again is set aside again, and nothing is
//! forgotten where it breaks off.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::aside::{Aside, AsideRecord};
use super::consumer_door::Again;
use super::submit_door::{Settled, SubmitDoor};
use crate::control::AsideTried;
use crate::identity::EventId;
use crate::record::Entry;

/// How long one line may take: a receiver that is not there is not waited for.
const EACH_WITHIN: Duration = Duration::from_secs(20);

/// Lines that are read at once.
const BATCH_LINES: usize = 64;

/// Finds the stored event of an id, where the journal still holds it.
pub type EntryQuestion = Arc<dyn Fn(EventId) -> BoxFuture<'static, Option<Arc<Entry>>> + Send + Sync>;

/// Why not all was tried. What was not is in the file again.
#[derive(Debug, Error)]
pub enum AgainError {
    #[error("aside/: {0}")]
    Io(#[from] io::Error),
    #[error("it was not taken within {t} s: is the other side there?", t = EACH_WITHIN.as_secs())]
    NotTaken,
}

/// The way through one door.
pub(super) enum Way<'a> {
    Submit(&'a SubmitDoor),
    Consumer(&'a mpsc::Sender<Again>, &'a EntryQuestion),
}

enum Fate {
    Taken,
    /// It is in the file again.
    SetAside,
    /// It cannot be tried: its event is gone, or only its beginning was kept.
    Lost,
}

/// Tries all that lies in `aside` now.
///
/// # Errors
/// [`AgainError`]; what was not tried is set aside again.
pub(super) async fn try_again(aside: &Arc<Aside>, way: Way<'_>) -> Result<AsideTried, AgainError> {
    let mut tried = AsideTried::default();
    let Some(path) = aside.take_up().await? else { return Ok(tried) };
    let mut lines = Some(BufReader::new(File::open(&path)?));
    let mut broken = None;
    while let Some(batch) = next_batch(&mut lines).await? {
        for line in batch {
            let record = serde_json::from_str::<AsideRecord>(&line).ok();
            let fate = match (&record, &broken) {
                (Some(record), None) => through(record, &way).await,
                _ => Ok(Fate::Lost),
            };
            match fate {
                Ok(Fate::Taken) => tried.taken += 1,
                Ok(Fate::SetAside) => tried.set_aside += 1,
                Ok(Fate::Lost) => {
                    aside.put_back(line).await?;
                    tried.kept += 1;
                }
                Err(error) => {
                    aside.put_back(line).await?;
                    tried.kept += 1;
                    broken = Some(error);
                }
            }
        }
    }
    remove(path).await?;
    broken.map_or(Ok(tried), Err)
}

async fn remove(path: PathBuf) -> io::Result<()> {
    let removing = tokio::task::spawn_blocking(move || std::fs::remove_file(path));
    removing.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))
}

async fn next_batch(lines: &mut Option<BufReader<File>>) -> io::Result<Option<Vec<String>>> {
    let Some(mut reader) = lines.take() else { return Ok(None) };
    let reading = tokio::task::spawn_blocking(move || {
        let mut batch = Vec::new();
        let mut text = String::new();
        while batch.len() < BATCH_LINES && reader.read_line(&mut text)? > 0 {
            batch.push(text.trim_end().to_owned());
            text.clear();
        }
        io::Result::Ok((reader, batch))
    });
    let (reader, batch) = reading.await.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
    *lines = Some(reader);
    Ok((!batch.is_empty()).then_some(batch))
}

async fn through(record: &AsideRecord, way: &Way<'_>) -> Result<Fate, AgainError> {
    let tried = async {
        match way {
            Way::Submit(door) => submit(record, door).await,
            Way::Consumer(again, find) => hand_over(record, again, find).await,
        }
    };
    tokio::time::timeout(EACH_WITHIN, tried).await.unwrap_or(Err(AgainError::NotTaken))
}

async fn submit(record: &AsideRecord, door: &SubmitDoor) -> Result<Fate, AgainError> {
    let Some(line) = record.bytes_of_line() else { return Ok(Fate::Lost) };
    match door.take(&Bytes::from(line), &CancellationToken::new()).await {
        Some(Settled::Taken { .. }) => Ok(Fate::Taken),
        Some(Settled::SetAside) => Ok(Fate::SetAside),
        None => Err(AgainError::NotTaken),
    }
}

async fn hand_over(
    record: &AsideRecord,
    again: &mpsc::Sender<Again>,
    find: &EntryQuestion,
) -> Result<Fate, AgainError> {
    let id = record.id.as_ref().and_then(|id| id.parse::<EventId>().ok());
    let Some(id) = id else { return Ok(Fate::Lost) };
    let Some(entry) = find(id).await else { return Ok(Fate::Lost) };
    let (done, taken) = oneshot::channel();
    again.send(Again { entry, done }).await.map_err(|_| AgainError::NotTaken)?;
    match taken.await {
        Ok(true) => Ok(Fate::Taken),
        Ok(false) => Ok(Fate::SetAside),
        Err(_) => Err(AgainError::NotTaken),
    }
}
