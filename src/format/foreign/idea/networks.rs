//! Addresses, networks and ranges of IDEA0 as IntelMQ's `ip` and `network`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks that may stand for one range.
const RANGE_NETWORKS_MAX: usize = 8;

/// What one element of `IP4` or `IP6` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    /// Texts for `ip`, or with a slash for `network`; with true if host bits were cleared.
    Fields(Vec<String>, bool),
    /// It stays in extra: all of the internet, or a range that needs too many networks.
    TooWide,
}

/// The length of an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    const fn bits(self) -> u32 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    fn number(self, text: &str) -> Option<u128> {
        match self {
            Self::V4 => text.parse::<Ipv4Addr>().ok().map(|address| u32::from(address).into()),
            Self::V6 => text.parse::<Ipv6Addr>().ok().map(u128::from),
        }
    }

    fn text(self, number: u128) -> Option<String> {
        Some(match self {
            Self::V4 => IpAddr::from(Ipv4Addr::from(u32::try_from(number).ok()?)).to_string(),
            Self::V6 => IpAddr::from(Ipv6Addr::from(number)).to_string(),
        })
    }

    /// Returns the network at `number` with `free` bits for hosts, or the address if there are none.
    fn network(self, number: u128, free: u32) -> Option<String> {
        let address = self.text(number)?;
        Some(if free == 0 { address } else { format!("{address}/{}", self.bits() - free) })
    }
}

/// Reads an address, a network or a range; `None` if it is none of them.
pub(crate) fn read(text: &str, family: Family) -> Option<Addresses> {
    if let Some((first, last)) = text.split_once('-') {
        let ends = (family.number(first.trim())?, family.number(last.trim())?);
        return Some(range(ends.0.min(ends.1), ends.0.max(ends.1), family));
    }
    let Some((address, length)) = text.split_once('/') else {
        let number = family.number(text)?;
        return Some(one(number, family));
    };
    let number = family.number(address)?;
    let plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    let length: u32 = length.parse().ok().filter(|length| plain && *length <= family.bits())?;
    let free = family.bits() - length;
    if length == 0 {
        return Some(Addresses::TooWide);
    }
    let cleared = number >> free << free;
    let fields = family.network(cleared, free).into_iter().collect();
    Some(Addresses::Fields(fields, cleared != number))
}

/// IntelMQ refuses 0.0.0.0 as an address.
fn one(number: u128, family: Family) -> Addresses {
    if number == 0 && family == Family::V4 {
        return Addresses::TooWide;
    }
    Addresses::Fields(family.network(number, 0).into_iter().collect(), false)
}

/// Returns the fewest networks that are the range exactly.
fn range(first: u128, last: u128, family: Family) -> Addresses {
    if first == last {
        return one(first, family);
    }
    let mut networks = Vec::new();
    let mut at = first;
    loop {
        // The largest network that begins here and does not pass the end.
        let mut free = at.trailing_zeros().min(family.bits());
        while free > 0 && (free >= 128 || (1u128 << free) - 1 > last - at) {
            free -= 1;
        }
        if networks.len() == RANGE_NETWORKS_MAX || free == family.bits() || (at == 0 && free == 0) {
            return Addresses::TooWide;
        }
        networks.extend(family.network(at, free));
        match at.checked_add(1u128 << free) {
            Some(next) if next <= last => at = next,
            _ => return Addresses::Fields(networks, false),
        }
    }
}
