//! Signatures are checked off the loop, on as many threads as there are processors. One question is
//! answered once, in the order of its envelopes, however it was divided.

use std::num::NonZero;

use ed25519_dalek::VerifyingKey;
use tokio::sync::mpsc;

use crate::envelope::{UnverifiedEnvelope, VerifiedEnvelope};
use crate::protocol::Input;
use crate::protocol::intake::inspect;
use crate::protocol::io::Ticket;
use crate::wire::VerdictCode;

/// Fewer than this are not worth another thread.
const CHUNK_MIN: usize = 16;

type Inspected = Vec<Result<VerifiedEnvelope, VerdictCode>>;

/// Checks `envelopes` and sends [`Input::Verified`].
pub fn verify(
    ticket: Ticket,
    envelopes: Vec<(UnverifiedEnvelope, VerifyingKey)>,
    inputs: mpsc::Sender<Input>,
) {
    tokio::spawn(async move {
        let results = inspect_all(envelopes).await;
        // The loop is gone only when the node stops.
        let _ = inputs.send(Input::Verified { ticket, results }).await;
    });
}

async fn inspect_all(mut envelopes: Vec<(UnverifiedEnvelope, VerifyingKey)>) -> Inspected {
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
        // A panic in a worker must not accept anything.
        results.extend(
            part.await.unwrap_or_else(|_| (0..count).map(|_| Err(VerdictCode::BadSignature)).collect()),
        );
    }
    results
}

fn inspect_part(part: Vec<(UnverifiedEnvelope, VerifyingKey)>) -> Inspected {
    part.into_iter().map(|(envelope, key)| inspect(envelope, &key)).collect()
}
