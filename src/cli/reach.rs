//! Checks whether an address can be reached: a TCP connection and nothing more, if no node runs that could dial as
//! itself.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::place::NodeDirectory;
use crate::control::{AddressCheck, ControlReply, ControlRequest, PeerCheck};
use crate::identity::PublisherName;
use crate::resolving::in_words;

/// For all addresses together, in seconds (CONTRACT.md §5.3).
const REACH_WAIT_S: u64 = 3;

/// Asks the running node to dial `peer`, or else tries its addresses from here.
pub(crate) fn check(place: &NodeDirectory, peer: &PublisherName, addresses: &[String]) -> PeerCheck {
    match place.ask_if_running(&ControlRequest::PeerCheck { peer: peer.clone() }) {
        Ok(Some(ControlReply::PeerCheck(check))) => check,
        _ => PeerCheck { peer: peer.clone(), connected: false, addresses: try_all(addresses) },
    }
}

/// All at once, so that one that does not answer costs the others nothing.
fn try_all(addresses: &[String]) -> Vec<AddressCheck> {
    let (told, results) = mpsc::sync_channel(addresses.len().max(1));
    for (at, address) in addresses.iter().enumerate() {
        let (told, address) = (told.clone(), address.clone());
        // One that hangs in a name server is left behind; it ends with this process.
        thread::spawn(move || {
            let _ = told.send((at, connect(&address)));
        });
    }
    drop(told);
    let mut checks: Vec<AddressCheck> = addresses
        .iter()
        .map(|address| AddressCheck {
            address: address.clone(),
            ok: false,
            what: "no answer within 3 s".to_owned(),
        })
        .collect();
    let deadline = crate::clock::now().tick.plus_ms(REACH_WAIT_S * 1000);
    loop {
        let left = deadline.since_ms(crate::clock::now().tick);
        let Ok((at, result)) = results.recv_timeout(Duration::from_millis(left)) else { return checks };
        checks[at].ok = result.is_ok();
        checks[at].what = match result {
            Ok(()) => "something listens there; whether it is this peer, a running node finds out".to_owned(),
            Err(error) => error.to_string(),
        };
    }
}

fn connect(address: &str) -> io::Result<()> {
    let mut parts = address.split('/').skip(2);
    let (Some(host), Some(_), Some(port)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(io::Error::other("no address"));
    };
    let port: u16 = port.parse().map_err(io::Error::other)?;
    let mut last = io::Error::other("the name has no address");
    for socket in (host, port).to_socket_addrs().map_err(|error| in_words(host, error))? {
        match TcpStream::connect_timeout(&socket, Duration::from_secs(REACH_WAIT_S)) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
