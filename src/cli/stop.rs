//! Ends a verb that waits, in order and with exit 0: on SIGTERM and SIGINT, or if nobody reads its answer any more. Wakes
//! one whose terminal gets another size. The node has its own handling.

use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::{CommandFailure, DONE};

/// How long a verb has to end by itself: one that waits for its own reader never would.
const END_WITHIN: Duration = Duration::from_secs(3);

/// Runs `then` once when either signal comes, on a thread of its own. A second signal, or a while later the
/// first, ends the process.
///
/// # Errors
/// If no thread or handler is available.
pub(crate) fn on_signal(then: impl FnOnce() + Send + 'static) -> Result<(), CommandFailure> {
    let runtime = runtime()?;
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

/// Calls `act` each time when the terminal gets another size.
///
/// # Errors
/// If no thread or handler is available.
pub(crate) fn on_resize(act: impl Fn() + Send + 'static) -> Result<(), CommandFailure> {
    let runtime = runtime()?;
    let mut resized = {
        let _guard = runtime.enter();
        signal(SignalKind::window_change()).map_err(fault)?
    };
    let wait = move || {
        runtime.block_on(async {
            while resized.recv().await.is_some() {
                act();
            }
        });
    };
    thread::Builder::new().name("resize".into()).spawn(wait).map_err(fault)?;
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, CommandFailure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fault)
}

fn fault(error: std::io::Error) -> CommandFailure {
    CommandFailure::could_not(format!("signals: {error}"))
}

/// Calls `act` once when the reader of our standard output has gone: `tail … | head -1` ends, though no line comes any
/// more that could not be written. A file or a terminal has no such end.
pub(crate) fn on_closed_stdout(act: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        let stdout = std::io::stdout();
        let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
        loop {
            match poll(&mut watched, None) {
                Ok(_) if !watched[0].revents().is_empty() => return act(),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    });
}
