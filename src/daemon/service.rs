//! Tells systemd how the node is (`sd_notify(3)`): ready, alive, stopping. Without `NOTIFY_SOCKET` it does nothing. The
//! loop itself says that it is alive: a loop that hangs is restarted.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::terminal::shown;

pub(crate) fn ready() {
    tell("READY=1");
}

/// Feeds the watchdog. `status` is shown by `systemctl status`. Ready is said again: the manager may have missed it, and
/// would wait for it without an end.
pub(crate) fn alive(status: &str) {
    tell(&format!("READY=1\nWATCHDOG=1\nSTATUS={}", shown(status)));
}

pub(crate) fn stopping() {
    tell("STOPPING=1");
}

/// If systemd is not there, or does not listen, the node runs all the same.
fn tell(state: &str) {
    if let Some(socket) = std::env::var_os("NOTIFY_SOCKET") {
        let _ = send(&socket, state);
    }
}

/// A socket of the abstract namespace begins with `@`.
fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sender = UnixDatagram::unbound()?;
    // A manager that does not read must not hold up the loop.
    sender.set_nonblocking(true)?;
    sender.send_to_addr(state.as_bytes(), &address).map(drop)
}
