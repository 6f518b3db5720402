//! The tasks of doors: those of one door can be waited for, and so can all together. Starts none by itself.

use tokio_util::task::TaskTracker;

/// The tasks of one door, which count among those of all doors as well.
#[derive(Clone)]
pub(super) struct DoorTasks {
    own: TaskTracker,
    all: TaskTracker,
}

impl DoorTasks {
    pub(crate) fn of(all: &TaskTracker) -> Self {
        Self { own: TaskTracker::new(), all: all.clone() }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.all.spawn(self.own.track_future(task));
    }

    /// Waits until all of them have ended.
    pub(crate) async fn ended(&self) {
        self.own.close();
        self.own.wait().await;
    }
}
