//! Checks signatures off the loop, on as many threads as there are processors. One or two are checked in the caller's
//! thread, because to wake a thread costs more. One question is answered once, in the order of its envelopes,
//! however it was divided; and questions in the order in which they were asked, so that what came in order is
//! stored in order.

use std::num::NonZero;
use std::panic::AssertUnwindSafe;

use tokio::sync::{mpsc, oneshot};

use crate::envelope::VerifiedEnvelope;
use crate::protocol::Input;
use crate::protocol::intake::{Rejection, ToVerify, inspect};
use crate::protocol::io::Ticket;

/// Fewer than this are not worth another thread.
const CHUNK_MIN: usize = 16;

/// So many, of so many bytes together, cost less than to wake a thread: about 0.1 ms.
const HERE_MAX: usize = 2;
const HERE_BYTES_MAX: usize = 8 * 1024;

type InspectedEnvelope = Vec<Result<VerifiedEnvelope, Rejection>>;

#[derive(Debug, Default)]
pub(crate) struct CheckWorkers {
    /// Ends when the question asked last is answered.
    last: Option<oneshot::Receiver<()>>,
    /// Questions with answers that the loop has not taken.
    open: usize,
}

impl CheckWorkers {
    /// Checks `envelopes`: returns the answer if it is there at once, else sends it.
    pub(crate) fn verify(
        &mut self,
        ticket: Ticket,
        envelopes: Vec<ToVerify>,
        inputs: mpsc::Sender<Input>,
    ) -> Option<Input> {
        if self.open == 0 && is_small(&envelopes) {
            return Some(Input::Verified { ticket, results: inspect_here(envelopes) });
        }
        self.open += 1;
        let (answered, last) = oneshot::channel();
        let before = self.last.replace(last);
        tokio::spawn(async move {
            let results = inspect_all(envelopes).await;
            if let Some(before) = before {
                // Dropped or used, it is over.
                let _ = before.await;
            }
            // The loop is gone only when the node stops.
            let _ = inputs.send(Input::Verified { ticket, results }).await;
            drop(answered);
        });
        None
    }

    /// The loop took an answer that was sent.
    pub(crate) fn taken(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

fn is_small(envelopes: &[ToVerify]) -> bool {
    let bytes = || envelopes.iter().map(|(envelope, _)| envelope.envelope().bytes().len()).sum::<usize>();
    envelopes.len() <= HERE_MAX && bytes() <= HERE_BYTES_MAX
}

fn inspect_here(envelopes: Vec<ToVerify>) -> InspectedEnvelope {
    let count = envelopes.len();
    let inspected = std::panic::catch_unwind(AssertUnwindSafe(|| inspect_part(envelopes)));
    inspected.unwrap_or_else(|_| nothing_accepted(count))
}

/// A panic in a worker must not accept anything.
fn nothing_accepted(count: usize) -> InspectedEnvelope {
    (0..count).map(|_| Err(Rejection::BadSignature)).collect()
}

async fn inspect_all(mut envelopes: Vec<ToVerify>) -> InspectedEnvelope {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let chunk = envelopes.len().div_ceil(threads).max(CHUNK_MIN);
    let mut parts = Vec::with_capacity(threads);
    while !envelopes.is_empty() {
        let rest = envelopes.split_off(chunk.min(envelopes.len()));
        let part = std::mem::replace(&mut envelopes, rest);
        let count = part.len();
        parts.push((count, tokio::task::spawn_blocking(move || inspect_part(part))));
    }
    let mut results = Vec::new();
    for (count, part) in parts {
        results.extend(part.await.unwrap_or_else(|_| nothing_accepted(count)));
    }
    results
}

fn inspect_part(part: Vec<ToVerify>) -> InspectedEnvelope {
    part.into_iter().map(|(envelope, candidates)| inspect(envelope, &candidates)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::UnverifiedEnvelope;

    /// Returns a large envelope or a small one, as a peer sends it, with its key.
    fn shown(body_bytes: usize) -> ToVerify {
        let key = crate::fixture::key(7);
        let signed = crate::envelope::Signer::new(key.clone()).sign(core(body_bytes)).unwrap();
        let bytes = signed.envelope().bytes().clone();
        (UnverifiedEnvelope::decode(bytes).unwrap(), vec![key.verifying_key()])
    }

    fn core(body_bytes: usize) -> crate::envelope::Core {
        use crate::envelope::content::BodyIdSecret;
        use crate::format::{DoorDefaults, IdInputs, ParsedSubmission, intake};
        let door = DoorDefaults::of(
            crate::identity::PublisherName::parse("cert-at").unwrap(),
            crate::identity::ProjectName::parse("intelmq").unwrap(),
            crate::policy::Tlp::Green,
        );
        let secret = BodyIdSecret::new([3; 32]);
        let now = crate::time::Timestamp(1_763_632_800_123);
        let made = IdInputs { now, random: uuid::Uuid::from_u128(body_bytes as u128), secret: &secret };
        let line = format!(r#"{{"raw":"{}"}}"#, "A".repeat(body_bytes));
        match intake(line.as_bytes(), &door) {
            Ok(ParsedSubmission::New(draft)) => {
                let key = crate::fixture::key(7).verifying_key();
                let trust = crate::policy::TrustList::new(door.publisher.clone(), key, []);
                draft.address(&trust).unwrap().into_core(&made, &mut rand::rng()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn questions_are_answered_in_the_order_in_which_they_were_asked() {
        let (inputs, mut answers) = mpsc::channel(64);
        let mut workers = CheckWorkers::default();
        for number in 0..20 {
            let body_bytes = if number % 2 == 0 { 500_000 } else { 10 };
            let answer = workers.verify(Ticket(number), vec![shown(body_bytes)], inputs.clone());
            assert!(answer.is_none(), "question {number} overtakes");
        }
        for number in 0..20 {
            let Some(Input::Verified { ticket, results }) = answers.recv().await else { panic!("no answer") };
            assert_eq!((ticket, results.len(), results[0].is_ok()), (Ticket(number), 1, true));
            workers.taken();
        }
        let small = workers.verify(Ticket(20), vec![shown(10)], inputs.clone());
        assert!(matches!(small, Some(Input::Verified { .. })), "nothing is open: {small:?}");
    }
}
