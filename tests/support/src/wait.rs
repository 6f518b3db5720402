//! Waiting for a condition with a deadline. It deliberately offers no plain sleep to wait for something:
//! [`pace`] is for load and for random moments.

use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(15);

/// Waits until `ask` gives something; panics with `what` after `within`.
pub fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "not within {within:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Waits until `ask` is true; panics with `what` after `within`.
pub fn wait_until(what: &str, within: Duration, mut ask: impl FnMut() -> bool) {
    wait_for(what, within, || ask().then_some(()));
}

/// Real time since it was made.
#[derive(Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Lets real time pass, so that what comes next comes at that moment: for load and chance, never for a condition.
pub fn pace(time: Duration) {
    std::thread::sleep(time);
}
