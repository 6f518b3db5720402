//! `run/out.sock`: a request, then events as lines, and acknowledgements back (CONTRACT.md §3). The core hands
//! over one batch at a time and waits until it is written.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::delivery_marks::DeliveryMarks;
use super::opening::{EnvelopeOpening, OutgoingLine};
use super::request::{
    AckRequest, RequestRefused, from_ignored, not_converted, parse_ack, parse_request, told,
};
use crate::format::{Carried, DeliveryForm, HandOff};
use crate::limits::CONSUMER_LINE_BYTES_MAX;
use crate::local::framing::SocketLine;
use crate::local::framing::line::LineReader;
use crate::local::{ConsumerTable, MakeLists};
use crate::protocol::io::{ConsumerClosed, ConsumerId, ConsumerRequest, DoorInput, Input};
use crate::record::{ConsumerName, Entry};

/// Lines are written once this many bytes of them are there.
const WRITE_BYTES: usize = 64 * 1024;

/// If a client reads no more, it may have sent acks before it went: they are still read for this long.
const LAST_ACKS_WITHIN: Duration = Duration::from_secs(1);

/// Messages from the core to one connection.
#[derive(Debug)]
pub(crate) enum ToConsumer {
    /// Under this generation of its position.
    Began {
        generation: u64,
    },
    Entries(Vec<Arc<Entry>>),
    /// The connection goes on after this position, not at the place that it asked for.
    FromIgnored {
        position: u64,
    },
    Closed(ConsumerClosed),
}

/// Returns a stored entry, opened as far as it could be, as the forms of hand-off take it.
pub(crate) fn carried<'a>(entry: &'a Entry, outgoing: &'a OutgoingLine) -> Carried<'a> {
    Carried {
        opened: outgoing.opened(),
        withdrawn_by: entry.withdrawn_by.as_ref(),
        replaced_by: entry.replaced_by.as_ref(),
        ..Carried::new(entry.seq, &entry.path, &entry.envelope)
    }
}

/// State that all connections of the door share.
pub(crate) struct Consuming {
    pub inputs: mpsc::Sender<Input>,
    pub opening: Arc<EnvelopeOpening>,
    pub consumers: Arc<ConsumerTable>,
    pub stopping: CancellationToken,
    /// Lists that filters may name.
    pub lists: MakeLists,
}

/// One connection with an accepted request.
struct ConsumerConnection {
    id: ConsumerId,
    name: Option<ConsumerName>,
    acks: bool,
    hand_off: HandOff,
    inputs: mpsc::Sender<Input>,
    opening: Arc<EnvelopeOpening>,
    handed: Mutex<DeliveryMarks>,
    /// Something was acknowledged.
    acked: Notify,
}

/// How reading from the client ended.
enum SocketReadEnd {
    /// It shut its writing side, or is gone.
    Finished,
    Bad(RequestRefused),
}

/// How writing to the client ended.
enum WriteEnd {
    /// It reads no more.
    Broken,
    Closed(ConsumerClosed),
}

/// Lines on their way to the client.
#[derive(Default)]
struct UnwrittenLines {
    bytes: Vec<u8>,
    /// The end of each entry in `bytes`, its seq, and the number of its lines.
    ends: VecDeque<(usize, u64, u64)>,
}

/// The writing side. If a line was cut, no other line follows it.
struct Out {
    writing: OwnedWriteHalf,
    inside_line: bool,
}

impl Out {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_noting(bytes, |_| ()).await
    }

    /// Writes all bytes. `given` gets the number of those that the client can read, each time that it has grown.
    async fn write_noting(&mut self, bytes: &[u8], mut given: impl FnMut(usize)) -> io::Result<()> {
        self.inside_line = true;
        let mut at = 0;
        while at < bytes.len() {
            match self.writing.write(&bytes[at..]).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => at += count,
            }
            given(at);
        }
        self.inside_line = false;
        Ok(())
    }

    /// Sends the reason for which the connection ends, if possible.
    async fn refuse(&mut self, refused: &RequestRefused) {
        if !self.inside_line {
            // A client that is gone needs no reason.
            let _ = self.write(&told(refused)).await;
        }
    }
}

impl Consuming {
    pub(crate) async fn serve(self: Arc<Self>, stream: UnixStream) {
        let (reading, writing) = stream.into_split();
        let mut lines = LineReader::new(reading, CONSUMER_LINE_BYTES_MAX);
        let mut out = Out { writing, inside_line: false };
        let first = self.stopping.run_until_cancelled(lines.line()).await;
        let Some(Ok(Some(first))) = first else { return };
        // Lists are files, and a filter may be expensive to read: not here, because others wait.
        let lists = Arc::clone(&self.lists);
        let read = tokio::task::spawn_blocking(move || parse_request(&first, &*lists()));
        let Ok(read) = read.await else { return };
        match read {
            Err(refused) => out.refuse(&refused).await,
            Ok((request, hand_off)) => {
                let (id, told) = self.consumers.open();
                let connection = self.connection(id, &request, hand_off);
                if self
                    .inputs
                    .send(Input::Door(DoorInput::ConsumerOpened { consumer: id, request }))
                    .await
                    .is_ok()
                {
                    connection.run(&mut lines, told, &mut out).await;
                    // The last word: the core drops all that it still had of it.
                    let _ = self.inputs.send(Input::Door(DoorInput::ConsumerGone { consumer: id })).await;
                }
                self.consumers.close(id);
            }
        }
    }

    fn connection(&self, id: ConsumerId, request: &ConsumerRequest, hand_off: HandOff) -> ConsumerConnection {
        let acks = request.acks && request.name.is_some();
        ConsumerConnection {
            id,
            name: request.name.clone(),
            acks,
            hand_off,
            inputs: self.inputs.clone(),
            opening: self.opening.clone(),
            handed: Mutex::new(DeliveryMarks::new(acks && hand_off.form != DeliveryForm::Iep04)),
            acked: Notify::new(),
        }
    }
}

impl ConsumerConnection {
    async fn run(
        &self,
        lines: &mut LineReader<OwnedReadHalf>,
        mut told: mpsc::Receiver<ToConsumer>,
        out: &mut Out,
    ) {
        let ended = tokio::select! {
            end = self.write_entries(&mut told, out) => Err(end),
            end = self.read_acks(lines) => Ok(end),
        };
        match ended {
            Err(WriteEnd::Closed(why)) => {
                self.say_why(why, out).await;
                return;
            }
            Err(WriteEnd::Broken) => {
                let _ = tokio::time::timeout(LAST_ACKS_WITHIN, self.read_acks(lines)).await;
            }
            Ok(SocketReadEnd::Bad(refused)) => out.refuse(&refused).await,
            Ok(SocketReadEnd::Finished) => {}
        }
        // Acks first become durable: only then may the client see the end of file.
        if self.inputs.send(Input::Door(DoorInput::ConsumerFinished { consumer: self.id })).await.is_err() {
            return;
        }
        while let Some(said) = told.recv().await {
            if let ToConsumer::Closed(why) = said {
                if matches!(why, ConsumerClosed::Removed | ConsumerClosed::Rewound) {
                    return self.say_why(why, out).await;
                }
                if why == ConsumerClosed::Stopping {
                    // The end of file would say that they are.
                    out.refuse(&RequestRefused::stopping()).await;
                }
                return;
            }
        }
    }

    async fn say_why(&self, why: ConsumerClosed, out: &mut Out) {
        match why {
            ConsumerClosed::Busy => out.refuse(&RequestRefused::busy(self.name.as_ref())).await,
            ConsumerClosed::TooMany => {
                out.refuse(&RequestRefused::new("too_many", "too many consumers have names here")).await;
            }
            ConsumerClosed::Removed => {
                out.refuse(&RequestRefused::new("removed", "the operator removed this consumer")).await;
            }
            ConsumerClosed::Rewound => {
                let why = "the operator moved the position of this consumer: connect again";
                out.refuse(&RequestRefused::new("rewound", why)).await;
            }
            ConsumerClosed::Synced | ConsumerClosed::Stopping => {}
        }
    }

    /// Writes the entries that the core hands over, until it closes or the client is gone.
    async fn write_entries(&self, told: &mut mpsc::Receiver<ToConsumer>, out: &mut Out) -> WriteEnd {
        while let Some(said) = told.recv().await {
            let entries = match said {
                ToConsumer::Began { .. } => continue,
                ToConsumer::Entries(entries) => entries,
                ToConsumer::FromIgnored { position } => {
                    if out.write(&from_ignored(self.name.as_ref(), position)).await.is_err() {
                        return WriteEnd::Broken;
                    }
                    continue;
                }
                ToConsumer::Closed(why) => return WriteEnd::Closed(why),
            };
            self.wait_for_acks().await;
            let Ok(done) = self.write_batch(&entries, out).await else { return WriteEnd::Broken };
            if self.inputs.send(Input::Door(DoorInput::ConsumerReady { consumer: self.id })).await.is_err() {
                break;
            }
            if let Some(seq) = done.filter(|_| self.acks) {
                let _ =
                    self.inputs.send(Input::Door(DoorInput::ConsumerAcked { consumer: self.id, seq })).await;
            }
        }
        WriteEnd::Closed(ConsumerClosed::Stopping)
    }

    /// Writes the lines of a batch. Returns the seq that is done with because it had no line, and nothing before it is
    /// unacknowledged.
    async fn write_batch(&self, entries: &[Arc<Entry>], out: &mut Out) -> io::Result<Option<u64>> {
        let outgoing = self.opening.open_all(entries).await;
        let mut unwritten = UnwrittenLines::default();
        let mut done = None;
        for (at, (entry, outgoing)) in entries.iter().zip(&outgoing).enumerate() {
            let lines = self.hand_off.write_lines(&carried(entry, outgoing), &mut unwritten.bytes);
            let lines = lines.unwrap_or_else(|fault| {
                if let Some(name) = &self.name {
                    self.opening.note_unconverted(name.as_str(), entry, &fault);
                }
                unwritten.bytes.extend_from_slice(&not_converted(entry, &fault));
                0
            });
            unwritten.ends.push_back((unwritten.bytes.len(), entry.seq, lines as u64));
            if unwritten.bytes.len() >= WRITE_BYTES || at + 1 == entries.len() {
                let UnwrittenLines { bytes, mut ends } = std::mem::take(&mut unwritten);
                let mut given = |count| done = self.note_given(&mut ends, count).unwrap_or(done);
                out.write_noting(&bytes, &mut given).await?;
                // The last entries may be without lines.
                given(bytes.len());
            }
        }
        Ok(done)
    }

    /// Notes which entries the client can read whole, now that it was given so many bytes: only those count in an ack.
    /// Returns what [`DeliveryMarks::pass`] says of the last one, if there are any.
    fn note_given(&self, ends: &mut VecDeque<(usize, u64, u64)>, count: usize) -> Option<Option<u64>> {
        let mut done = None;
        while let Some((_, seq, lines)) = ends.pop_front_if(|(end, ..)| *end <= count) {
            done = Some(self.handed(|handed| match lines {
                0 => handed.pass(seq),
                _ => {
                    handed.push(seq, lines);
                    None
                }
            }));
        }
        done
    }

    /// Holds back while more lines are unacknowledged than are remembered.
    async fn wait_for_acks(&self) {
        loop {
            let acked = self.acked.notified();
            if !self.handed(|handed| handed.is_full()) {
                return;
            }
            acked.await;
        }
    }

    /// Passes acks on, the highest of those that came together.
    async fn read_acks(&self, lines: &mut LineReader<OwnedReadHalf>) -> SocketReadEnd {
        loop {
            let mut next = match lines.line().await {
                Ok(Some(line)) => Some(line),
                Ok(None) | Err(_) => return SocketReadEnd::Finished,
            };
            let mut highest = None;
            let mut bad = None;
            while let Some(line) = next {
                match self.ack(&line) {
                    Ok(seq) => highest = highest.max(seq),
                    Err(refused) => {
                        bad = Some(refused);
                        break;
                    }
                }
                next = lines.line_at_hand();
            }
            if let Some(seq) = highest {
                self.acked.notify_waiters();
                let _ =
                    self.inputs.send(Input::Door(DoorInput::ConsumerAcked { consumer: self.id, seq })).await;
            }
            if let Some(refused) = bad {
                return SocketReadEnd::Bad(refused);
            }
        }
    }

    fn ack(&self, line: &SocketLine) -> Result<Option<u64>, RequestRefused> {
        match parse_ack(line)? {
            Some(AckRequest::Lines(_)) if self.acks && self.hand_off.form == DeliveryForm::Iep04 => {
                Err(RequestRefused::new(
                    "bad_request",
                    "\"ack_lines\" is for forms without `seq`: say {\"ack\":SEQ}",
                ))
            }
            // Without a name, or if it moves by itself, there is nothing to acknowledge.
            Some(ack) if self.acks => Ok(self.handed(|handed| handed.acked(ack))),
            _ => Ok(None),
        }
    }

    fn handed<T>(&self, act: impl FnOnce(&mut DeliveryMarks) -> T) -> T {
        act(&mut self.handed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
