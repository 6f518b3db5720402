//! The door to a feed that MISP reads: a directory with one file for each interval and label, and a manifest that is
//! written last. AMBER and stricter labels have a feed of their own in `restricted`, with narrower permissions. The
//! files themselves are the door's memory: a line that comes again changes nothing. What an event looks like is
//! `format`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::marker::{HandedFile, HandedMark};
use super::target::{DeliveryTarget, PreparedLine, ReceiverError};
use crate::clock;
use crate::door::FeedTarget;
use crate::files;
use crate::format::foreign::feed::{FeedEvent, FeedObject, event_uuid, interval_start, read_line};
use crate::identity::PublisherName;
use crate::limits::{FEED_KEPT_MS, FEED_PAUSE_MAX_MS};
use crate::policy::Tlp;
use crate::time::{Now, Tick, Timestamp};

/// The next write waits so many times as long as the last one took.
const PAUSE_TIMES: u64 = 10;

pub(crate) struct FeedReceiver {
    target: FeedTarget,
    publisher: PublisherName,
    handed: HandedFile,
    now: fn() -> Now,
    feeds: [FeedDir; 2],
    not_before: Tick,
}

impl FeedReceiver {
    pub(crate) fn new(
        target: FeedTarget,
        publisher: PublisherName,
        handed: HandedFile,
        now: fn() -> Now,
    ) -> Self {
        let feeds = [
            FeedDir::new(target.dir.clone(), 0o755, 0o644),
            FeedDir::new(target.dir.join("restricted"), 0o750, 0o640),
        ];
        Self { target, publisher, handed, now, feeds, not_before: clock::now().tick }
    }

    fn write(&mut self, lines: &[PreparedLine]) -> io::Result<()> {
        let now = (self.now)().wall;
        let mut changed = [BTreeMap::new(), BTreeMap::new()];
        for line in lines {
            // `unfit` has set aside all others.
            let Ok(change) = read_line(&line.line, now) else { continue };
            for name in &change.taken_back {
                for (feed, changed) in self.feeds.iter().zip(&mut changed) {
                    feed.delete(name, now, changed)?;
                }
            }
            if let Some(object) = change.object {
                self.add(object, now, &mut changed)?;
            }
        }
        for (feed, changed) in self.feeds.iter_mut().zip(changed) {
            feed.write(changed, now)?;
        }
        if let Some(mark) = lines.iter().rev().find_map(|line| line.mark) {
            self.handed.write(mark)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        object: FeedObject,
        now: Timestamp,
        changed: &mut [BTreeMap<Uuid, FeedEvent>; 2],
    ) -> io::Result<()> {
        let is_there = |uuid: &Uuid, feed: &FeedDir| {
            feed.names.get(&object.name).is_some_and(|places| places.iter().any(|(own, _)| own == uuid))
        };
        let object = match self.feeds.iter().any(|feed| feed.objects.contains(&object.uuid)) {
            true if self.feeds.iter().any(|feed| is_there(&object.uuid, feed)) => return Ok(()),
            true => object.renamed(),
            false => object,
        };
        if self.feeds.iter().any(|feed| feed.objects.contains(&object.uuid)) {
            return Ok(());
        }
        let at = usize::from(object.label >= Tlp::Amber);
        let start = interval_start(&self.target.identity, now);
        let uuid = event_uuid(&self.publisher, start, object.label);
        let feed = &mut self.feeds[at];
        let fresh = || FeedEvent::new(&self.target.identity, &self.publisher, start, object.label);
        let event = match changed[at].entry(uuid) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(feed.read(uuid)?.unwrap_or_else(fresh))
            }
        };
        feed.remember(&object.name, object.uuid, uuid);
        event.add(object);
        Ok(())
    }
}

/// One feed, and what its files have.
struct FeedDir {
    dir: PathBuf,
    dir_mode: u32,
    mode: u32,
    manifest: Map<String, Value>,
    /// Object and event, by the full name of an event of ours.
    names: BTreeMap<String, Vec<(Uuid, Uuid)>>,
    objects: BTreeSet<Uuid>,
}

impl FeedDir {
    fn new(dir: PathBuf, dir_mode: u32, mode: u32) -> Self {
        let (manifest, names, objects) = (Map::new(), BTreeMap::new(), BTreeSet::new());
        Self { dir, dir_mode, mode, manifest, names, objects }
    }

    /// Reads all files. A crash may have come before the manifest was written: then it is written now.
    fn load(&mut self) -> io::Result<()> {
        if !self.dir.is_dir() {
            files::make_dir(&self.dir, self.dir_mode)?;
        }
        *self = Self::new(std::mem::take(&mut self.dir), self.dir_mode, self.mode);
        let mut hashes = String::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let Some(uuid) = uuid_of(&path) else { continue };
            let Some(event) = FeedEvent::parse(&fs::read(&path)?) else { continue };
            for (object, name) in event.objects() {
                self.remember(name, object, uuid);
            }
            self.manifest.insert(uuid.to_string(), event.manifest());
            hashes.push_str(&event.hashes());
        }
        self.write_lists(&hashes)
    }

    fn remember(&mut self, name: &str, object: Uuid, event: Uuid) {
        self.objects.insert(object);
        self.names.entry(name.to_owned()).or_default().push((object, event));
    }

    fn path(&self, uuid: Uuid) -> PathBuf {
        self.dir.join(format!("{uuid}.json"))
    }

    fn read(&self, uuid: Uuid) -> io::Result<Option<FeedEvent>> {
        match fs::read(self.path(uuid)) {
            Ok(text) => Ok(FeedEvent::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes the objects of an event in `changed`, into which their files are read.
    fn delete(&self, name: &str, now: Timestamp, changed: &mut BTreeMap<Uuid, FeedEvent>) -> io::Result<()> {
        for (_, uuid) in self.names.get(name).into_iter().flatten() {
            if !changed.contains_key(uuid)
                && let Some(event) = self.read(*uuid)?
            {
                changed.insert(*uuid, event);
            }
            if let Some(event) = changed.get_mut(uuid) {
                event.delete(name, now);
            }
        }
        Ok(())
    }

    /// Writes files, then the lists, so that the manifest never promises what is not there. Old files go the other way.
    fn write(&mut self, changed: BTreeMap<Uuid, FeedEvent>, now: Timestamp) -> io::Result<()> {
        let kept_after = now.minus_ms(FEED_KEPT_MS).0 / 1_000;
        let is_old = |entry: &Value| entry["timestamp"].as_u64().is_some_and(|time| time < kept_after);
        let old: BTreeSet<Uuid> = self
            .manifest
            .iter()
            .filter_map(|(uuid, entry)| Some((uuid.parse().ok()?, entry)))
            .filter(|(uuid, entry)| is_old(entry) && !changed.contains_key(uuid))
            .map(|(uuid, _)| uuid)
            .collect();
        if changed.is_empty() && old.is_empty() {
            return Ok(());
        }
        let mut hashes = self.hashes_without(|uuid| old.contains(&uuid) || changed.contains_key(&uuid))?;
        for (uuid, mut event) in changed {
            event.stamp(now);
            files::replace(&self.path(uuid), &event.to_text(), self.mode)?;
            hashes.push_str(&event.hashes());
            self.manifest.insert(uuid.to_string(), event.manifest());
        }
        self.manifest.retain(|uuid, _| !uuid.parse().is_ok_and(|uuid: Uuid| old.contains(&uuid)));
        self.write_lists(&hashes)?;
        for uuid in &old {
            files::remove(&self.path(*uuid))?;
        }
        let is_kept = |event: &Uuid| !old.contains(event);
        let mut gone = Vec::new();
        self.names.retain(|_, places| {
            gone.extend(places.iter().filter(|(_, event)| !is_kept(event)).map(|(object, _)| *object));
            places.retain(|(_, event)| is_kept(event));
            !places.is_empty()
        });
        gone.iter().for_each(|object| _ = self.objects.remove(object));
        Ok(())
    }

    fn hashes_without(&self, leaves: impl Fn(Uuid) -> bool) -> io::Result<String> {
        let text = match fs::read_to_string(self.dir.join("hashes.csv")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            read => read?,
        };
        let uuid = |line: &str| line.split_once(',').and_then(|(_, uuid)| uuid.parse().ok());
        let stays = |line: &&str| uuid(line).is_some_and(|uuid| !leaves(uuid));
        Ok(text.lines().filter(stays).flat_map(|line| [line, "\n"]).collect())
    }

    fn write_lists(&self, hashes: &str) -> io::Result<()> {
        files::replace(&self.dir.join("hashes.csv"), hashes.as_bytes(), self.mode)?;
        let manifest = Value::Object(self.manifest.clone()).to_string();
        files::replace(&self.dir.join("manifest.json"), manifest.as_bytes(), self.mode)
    }
}

/// Returns the UUID that a file of the feed is named by.
fn uuid_of(path: &Path) -> Option<Uuid> {
    path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()
}

impl DeliveryTarget for FeedReceiver {
    async fn connect(&mut self) -> Result<(), ReceiverError> {
        let feeds = &mut self.feeds;
        let loaded = tokio::task::block_in_place(|| feeds.iter_mut().try_for_each(FeedDir::load));
        loaded.map_err(|error| ReceiverError::Io("opening the feed", error))
    }

    async fn last_taken(&mut self) -> Result<Option<HandedMark>, ReceiverError> {
        Ok(self.handed.read())
    }

    /// Each write makes the files of the running interval anew: it waits for more lines in proportion.
    async fn hand(&mut self, lines: &[PreparedLine]) -> Result<usize, ReceiverError> {
        let begun = clock::now().tick;
        tokio::time::sleep(Duration::from_millis(self.not_before.since_ms(begun))).await;
        let begun = clock::now().tick;
        let written = tokio::task::block_in_place(|| self.write(lines));
        let ended = clock::now().tick;
        let pause = ended.since_ms(begun).saturating_mul(PAUSE_TIMES).min(FEED_PAUSE_MAX_MS);
        self.not_before = ended.plus_ms(pause);
        written.map_err(|error| ReceiverError::Io("writing the feed", error))?;
        Ok(lines.len())
    }

    async fn pass(&mut self, mark: HandedMark) -> Result<(), ReceiverError> {
        self.handed.write(mark).map_err(|error| ReceiverError::Io("handed/", error))
    }

    /// A directory does not end.
    async fn idle(&mut self) -> ReceiverError {
        std::future::pending().await
    }

    fn unfit(&self, line: &[u8]) -> Option<String> {
        read_line(line, (self.now)().wall).err().map(|fault| fault.message)
    }
}
