//! SIGTERM and SIGINT for verbs that wait: they end in order, with exit 0. The node has its own handling.

use std::thread;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::Failure;

/// Runs `then` once when either signal comes, on a thread of its own.
///
/// # Errors
/// Where no thread or handler can be had.
pub fn on_signal(then: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::could_not(format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(fault)?;
    let (mut terminate, mut interrupt) = {
        let _guard = runtime.enter();
        (signal(SignalKind::terminate()).map_err(fault)?, signal(SignalKind::interrupt()).map_err(fault)?)
    };
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        then();
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map_err(fault)?;
    Ok(())
}
