//! `tail`: events that the running node hands off, as JSON lines. A line is printed and flushed before it is
//! acknowledged, so a consumer with a name loses nothing if it is stopped at any moment.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::{CommandAnswer, talk, terminal_size};
use super::args::{OutputForm, TailArgs};
use super::failure::CommandFailure;
use super::place::NodeDirectory;
use super::{pretty, stop};
use crate::clock;
use crate::config::span;
use crate::format::foreign::BodyFormat;
use crate::time::Timestamp;

/// A line of hand-off: the longest event with meta and path around it, in bytes.
const HANDED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// After a reason the node closes the connection within this.
const LAST_LINE_WITHIN: Duration = Duration::from_secs(1);

/// The first line on `out.sock` (CONTRACT.md §3).
#[derive(Serialize)]
struct TailOpening<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    consumer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<TailStart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    form: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    own: bool,
}

/// A seq is a number there, everything else text.
#[derive(Serialize)]
#[serde(untagged)]
enum TailStart<'a> {
    Seq(u64),
    Text(&'a str),
}

/// All that is read of a line of form `iep04`.
#[derive(Deserialize)]
struct NumberedLine {
    seq: u64,
    #[serde(default)]
    meta: NumberedMeta,
}

/// An event may be one of several that came in one message: the node says so, and a payload may say anything.
#[derive(Default, Deserialize)]
struct NumberedMeta {
    part: Option<String>,
}

impl NumberedMeta {
    /// Returns true unless other lines of the same seq follow.
    fn is_last(&self) -> bool {
        let part = self.part.as_deref().and_then(|part| part.split_once('/'));
        part.is_none_or(|(at, count)| at == count)
    }
}

/// A line that is not an event: the reason for which the connection ends, or a notice.
#[derive(Deserialize)]
#[serde(untagged)]
enum TailTold {
    Refused { error: String, code: String },
    Noticed { notice: String },
}

impl TailTold {
    /// Reads a line; `None` for an event. The node begins each line that is not one with a blank (CONTRACT.md §3.4).
    /// Payloads may have any keys, and lines with meta or a seq are told apart without it.
    fn read(line: &[u8], is_plain: bool) -> Option<Self> {
        let told = line.strip_prefix(b" ").or((!is_plain).then_some(line))?;
        serde_json::from_slice(told).ok()
    }
}

pub(crate) fn tail(place: &NodeDirectory, args: &TailArgs) -> Result<(), CommandFailure> {
    let stream = place.connect("out.sock")?;
    let from = args.from.as_deref().map(|from| moment(from, clock::now().wall));
    let opening = TailOpening {
        consumer: args.consumer.as_deref(),
        from: from.as_deref().map(|from| from.parse().map_or(TailStart::Text(from), TailStart::Seq)),
        filter: args.filter.as_deref(),
        form: args.form.map(OutputForm::as_str),
        format: args.format.map(BodyFormat::as_str),
        own: args.own,
    };
    let mut request = serde_json::to_vec(&opening).map_err(|error| broken(&error.into()))?;
    request.push(b'\n');
    (&stream).write_all(&request).map_err(|error| broken(&error))?;
    let stopped = Arc::new(AtomicBool::new(false));
    let (flag, closing) =
        (Arc::clone(&stopped), Arc::new(stream.try_clone().map_err(|error| broken(&error))?));
    let end = move || {
        flag.store(true, Ordering::Relaxed);
        // Ends the read that waits; if the node is gone it has ended already.
        let _ = closing.shutdown(Shutdown::Read);
    };
    stop::on_closed_stdout(end.clone());
    stop::on_signal(end)?;
    stream.set_read_timeout(args.idle).map_err(|error| broken(&error))?;
    if args.count == Some(0) {
        return Ok(());
    }
    let has_seq = matches!(args.form, None | Some(OutputForm::Iep04));
    let named = args.consumer.is_some();
    let is_plain = args.form == Some(OutputForm::Plain);
    TailReading { stream, named, has_seq, is_plain, printed: 0, ack: None }.run(args, &stopped)
}

/// A span before `now` becomes the time then; any other place stays as it is.
fn moment(from: &str, now: Timestamp) -> Cow<'_, str> {
    match span(from) {
        Some(seconds) => now.minus_ms(seconds * 1_000).to_string().into(),
        None => from.into(),
    }
}

struct TailReading {
    stream: UnixStream,
    named: bool,
    /// Lines say their seq, and are acknowledged by it; else by their number.
    has_seq: bool,
    /// Lines are payloads, which may hold any keys.
    is_plain: bool,
    printed: u64,
    /// The value that acknowledges the lines that were printed since the last ack.
    ack: Option<String>,
}

/// The reason why there is no further line.
enum TailEnd {
    Count,
    Idle,
    Closed,
    /// The reader of our standard output has gone.
    Unread,
}

impl TailReading {
    fn run(mut self, args: &TailArgs, stopped: &AtomicBool) -> Result<(), CommandFailure> {
        let mut reader =
            BufReader::with_capacity(256 * 1024, self.stream.try_clone().map_err(|error| broken(&error))?);
        let mut answer = CommandAnswer::new();
        let end = self.print_lines(args, &mut reader, &mut answer)?;
        match end {
            TailEnd::Count | TailEnd::Idle | TailEnd::Unread => self.finish(reader),
            TailEnd::Closed if stopped.load(Ordering::Relaxed) => self.finish(reader),
            TailEnd::Closed => {
                Err(CommandFailure::could_not("the node closed out.sock").hint("is it stopping? see its log"))
            }
        }
    }

    fn print_lines(
        &mut self,
        args: &TailArgs,
        reader: &mut BufReader<UnixStream>,
        answer: &mut CommandAnswer,
    ) -> Result<TailEnd, CommandFailure> {
        let width = terminal_size().map(|(columns, _)| columns);
        let mut line = Vec::new();
        loop {
            match read_line(reader, &mut line) {
                Ok(true) => {}
                Ok(false) => return Ok(TailEnd::Closed),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    return Ok(TailEnd::Idle);
                }
                Err(error) => return Err(broken(&error)),
            }
            if let Some(TailTold::Noticed { notice }) = TailTold::read(&line, self.is_plain) {
                talk(notice);
                continue;
            }
            self.end_if_refused(&line, reader)?;
            match args.pretty {
                true => pretty::lines(&line, width).iter().try_for_each(|line| answer.row(line))?,
                false => answer.json_text(&line)?,
            }
            self.printed += 1;
            self.note_ack(&line)?;
            let counted = args.count == Some(self.printed);
            // While further lines lie here already, one flush and one ack serve them all.
            if counted || !reader.buffer().contains(&b'\n') {
                answer.flush()?;
                if answer.is_closed() {
                    // Lines that were not read are not acknowledged.
                    return Ok(TailEnd::Unread);
                }
                self.send_ack();
            }
            if counted {
                return Ok(TailEnd::Count);
            }
        }
    }

    /// Fails with the reason that the node gives before it closes. A reason without a blank looks like a payload: it is
    /// the last line.
    fn end_if_refused(&self, line: &[u8], reader: &mut BufReader<UnixStream>) -> Result<(), CommandFailure> {
        let Some(TailTold::Refused { error, code }) = TailTold::read(line, false) else { return Ok(()) };
        let reason = CommandFailure::could_not(format!("{error} ({code})"));
        if !self.is_plain || line.starts_with(b" ") {
            return Err(reason);
        }
        let idle = self.stream.read_timeout().map_err(|error| broken(&error))?;
        self.stream.set_read_timeout(Some(LAST_LINE_WITHIN)).map_err(|error| broken(&error))?;
        let is_last = matches!(reader.fill_buf(), Ok(rest) if rest.is_empty());
        self.stream.set_read_timeout(idle).map_err(|error| broken(&error))?;
        if is_last { Err(reason) } else { Ok(()) }
    }

    fn note_ack(&mut self, line: &[u8]) -> Result<(), CommandFailure> {
        if !self.named {
            return Ok(());
        }
        self.ack = Some(if self.has_seq {
            let numbered: NumberedLine = serde_json::from_slice(line).map_err(|error| {
                CommandFailure::could_not(format!("out.sock: a line without seq: {error}"))
            })?;
            // The seq counts as printed when all of its lines are.
            let seq = numbered.seq - u64::from(!numbered.meta.is_last() && numbered.seq > 0);
            format!("{{\"ack\":{seq}}}\n")
        } else {
            format!("{{\"ack_lines\":{}}}\n", self.printed)
        });
        Ok(())
    }

    fn send_ack(&mut self) {
        if let Some(ack) = self.ack.take() {
            // If the node is gone, the next read shows it.
            let _ = self.stream.write_all(ack.as_bytes());
        }
    }

    /// Says that nothing more comes, and waits for the end of file, which means that the acks are durable.
    fn finish(self, mut reader: BufReader<UnixStream>) -> Result<(), CommandFailure> {
        if !self.named || self.stream.shutdown(Shutdown::Write).is_err() {
            return Ok(());
        }
        self.stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| broken(&error))?;
        let mut line = Vec::new();
        // Lines that come here were on their way before; they are not acknowledged, and come again.
        while read_line(&mut reader, &mut line)
            .map_err(|_| CommandFailure::could_not("the node did not confirm the last acks"))?
        {
            self.end_if_refused(&line, &mut reader)?;
        }
        Ok(())
    }
}

/// Reads one line into `line`, without forgetting a part of it when the time runs out; false at the end.
fn read_line(reader: &mut BufReader<UnixStream>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    loop {
        let read = reader.by_ref().take(HANDED_BYTES_MAX).read_until(b'\n', line);
        match read {
            Ok(_) if line.ends_with(b"\n") => return Ok(true),
            Ok(0) => return Ok(false),
            Ok(_) if line.len() as u64 >= HANDED_BYTES_MAX => {
                return Err(io::Error::other("a line without end"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn broken(error: &io::Error) -> CommandFailure {
    CommandFailure::could_not(format!("out.sock: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A publisher's payload said that another line of its seq follows, and nothing was acknowledged any more.
    #[test]
    fn parts_are_the_nodes_and_not_the_payloads() {
        let (stream, _node) = UnixStream::pair().unwrap();
        let mut reading =
            TailReading { stream, named: true, has_seq: true, is_plain: false, printed: 0, ack: None };
        for (line, ack) in [
            (r#"{"seq":7,"meta":{"part":"1/3"},"payload":{}}"#, 6),
            (r#"{"seq":7,"meta":{"part":"3/3"},"payload":{}}"#, 7),
            (r#"{"seq":8,"meta":{},"payload":{"extra.intelmesh.part":"1/3"}}"#, 8),
        ] {
            reading.note_ack(line.as_bytes()).unwrap();
            assert_eq!(reading.ack, Some(format!("{{\"ack\":{ack}}}\n")), "{line}");
        }
    }

    /// An event with the key `notice` was hidden.
    #[test]
    fn notices_of_plain_lines_begin_with_a_blank() {
        let notice = br#" {"notice":"x","code":"from_ignored"}"#;
        assert!(TailTold::read(notice, true).is_some());
        assert!(TailTold::read(&notice[1..], true).is_none(), "a payload");
        assert!(TailTold::read(&notice[1..], false).is_some(), "events have meta there");
    }

    #[test]
    fn a_span_is_a_time_before_now() {
        let now = Timestamp::parse_rfc3339("2026-11-20T10:00:00Z").unwrap();
        for (from, place) in [
            ("2h", "2026-11-20T08:00:00.000Z"),
            ("90s", "2026-11-20T09:58:30.000Z"),
            ("7d", "2026-11-13T10:00:00.000Z"),
            ("17", "17"),
            ("earliest", "earliest"),
            ("2026-11-20T09:00:00Z", "2026-11-20T09:00:00Z"),
        ] {
            assert_eq!(moment(from, now), place);
        }
    }
}
