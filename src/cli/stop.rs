//! SIGTERM and SIGINT for verbs that wait: they end in order, with exit 0. The node has its own handling.

use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::failure::{DONE, Failure};

/// How long a verb has to end by itself: one that waits for its own reader never would.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Runs `then` once when either signal comes, on a thread of its own. A second signal, or a while later the
/// first, ends the process.
///
/// # Errors
/// Where no thread or handler can be had.
pub fn on_signal(then: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    let fault = |error: std::io::Error| Failure::could_not(format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)?;
    let (mut terminate, mut interrupt) = {
        let _guard = runtime.enter();
        (signal(SignalKind::terminate()).map_err(fault)?, signal(SignalKind::interrupt()).map_err(fault)?)
    };
    let wait = move || {
        runtime.block_on(async {
            let mut signalled = async || {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            signalled().await;
            then();
            // However it ends, the process is to end.
            let _ = tokio::time::timeout(END_WITHIN, signalled()).await;
        });
        std::process::exit(i32::from(DONE));
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map_err(fault)?;
    Ok(())
}
