//! Lists that filters name: networks, AS numbers and names of domains, from files of the operator's or from the
//! filter's own text. Pure values: which file they came from, and when it is read again, is `config`'s.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use ipnet::{IpNet, Ipv4Net};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::facts::BodyDecoder;
use crate::limits::FILTER_LIST_ENTRIES_MAX;

/// Why a list cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ListFault {
    /// No list has this name.
    #[error("no such list")]
    Unknown,
    /// Its source cannot be read, for this reason.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// It has more entries than a list may have.
    #[error("more than {FILTER_LIST_ENTRIES_MAX} entries")]
    TooMany,
    /// The function that uses the list cannot read an entry.
    #[error("line {line}: \"{entry}\" is no {wanted}")]
    Entry {
        /// Its line, from 1.
        line: usize,
        /// The text of the entry.
        entry: String,
        /// The kind of entry that the function expects.
        wanted: &'static str,
    },
}

/// Source of the lists that a filter names.
pub trait FilterLists: Sync {
    /// Returns the list of this name.
    ///
    /// # Errors
    /// [`ListFault`].
    fn list(&self, name: &str) -> Result<Arc<FilterList>, ListFault>;

    /// Returns the decoder of carried messages. Without one, a filter has no answer for their content.
    fn decoder(&self) -> Option<BodyDecoder> {
        None
    }
}

/// A source without lists.
pub struct NoLists;

impl FilterLists for NoLists {
    fn list(&self, _: &str) -> Result<Arc<FilterList>, ListFault> {
        Err(ListFault::Unknown)
    }
}

impl FilterLists for BTreeMap<String, Arc<FilterList>> {
    fn list(&self, name: &str) -> Result<Arc<FilterList>, ListFault> {
        self.get(name).cloned().ok_or(ListFault::Unknown)
    }
}

/// One entry a line; text after `#` is a comment. The function that uses the list checks the entries.
#[derive(Debug, Default)]
pub struct FilterList {
    digest: [u8; 32],
    entries: Vec<(usize, String)>,
    networks: OnceLock<Result<Arc<NetworkList>, ListFault>>,
    numbers: OnceLock<Result<Arc<HashSet<u32>>, ListFault>>,
    domains: OnceLock<Result<Arc<DomainList>, ListFault>>,
}

impl PartialEq for FilterList {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for FilterList {}

impl FilterList {
    /// # Errors
    /// [`ListFault::TooMany`].
    pub fn parse(text: &str) -> Result<Self, ListFault> {
        let lines = text.lines().enumerate();
        let entries = lines.map(|(at, line)| (at + 1, line.split('#').next().unwrap_or("").trim()));
        let entries: Vec<_> = entries
            .filter(|(_, entry)| !entry.is_empty())
            .map(|(line, entry)| (line, entry.to_owned()))
            .take(FILTER_LIST_ENTRIES_MAX + 1)
            .collect();
        if entries.len() > FILTER_LIST_ENTRIES_MAX { Err(ListFault::TooMany) } else { Ok(Self::of(entries)) }
    }

    fn of(entries: Vec<(usize, String)>) -> Self {
        let mut hash = Sha256::new();
        for (_, entry) in &entries {
            hash.update(entry);
            hash.update(b"\n");
        }
        Self { digest: hash.finalize().into(), entries, ..Self::default() }
    }

    /// Returns the digest of its entries, without comments.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// # Errors
    /// [`ListFault::Entry`], the first.
    pub fn networks(&self) -> Result<Arc<NetworkList>, ListFault> {
        self.networks.get_or_init(|| self.each("network", network).map(Arc::new)).clone()
    }

    /// # Errors
    /// [`ListFault::Entry`], the first.
    pub fn numbers(&self) -> Result<Arc<HashSet<u32>>, ListFault> {
        self.numbers.get_or_init(|| self.each("AS number", as_number).map(Arc::new)).clone()
    }

    /// # Errors
    /// [`ListFault::Entry`], the first.
    pub fn domains(&self) -> Result<Arc<DomainList>, ListFault> {
        self.domains.get_or_init(|| self.each(DOMAIN, looked_for).map(Arc::new)).clone()
    }

    fn each<T, C: FromIterator<T>>(
        &self,
        wanted: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<C, ListFault> {
        let entries = self.entries.iter();
        let read = entries.map(|(line, entry)| {
            let fault = || ListFault::Entry { line: *line, entry: entry.chars().take(80).collect(), wanted };
            read(entry).ok_or_else(fault)
        });
        read.collect()
    }
}

/// Parses a network, or one address. IPv4 that is written as IPv6 becomes IPv4 (`::ffff:192.0.2.0/120`).
pub(super) fn network(text: &str) -> Option<IpNet> {
    let network =
        text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address)))?;
    let IpNet::V6(mapped) = network else { return Some(network) };
    let length = mapped.prefix_len().checked_sub(96);
    let short = mapped.addr().to_ipv4_mapped().zip(length);
    let short = short.and_then(|(address, length)| Ipv4Net::new(address, length).ok());
    Some(short.map_or(network, IpNet::V4))
}

/// Reads `64496` or `AS64496`.
pub(super) fn as_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("AS").or_else(|| text.strip_prefix("as")).unwrap_or(text);
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// Returns a name without its last dot, in lower case. Punycode stays as it is.
pub(super) fn domain(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fits = |label: &str| (1..=63).contains(&label.len()) && !label.contains(char::is_whitespace);
    (name.len() <= 253 && name.split('.').all(fits)).then(|| name.to_ascii_lowercase())
}

/// Parses a name to look for. If no name of an event could be it, it is a slip (`*.example.at`, an address of the web,
/// a name that is not in punycode as those of events are).
pub(super) fn looked_for(text: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    domain(text).filter(|name| name.bytes().all(plain))
}

/// The form of an entry of a list of domains, and of a text beside it.
pub(super) const DOMAIN: &str = "domain name (without *, and in its xn-- form)";

/// Networks, found by one look for each length of prefix that occurs.
#[derive(Debug, Default)]
pub struct NetworkList {
    lengths: BTreeSet<(bool, u8)>,
    networks: HashSet<IpNet>,
}

impl FromIterator<IpNet> for NetworkList {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut all = Self::default();
        for network in networks {
            all.lengths.insert((network.addr().is_ipv6(), network.prefix_len()));
            all.networks.insert(network.trunc());
        }
        all
    }
}

impl NetworkList {
    /// Returns the cost of one answer, in steps: the address is read, and looked for once for each length.
    pub fn steps(&self) -> u64 {
        4 * (self.lengths.len() as u64 + 2)
    }

    /// Returns true if all of `network` lies in one of these.
    pub fn contain(&self, network: IpNet) -> bool {
        let family = network.addr().is_ipv6();
        self.lengths
            .range((family, 0)..=(family, network.prefix_len()))
            .filter_map(|(_, length)| IpNet::new(network.addr(), *length).ok())
            .any(|wider| self.networks.contains(&wider.trunc()))
    }
}

/// Names of domains, each with all below it.
#[derive(Debug, Default)]
pub struct DomainList(HashSet<String>);

impl FromIterator<String> for DomainList {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

impl DomainList {
    /// Returns true if `name`, as [`domain`] made it, is one of these or below one.
    pub fn contain(&self, name: &str) -> bool {
        let starts = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
        starts.into_iter().any(|start| self.0.contains(&name[start..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_lies_wholly_in_it() {
        let list =
            FilterList::parse("192.0.2.0/24 # office\n\n# none\n2001:db8::/32\n198.51.100.7\n").unwrap();
        let networks = list.networks().unwrap();
        for (text, want) in [
            ("192.0.2.1", true),
            ("192.0.3.1", false),
            ("192.0.2.0/28", true),
            ("192.0.0.0/16", false),
            ("::ffff:192.0.2.9", true),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
            ("198.51.100.7", true),
            ("198.51.100.8", false),
            ("0.0.0.0/0", false),
            ("::ffff:192.0.2.0/120", true),
            ("::ffff:192.0.3.0/120", false),
            ("::ffff:192.0.0.0/112", false),
            ("::ffff:0.0.0.0/90", false),
            ("::192.0.2.9", false),
        ] {
            assert_eq!(networks.contain(network(text).unwrap()), want, "{text}");
        }
    }

    #[test]
    fn a_network_of_ipv4_may_be_written_as_one_of_ipv6() {
        let networks =
            FilterList::parse("::ffff:192.0.2.0/120\n::ffff:198.51.100.7").unwrap().networks().unwrap();
        for text in ["192.0.2.9", "::ffff:192.0.2.9", "192.0.2.128/25", "198.51.100.7"] {
            assert!(networks.contain(network(text).unwrap()), "{text}");
        }
        assert!(!networks.contain(network("192.0.3.9").unwrap()));
    }

    #[test]
    fn what_no_event_could_name_is_no_domain_to_look_for() {
        for text in
            ["*.example.at", "http://example.at", "b\u{fc}cher.example", "a@example.at", ".at", "a..at"]
        {
            assert_eq!(looked_for(text), None, "{text}");
            assert!(FilterList::parse(text).unwrap().domains().is_err(), "{text}");
        }
        for text in ["xn--bcher-kva.example", "_dmarc.Example.at.", "at"] {
            assert!(looked_for(text).is_some(), "{text}");
        }
        // Of an event any name is one; only letters of ASCII have two cases.
        assert_eq!(domain("www.B\u{dc}cher.example").as_deref(), Some("www.b\u{dc}cher.example"));
        assert_ne!(domain("ban\u{212a}.example"), domain("bank.example"));
    }

    #[test]
    fn a_domain_holds_itself_and_what_is_below_it() {
        let domains = FilterList::parse("Example.AT.\ngv.at").unwrap().domains().unwrap();
        for (text, want) in [
            ("example.at", true),
            ("www.EXAMPLE.at.", true),
            ("notexample.at", false),
            ("at", false),
            ("bka.gv.at", true),
            ("gv.at.example.org", false),
        ] {
            assert_eq!(domains.contain(&domain(text).unwrap()), want, "{text}");
        }
    }

    #[test]
    fn an_entry_that_is_none_is_named_with_its_line() {
        let list = FilterList::parse("64496\nAS64497\n64498x").unwrap();
        assert_eq!(list.numbers().unwrap_err().to_string(), "line 3: \"64498x\" is no AS number");
        assert!(list.networks().is_err());
        assert_eq!(
            FilterList::parse("1\n".repeat(FILTER_LIST_ENTRIES_MAX + 1).as_str()),
            Err(ListFault::TooMany)
        );
        assert_eq!(FilterList::parse("64496\nas64497").unwrap().numbers().unwrap().len(), 2);
    }
}
