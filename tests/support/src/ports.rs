//! Addresses that nothing else on this machine has while a test runs.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering};

/// A port below the range that the kernel gives to outgoing connections, so that it is still free at a restart.
/// Nothing has it on any address, a closed connection that lingers among it: IntelMQ's bots do not bind over one.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = (std::process::id() % 600) as u16 * 20;
    let taken = fs::read_to_string("/proc/net/tcp").expect("Linux")
        + &fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    loop {
        let port = 20_000 + (base + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if !taken.contains(&format!(":{port:04X} ")) {
            return port;
        }
    }
}

/// An address of this machine that only this test process binds: programs of others may take any port of 127.0.0.1
/// between its choice and its use.
pub fn own_loopback() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + high % 64, middle, low)
}
