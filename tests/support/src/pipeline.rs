//! The two ends of a local pipeline: what submits at `run/in.sock` and what consumes at `run/out.sock`. It
//! deliberately knows of `seq`, `meta` and `payload` only what contract and operator see.

use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::node::Doors;
use crate::wait::Stopwatch;

/// How long an answer or an event may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of one connection, read with a deadline; what came of a line stays when the deadline passes.
struct Lines {
    stream: BufReader<UnixStream>,
    partial: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// The next line; `None` at the end or after `within`.
    fn next_within(&mut self, within: Duration) -> io::Result<Option<String>> {
        let watch = Stopwatch::start();
        loop {
            let left = within.saturating_sub(watch.elapsed()).max(Duration::from_millis(1));
            if self.stream.buffer().is_empty() {
                self.stream.get_ref().set_read_timeout(Some(left))?;
            }
            match self.stream.read_until(b'\n', &mut self.partial) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(None);
                }
                Ok(_) if self.partial.ends_with(b"\n") => {
                    let line = String::from_utf8(std::mem::take(&mut self.partial));
                    return line.map(|line| Some(line.trim_end().to_owned())).map_err(io::Error::other);
                }
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if watch.elapsed() >= within {
                        return Ok(None);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A connection to `run/in.sock`.
pub struct Submitter {
    lines: Lines,
    writer: UnixStream,
}

impl Submitter {
    pub fn connect(node: &Doors) -> io::Result<Self> {
        let writer = node.socket("in.sock")?;
        let stream = BufReader::new(writer.try_clone()?);
        Ok(Self { lines: Lines { stream, partial: Vec::new(), ended: false }, writer })
    }

    pub fn send(&mut self, line: &str) -> io::Result<()> {
        self.writer.write_all(format!("{line}\n").as_bytes())
    }

    /// Bytes as they are, newline or not.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// The next answer; `None` at the end of the connection or when none came in time.
    pub fn answer(&mut self) -> io::Result<Option<Value>> {
        self.answer_within(PATIENCE)
    }

    pub fn answer_within(&mut self, within: Duration) -> io::Result<Option<Value>> {
        let line = self.lines.next_within(within)?;
        line.map(|line| serde_json::from_str(&line).map_err(io::Error::other)).transpose()
    }

    /// Sends one line and waits for its answer.
    pub fn ask(&mut self, line: &str) -> Value {
        self.send(line).expect("in.sock takes a line");
        self.answer().expect("in.sock answers").expect("in.sock answers in time")
    }

    /// No more lines; answers may still be read.
    pub fn finish(&mut self) {
        self.writer.shutdown(Shutdown::Write).expect("in.sock can be shut down");
    }

    /// Both ends, for a thread each: lines in and answers out.
    pub fn split(self) -> (UnixStream, Answers) {
        (self.writer, Answers(self.lines))
    }
}

/// The answers of a connection whose lines another thread writes.
pub struct Answers(Lines);

impl Answers {
    /// The next answer; `None` at the end, or when none came in time.
    pub fn next_answer(&mut self) -> io::Result<Option<Value>> {
        let line = self.next_raw()?;
        line.map(|line| serde_json::from_str(&line).map_err(io::Error::other)).transpose()
    }

    /// The same, as it came.
    pub fn next_raw(&mut self) -> io::Result<Option<String>> {
        self.0.next_within(PATIENCE)
    }
}

/// One line of `run/out.sock`.
#[derive(Clone, Debug)]
pub struct Handed {
    /// The line as it came.
    pub line: String,
    /// 0 in forms without one.
    pub seq: u64,
    /// `Null` in form `plain`.
    pub meta: Value,
    /// The payload's JSON text; empty in form `plain`.
    pub payload: String,
}

#[derive(Deserialize)]
struct HandedLine {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    meta: Value,
    payload: Option<Box<RawValue>>,
}

impl Handed {
    fn read(line: String) -> Self {
        let read: HandedLine = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let payload = read.payload.map(|text| text.get().to_owned()).unwrap_or_default();
        Self { seq: read.seq, meta: read.meta, payload, line }
    }

    /// The full name of the event.
    pub fn id(&self) -> String {
        self.text("/uuid/current")
    }

    /// A text of meta, by its JSON pointer; empty where there is none.
    pub fn text(&self, pointer: &str) -> String {
        self.meta.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

/// The `seq` of a line in form `iep04`, without reading the rest.
pub fn seq_of(line: &str) -> Option<u64> {
    let digits = line.strip_prefix("{\"seq\":")?;
    digits[..digits.find(|letter: char| !letter.is_ascii_digit())?].parse().ok()
}

/// A connection to `run/out.sock`.
pub struct Consumer {
    lines: Lines,
    writer: UnixStream,
}

impl Consumer {
    pub fn open(node: &Doors, request: &Value) -> Self {
        Self::try_open(node, request).expect("out.sock takes a request")
    }

    pub fn try_open(node: &Doors, request: &Value) -> io::Result<Self> {
        let mut writer = node.socket("out.sock")?;
        writer.write_all(format!("{request}\n").as_bytes())?;
        let stream = BufReader::with_capacity(256 * 1024, writer.try_clone()?);
        Ok(Self { lines: Lines { stream, partial: Vec::new(), ended: false }, writer })
    }

    /// The next event; `None` at the end of the connection or after `within`.
    pub fn next_within(&mut self, within: Duration) -> io::Result<Option<Handed>> {
        Ok(self.lines.next_within(within)?.map(Handed::read))
    }

    /// The next line as it came; `None` at the end, or when none came in time.
    pub fn next_raw(&mut self) -> io::Result<Option<String>> {
        self.lines.next_within(PATIENCE)
    }

    /// True once the node has closed the connection.
    pub fn ended(&self) -> bool {
        self.lines.ended
    }

    /// Shuts the writing side: the node syncs the acks and closes.
    pub fn shut_writing(&mut self) -> io::Result<()> {
        self.writer.shutdown(Shutdown::Write)
    }

    /// The next event, which must come.
    pub fn take_one(&mut self) -> Handed {
        self.take(1).remove(0)
    }

    /// Exactly the next `count` events, which must come.
    pub fn take(&mut self, count: usize) -> Vec<Handed> {
        (0..count)
            .map(|at| {
                let next = self.next_within(PATIENCE).expect("out.sock can be read");
                next.unwrap_or_else(|| panic!("only {at} of {count} events were handed off in time"))
            })
            .collect()
    }

    /// Everything until nothing comes for `quiet`.
    pub fn rest(&mut self, quiet: Duration) -> Vec<Handed> {
        std::iter::from_fn(|| self.next_within(quiet).expect("out.sock can be read")).collect()
    }

    pub fn ack(&mut self, seq: u64) -> io::Result<()> {
        self.writer.write_all(format!("{{\"ack\":{seq}}}\n").as_bytes())
    }

    pub fn ack_lines(&mut self, count: u64) -> io::Result<()> {
        self.writer.write_all(format!("{{\"ack_lines\":{count}}}\n").as_bytes())
    }

    /// Shuts the writing side and reads to the end of the file, after which the acks are durable.
    pub fn finish(mut self) {
        self.shut_writing().expect("out.sock can be shut down");
        while self.next_within(PATIENCE).expect("out.sock can be read").is_some() {}
        assert!(self.ended(), "out.sock was not closed after the writing side was shut down");
    }
}
