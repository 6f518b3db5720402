//! `on_health`: runs the operator's command at each change of health, one at a time and in order. The command gets the
//! change in its environment, and nothing of the node's own: a passphrase stays here.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStderr, Command};
use tokio::sync::mpsc;

use crate::identity::PublisherName;
use crate::status::HealthItem;
use crate::terminal::shown;

/// Changes that wait for their turn. Beyond them the log alone has them.
const WAITING_MAX: usize = 64;
/// A command that has not ended by then is killed.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// Of the standard error of a failed command, in the log.
const ERRORS_BYTES_MAX: usize = 200;
/// The pipe of a command that has ended is read for so long.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The states of a reason, as in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HealthChange {
    Begins,
    Ends,
}

impl HealthChange {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Begins => "begins",
            Self::Ends => "ends",
        }
    }
}

#[derive(Debug)]
pub(crate) struct HealthHook(mpsc::Sender<(HealthItem, HealthChange)>);

impl HealthHook {
    /// Returns `None` if there is no command. It ends with the node.
    pub(crate) fn start(command: &[String], node: &PublisherName) -> Option<Self> {
        let (program, arguments) = command.split_first()?;
        let (program, arguments, node) = (program.clone(), arguments.to_vec(), node.to_string());
        let (changes, mut waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            while let Some((health, change)) = waiting.recv().await {
                let mut command = Command::new(&program);
                command.args(&arguments).env_clear().env("PATH", PATH).env("INTELMESH_NODE", &node);
                run(command, &health, change).await;
            }
        });
        Some(Self(changes))
    }

    pub(crate) fn tell(&self, health: &HealthItem, change: HealthChange) {
        if self.0.try_send((health.clone(), change)).is_err() {
            tracing::warn!("on_health is too slow: it was not told of {}", health.code.as_str());
        }
    }
}

async fn run(mut command: Command, health: &HealthItem, change: HealthChange) {
    command.env("INTELMESH_CODE", health.code.as_str()).env("INTELMESH_STATE", change.as_str());
    command.env("INTELMESH_PEER", health.peer.as_ref().map_or("", |peer| peer.as_str()));
    command.env("INTELMESH_DOOR", health.door.as_deref().unwrap_or(""));
    command.env("INTELMESH_CONSUMER", health.consumer.as_deref().unwrap_or(""));
    // Words of a peer may be in it; a variable cannot hold every character.
    command
        .env("INTELMESH_WHAT", shown(&health.what).as_ref())
        .env("INTELMESH_HINT", shown(&health.hint).as_ref());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    match tokio::time::timeout(ENDS_WITHIN, run_group(command)).await {
        Ok(Ok((status, _))) if status.success() => {}
        Ok(Ok((status, said))) => {
            let said = String::from_utf8_lossy(&said);
            tracing::warn!("on_health: the command failed: {status}: {}", shown(said.trim_end()));
        }
        Ok(Err(error)) => tracing::warn!("on_health: the command cannot be run: {error}"),
        Err(_) => tracing::warn!("on_health: the command was killed after {} s", ENDS_WITHIN.as_secs()),
    }
}

/// Kills a command with all that it started, unless it has ended.
struct CommandGroup(Option<Pid>);

impl Drop for CommandGroup {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended this moment.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Returns how the command ended, and the beginning of its standard error.
async fn run_group(mut command: Command) -> io::Result<(ExitStatus, Vec<u8>)> {
    let mut child = command.process_group(0).kill_on_drop(true).spawn()?;
    let mut group = CommandGroup(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw));
    let (mut errors, mut said) = (child.stderr.take(), Vec::new());
    let mut reading = Box::pin(read_errors(&mut errors, &mut said));
    let status = tokio::select! {
        biased;
        () = &mut reading => child.wait().await?,
        status = child.wait() => {
            // A process that it leaves behind may hold the pipe open.
            let _ = tokio::time::timeout(LAST_WORDS_WITHIN, &mut reading).await;
            status?
        }
    };
    drop(reading);
    group.0 = None;
    Ok((status, said))
}

/// Reads to the end: a command that writes more must not wait for a reader.
async fn read_errors(errors: &mut Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(errors) = errors else { return };
    let mut buffer = [0; 4_096];
    while let Ok(bytes @ 1..) = errors.read(&mut buffer).await {
        let room = ERRORS_BYTES_MAX - said.len();
        said.extend(buffer.iter().take(bytes.min(room)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell that waits for its own child: the child went on after the shell was killed.
    #[tokio::test]
    async fn a_late_command_is_killed_with_its_children() {
        let place = tempfile::TempDir::new().unwrap();
        let pid = place.path().join("pid");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 600 & echo $! > \"$0\"; wait"]).arg(&pid);
        let ending = async {
            loop {
                if let Ok(Some(pid)) = std::fs::read_to_string(&pid).map(|text| text.trim().parse().ok()) {
                    return Pid::from_raw(pid).unwrap();
                }
                tokio::task::yield_now().await;
            }
        };
        let child = tokio::select! {
            ended = run_group(command) => panic!("it waits: {ended:?}"),
            child = ending => child,
        };
        // The parent may be gone for a moment before its child is.
        let is_there = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.as_raw_nonzero()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        let gone = async {
            while is_there() {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("it is killed");
    }

    #[tokio::test]
    async fn the_words_of_a_failed_command_are_kept() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo no mailer >&2; seq 100000 >&2; sleep 600 & exit 3"]).stderr(Stdio::piped());
        let (status, said) =
            tokio::time::timeout(Duration::from_secs(20), run_group(command)).await.unwrap().unwrap();
        assert_eq!((status.code(), said.len()), (Some(3), ERRORS_BYTES_MAX));
        assert!(said.starts_with(b"no mailer\n1\n"), "{said:?}");
    }
}
