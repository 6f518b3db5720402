//! Addresses and networks as Python's `ipaddress` reads them. Scopes (`%eth0`) are not part of an address here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::value::{FieldValue, int_of, strip};

/// Returns true if it is a valid address, but for 0.0.0.0.
pub(super) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok_and(|address| address != IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}

/// Returns true if it becomes a valid address when IntelMQ takes `/32`, `/128` and the scope off, or reads a number.
pub(super) fn is_like_address(value: &FieldValue<'_>) -> bool {
    let text = match value {
        FieldValue::Int(digits) => return is_address_number(digits),
        FieldValue::Text(text) => strip(text),
        _ => return false,
    };
    if int_of(text).is_some_and(|digits| digits == text) {
        return is_address_number(text);
    }
    let text = text.split('%').next().unwrap_or(text);
    match text.split_once('/') {
        None => is_address(text),
        Some((address, length)) => match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(found)) => length == "32" && !found.is_unspecified(),
            Ok(IpAddr::V6(_)) => length == "128",
            Err(_) => false,
        },
    }
}

/// Returns true if a number is an address: below 2^32 of version 4, below 2^128 of version 6.
fn is_address_number(digits: &str) -> bool {
    digits.parse().is_ok_and(|number: u128| number > 0)
}

/// Returns true if it is a network; if `strict`, without bits beyond its length.
pub(super) fn is_network(text: &str, strict: bool) -> bool {
    let (address, length) = match text.split_once('/') {
        None => return text.parse::<IpAddr>().is_ok(),
        Some(parts) => parts,
    };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            length_v4(length).is_some_and(|length| !strict || ends_v4(address, length))
        }
        Ok(IpAddr::V6(address)) => {
            prefix_length(length, 128).is_some_and(|length| !strict || ends_v6(address, length))
        }
        Err(_) => false,
    }
}

fn prefix_length(text: &str, max: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|length| digits && *length <= max)
}

/// Reads a number of bits, a net mask or a host mask.
fn length_v4(text: &str) -> Option<u32> {
    prefix_length(text, 32).or_else(|| {
        let mask = u32::from(text.parse::<Ipv4Addr>().ok()?);
        [mask, !mask].into_iter().find(|mask| mask.leading_ones() == mask.count_ones()).map(u32::leading_ones)
    })
}

fn ends_v4(address: Ipv4Addr, length: u32) -> bool {
    u32::from(address).checked_shl(length).unwrap_or(0) == 0
}

fn ends_v6(address: Ipv6Addr, length: u32) -> bool {
    u128::from(address).checked_shl(length).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_those_of_pythons_module() {
        for (text, address, strict, lenient) in [
            ("192.0.2.1", true, true, true),
            ("192.0.2.001", false, false, false),
            ("0.0.0.0", false, true, true),
            ("::", true, true, true),
            ("2001:DB8::1", true, true, true),
            ("fe80::1%eth0", false, false, false),
            ("192.0.2.0/24", false, true, true),
            ("192.0.2.1/24", false, false, true),
            ("192.0.2.0/255.255.255.0", false, true, true),
            ("192.0.2.0/0.0.0.255", false, true, true),
            ("192.0.2.0/255.0.255.0", false, false, false),
            ("0.0.0.0/0", false, true, true),
            ("192.0.2.0/33", false, false, false),
            ("2001:db8::/32", false, true, true),
            ("2001:db8::1/32", false, false, true),
            ("192.0.2.0/+24", false, false, false),
            ("192.0.2.0/", false, false, false),
            ("example.com", false, false, false),
        ] {
            assert_eq!(is_address(text), address, "{text}");
            assert_eq!(is_network(text, true), strict, "{text}");
            assert_eq!(is_network(text, false), lenient, "{text}");
        }
    }
}
