//! `run/in.sock`: lines of events in, one line of answer for each, in order (CONTRACT.md §3). `submission` describes
//! what happens to a line; an answer is written once the core has it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::submission::{EventSubmitter, Submission, SubmissionOutcome};
use crate::limits::{
    LINE_BYTES_MAX, SUBMIT_BATCH_BYTES_MAX, SUBMIT_BATCH_LINES_MAX, SUBMIT_LINES_OUTSTANDING_MAX,
};
use crate::local::framing::SocketLine;
use crate::local::framing::line::LineReader;

/// Answers are written once this many bytes of them are there, or none is to be had without waiting.
const ANSWER_BYTES: usize = 64 * 1024;

/// State that all connections of the door share.
pub(crate) struct Submitting {
    /// A reload replaces it; it counts from the next line on.
    pub submitter: ArcSwap<EventSubmitter>,
    pub stopping: CancellationToken,
}

/// The place of an answer in the order of lines.
struct SocketSlot {
    line: u64,
    submission: Submission,
    /// Keys of its meta that mean nothing here and were kept.
    unknown: Vec<String>,
}

/// One line of answer (CONTRACT.md §3).
#[derive(Default, Serialize)]
struct AnswerLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    ext: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "is_false")]
    retry: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Submitting {
    pub(crate) async fn serve(self: Arc<Self>, stream: UnixStream) {
        let (reading, writing) = stream.into_split();
        let (slots, ordered) = mpsc::channel(SUBMIT_LINES_OUTSTANDING_MAX);
        tokio::join!(self.read(reading, slots), write(ordered, writing));
    }

    /// Reads until the client's end or the node's. If a client reads no answers, reading goes on: lines that it sent
    /// before it went away are submitted all the same.
    async fn read(&self, reading: OwnedReadHalf, slots: mpsc::Sender<SocketSlot>) {
        let mut lines = LineReader::new(reading, LINE_BYTES_MAX);
        let mut count = 0;
        loop {
            let first = tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                line = lines.line() => line,
            };
            let Ok(Some(first)) = first else { return };
            let (numbers, batch) = numbered(&mut count, first, &mut lines);
            let submitter = self.submitter.load_full();
            let Some(prepared) = submitter.prepare(batch).await else { return };
            for (line, mut prepared) in numbers.into_iter().zip(prepared) {
                let unknown = std::mem::take(&mut prepared.unknown);
                let submission = submitter.submit(prepared).await;
                if slots.send(SocketSlot { line, submission, unknown }).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Returns `first` and the lines behind it that are there already, with their numbers and without blank ones.
fn numbered(
    count: &mut u64,
    first: SocketLine,
    lines: &mut LineReader<OwnedReadHalf>,
) -> (Vec<u64>, Vec<SocketLine>) {
    let (mut numbers, mut batch) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(line) = next {
        *count += 1;
        if !line.is_blank() {
            bytes += line.len();
            numbers.push(*count);
            batch.push(line);
        }
        let full = batch.len() >= SUBMIT_BATCH_LINES_MAX || bytes >= SUBMIT_BATCH_BYTES_MAX;
        next = if full { None } else { lines.line_at_hand() };
    }
    (numbers, batch)
}

/// Writes answers in the order of their lines. When the client reads no more, they are dropped.
async fn write(mut slots: mpsc::Receiver<SocketSlot>, writing: OwnedWriteHalf) {
    let mut out = SocketAnswers { writing, bytes: Vec::new(), broken: false };
    loop {
        let mut slot = match slots.try_recv() {
            Ok(slot) => slot,
            Err(_) => {
                out.flush().await;
                match slots.recv().await {
                    Some(slot) => slot,
                    None => return,
                }
            }
        };
        let outcome = match slot.submission.at_once() {
            Some(outcome) => outcome,
            None => {
                // Answers that are ready are written before waiting.
                out.flush().await;
                slot.submission.outcome().await
            }
        };
        put_answer(&mut out.bytes, slot.line, &outcome, &slot.unknown);
        out.bytes.push(b'\n');
        if out.bytes.len() >= ANSWER_BYTES {
            out.flush().await;
        }
    }
}

struct SocketAnswers {
    writing: OwnedWriteHalf,
    bytes: Vec<u8>,
    broken: bool,
}

/// Appends the answer to the event that is number `line`, without a line break.
pub(crate) fn put_answer(out: &mut Vec<u8>, line: u64, outcome: &SubmissionOutcome, unknown: &[String]) {
    let answer = match outcome {
        SubmissionOutcome::Taken { id, duplicate } => AnswerLine {
            id: Some(id.to_string()),
            duplicate: *duplicate,
            ext: unknown,
            ..AnswerLine::default()
        },
        SubmissionOutcome::Refused(error) => AnswerLine {
            error: Some(&error.message),
            code: Some(error.code.as_str()),
            line: Some(line),
            retry: error.code.retry(),
            hint: error.hint,
            ..AnswerLine::default()
        },
    };
    // A vector takes every byte, and the answer has texts alone.
    let _ = serde_json::to_writer(out, &answer);
}

impl SocketAnswers {
    async fn flush(&mut self) {
        if !self.broken && !self.bytes.is_empty() {
            self.broken = self.writing.write_all(&self.bytes).await.is_err();
        }
        self.bytes.clear();
    }
}
