//! A TCP relay that holds back each byte for a while, both ways: distance, on one machine. Data is never lost,
//! reordered or slowed down beyond the delay, and it deliberately knows nothing of what it carries.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::node::free_port;

const CHUNK_BYTES: usize = 64 * 1024;
/// Chunks that may be under way in one direction.
const CHUNKS: usize = 4_096;

/// Listens on a port of its own until the test's process ends; gives that port. What connects is connected to
/// `target` in its turn, or closed where nobody listens there.
pub fn relay(target: u16, delay: Duration) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port to listen on");
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            let ends = [(near.try_clone(), far.try_clone()), (Ok(far), Ok(near))];
            for (from, to) in ends {
                let (Ok(from), Ok(to)) = (from, to) else { continue };
                let _ = to.set_nodelay(true);
                carry(from, to, delay);
            }
        }
    });
    port
}

/// One direction.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(CHUNKS);
    thread::spawn(move || {
        let mut chunk = vec![0; CHUNK_BYTES];
        while let Ok(length) = from.read(&mut chunk) {
            let sent = sender.send((Instant::now() + delay, chunk[..length].to_vec()));
            if length == 0 || sent.is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in receiver {
            wait_for_the_wire(due);
            if bytes.is_empty() || to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// The time that a byte is under way is what is simulated here: nothing else waits for it.
fn wait_for_the_wire(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}
