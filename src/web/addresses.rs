//! How many connections each address has. Idle connections cost a client nothing, so one address could take them all.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::WEB_CONNECTIONS_PER_ADDRESS_MAX;

/// Connections at present, by network: an IPv4 address, or the /64 of an IPv6 one.
#[derive(Clone, Default)]
pub(super) struct AddressTable(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One connection; its place is free when this is dropped.
pub(super) struct AddressPlace {
    table: AddressTable,
    network: IpAddr,
}

impl AddressTable {
    /// Returns a place for one more connection of `address`, if there is one.
    pub(crate) fn take(&self, address: IpAddr) -> Option<AddressPlace> {
        let network = network_of(address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(network).or_default();
        if *count >= WEB_CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(AddressPlace { table: self.clone(), network })
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut counts = self.table.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.network);
            }
        }
    }
}

/// A subscriber has a whole /64, and so as many addresses as it likes.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_never_takes_the_place_of_another() {
        let table = AddressTable::default();
        let at = |text: &str| table.take(text.parse().unwrap());
        let mut held: Vec<_> = (0..WEB_CONNECTIONS_PER_ADDRESS_MAX)
            .map(|nth| at(&format!("2001:db8::{nth:x}")).unwrap())
            .collect();
        assert!(at("2001:db8::ffff").is_none());
        assert!(at("2001:db8:0:1::1").is_some() && at("192.0.2.1").is_some());
        held.pop();
        assert!(at("2001:db8::ffff").is_some());
        drop(held);
        assert!(table.0.lock().unwrap().is_empty());
    }
}
