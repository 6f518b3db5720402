//! Limits connections before any cryptography: how many sockets may be open at once, and how often they may come.
//! Addresses of peers have an allowance of their own, so that silent strangers lock no peer out; the others
//! are counted by network (/24, /48). It never looks at keys: `connection_gate` does.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use thiserror::Error;

use super::address;
use super::address_book::AddressBook;
use crate::clock;
use crate::limits::{
    DOOR_ADDRESS_BURST, DOOR_ADDRESS_PENDING_MAX, DOOR_ADDRESS_PER_SECOND, DOOR_BUCKETS_MAX,
    DOOR_KNOWN_PENDING_MAX, DOOR_LEARNED_MAX, DOOR_PREFIX_BURST, DOOR_PREFIX_PENDING_MAX,
    DOOR_PREFIX_PER_SECOND, DOOR_STRANGERS_PENDING_MAX,
};
use crate::time::Tick;

/// Why a socket was closed before a byte was read. It shows in debug logs alone.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Denied {
    #[error("too many connections of its kind are under way")]
    Pending,
    #[error("too many connections from its network are under way")]
    PendingThere,
    #[error("it connects too often")]
    TooOften,
}

/// The address that owns the allowance of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CallerAddress {
    /// An address of a peer: in its file, or one from which it came before.
    Known(IpAddr),
    /// A /24 or /48; `None` for what has no number.
    Network(Option<IpAddr>),
}

/// The limits for one kind of caller.
struct Allowance {
    pending_of_kind: usize,
    pending: usize,
    per_second: u64,
    burst: u64,
}

const KNOWN: Allowance = Allowance {
    pending_of_kind: DOOR_KNOWN_PENDING_MAX,
    pending: DOOR_ADDRESS_PENDING_MAX,
    per_second: DOOR_ADDRESS_PER_SECOND,
    burst: DOOR_ADDRESS_BURST,
};

const STRANGER: Allowance = Allowance {
    pending_of_kind: DOOR_STRANGERS_PENDING_MAX,
    pending: DOOR_PREFIX_PENDING_MAX,
    per_second: DOOR_PREFIX_PER_SECOND,
    burst: DOOR_PREFIX_BURST,
};

impl CallerAddress {
    fn allowance(self) -> &'static Allowance {
        match self {
            Self::Known(_) => &KNOWN,
            Self::Network(_) => &STRANGER,
        }
    }

    fn is_known(self) -> bool {
        matches!(self, Self::Known(_))
    }
}

/// A token bucket in thousandths, and how many sockets are in the handshake.
struct CallerBucket {
    milli_tokens: u64,
    at: Tick,
    pending: usize,
}

impl CallerBucket {
    fn refill(&mut self, now: Tick, allowance: &Allowance) {
        // A rate per second is as many thousandths per millisecond.
        let gained = now.since_ms(self.at).saturating_mul(allowance.per_second);
        self.milli_tokens = self.milli_tokens.saturating_add(gained).min(allowance.burst * 1000);
        self.at = now;
    }
}

pub(super) struct ConnectionLimits {
    book: Arc<ArcSwap<AddressBook>>,
    pending: HashMap<ConnectionId, CallerAddress>,
    buckets: HashMap<CallerAddress, CallerBucket>,
    /// Addresses from which allowed keys came: of peers with no number in their file, or behind another address.
    learned: HashMap<IpAddr, PeerId>,
    learned_order: VecDeque<IpAddr>,
}

impl ConnectionLimits {
    pub(crate) fn new(book: Arc<ArcSwap<AddressBook>>) -> Self {
        Self {
            book,
            pending: HashMap::new(),
            buckets: HashMap::new(),
            learned: HashMap::new(),
            learned_order: VecDeque::new(),
        }
    }

    fn caller(&self, remote: &Multiaddr) -> CallerAddress {
        let Some(ip) = address::ip(remote) else { return CallerAddress::Network(None) };
        let book = self.book.load();
        let learned = self.learned.get(&ip).is_some_and(|peer| book.allowed(peer).is_some());
        if learned || book.is_host(&ip) {
            CallerAddress::Known(ip)
        } else {
            CallerAddress::Network(Some(network(ip)))
        }
    }

    fn admit(&mut self, caller: CallerAddress, now: Tick) -> Result<(), Denied> {
        let allowance = caller.allowance();
        let of_kind = self.pending.values().filter(|other| other.is_known() == caller.is_known()).count();
        if of_kind >= allowance.pending_of_kind {
            return Err(Denied::Pending);
        }
        if !self.buckets.contains_key(&caller) {
            self.make_room(now);
        }
        let full = CallerBucket { milli_tokens: allowance.burst * 1000, at: now, pending: 0 };
        let bucket = self.buckets.entry(caller).or_insert(full);
        bucket.refill(now, allowance);
        if bucket.pending >= allowance.pending {
            return Err(Denied::PendingThere);
        }
        bucket.milli_tokens = bucket.milli_tokens.checked_sub(1000).ok_or(Denied::TooOften)?;
        bucket.pending += 1;
        Ok(())
    }

    /// Forgets buckets that are full again; if none is, one without pending sockets.
    fn make_room(&mut self, now: Tick) {
        if self.buckets.len() < DOOR_BUCKETS_MAX {
            return;
        }
        self.buckets.retain(|caller, bucket| {
            bucket.refill(now, caller.allowance());
            bucket.pending > 0 || bucket.milli_tokens < caller.allowance().burst * 1000
        });
        if self.buckets.len() >= DOOR_BUCKETS_MAX {
            let idle = self.buckets.iter().find(|(_, bucket)| bucket.pending == 0).map(|(caller, _)| *caller);
            idle.map(|caller| self.buckets.remove(&caller));
        }
    }

    /// The handshake is over, well or ill.
    fn on_settled(&mut self, connection: ConnectionId) {
        if let Some(caller) = self.pending.remove(&connection)
            && let Some(bucket) = self.buckets.get_mut(&caller)
        {
            bucket.pending = bucket.pending.saturating_sub(1);
        }
    }

    fn learn(&mut self, remote: &Multiaddr, peer: PeerId) {
        let Some(ip) = address::ip(remote) else { return };
        if self.learned.insert(ip, peer).is_some() {
            return;
        }
        self.learned_order.push_back(ip);
        if self.learned_order.len() > DOOR_LEARNED_MAX
            && let Some(oldest) = self.learned_order.pop_front()
        {
            self.learned.remove(&oldest);
        }
    }
}

fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => (u32::from(ip) & 0xffff_ff00).to_be_bytes().into(),
        IpAddr::V6(ip) => (u128::from(ip) & (u128::MAX << 80)).to_be_bytes().into(),
    }
}

impl NetworkBehaviour for ConnectionLimits {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let now = clock::now().tick;
        let caller = self.caller(remote);
        self.admit(caller, now).map_err(ConnectionDenied::new)?;
        self.pending.insert(connection, caller);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                self.on_settled(established.connection_id);
                self.learn(established.endpoint.get_remote_address(), established.peer_id);
            }
            FromSwarm::ListenFailure(failure) => self.on_settled(failure.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> ConnectionLimits {
        ConnectionLimits::new(Arc::new(ArcSwap::from_pointee(AddressBook::default())))
    }

    fn stranger(text: &str) -> CallerAddress {
        CallerAddress::Network(Some(network(text.parse().unwrap())))
    }

    fn known(text: &str) -> CallerAddress {
        CallerAddress::Known(text.parse().unwrap())
    }

    #[test]
    fn neighbours_share_a_bucket_and_it_refills() {
        let mut door = door();
        for n in 0..DOOR_PREFIX_BURST {
            assert_eq!(door.admit(stranger("192.0.2.7"), Tick(0)), Ok(()), "{n}");
            door.buckets.values_mut().for_each(|bucket| bucket.pending = 0);
        }
        assert_eq!(door.admit(stranger("192.0.2.250"), Tick(0)), Err(Denied::TooOften));
        assert_eq!(door.admit(stranger("192.0.3.1"), Tick(0)), Ok(()));
        assert_eq!(door.admit(stranger("192.0.2.250"), Tick(1000)), Ok(()));
    }

    #[test]
    fn pending_strangers_of_one_network_are_bounded_and_take_nothing_from_a_peer() {
        let mut door = door();
        for n in 0..DOOR_PREFIX_PENDING_MAX {
            assert_eq!(door.admit(stranger("2001:db8::1"), Tick(n as u64 * 1000)), Ok(()));
        }
        assert_eq!(door.admit(stranger("2001:db8:0:1::2"), Tick(1_000_000)), Err(Denied::PendingThere));
        assert_eq!(door.admit(known("2001:db8::9"), Tick(1_000_000)), Ok(()));
    }

    #[test]
    fn the_map_of_buckets_is_bounded() {
        let mut door = door();
        for n in 0..2 * DOOR_BUCKETS_MAX as u32 {
            let ip = IpAddr::from((n << 8).to_be_bytes());
            let _ = door.admit(CallerAddress::Network(Some(ip)), Tick(0));
            door.buckets.values_mut().for_each(|bucket| bucket.pending = 0);
        }
        assert!(door.buckets.len() <= DOOR_BUCKETS_MAX);
    }
}
