//! Host names and URLs as IntelMQ reads them: IDNA 2003 and Python's `urlsplit`. Names beyond ASCII are known here only
//! if all versions of its tables treat their letters alike.

use super::address::is_address;
use super::value::{SanitizedValue, strip};

/// Bytes of one label of a name.
const LABEL_BYTES_MAX: usize = 63;

/// Returns true if a name is in order: lower case, ASCII, no dot at its ends, not an address, nothing of a URL.
pub(super) fn is_host(text: &str) -> bool {
    text.is_ascii()
        && !text.bytes().any(|byte| byte.is_ascii_uppercase())
        && text.trim_matches('.') == text
        && is_name(text)
}

/// Cleans a name as IntelMQ can: white space and dots off its ends, lower case, punycode.
pub(super) fn sanitized_host(text: &str) -> Option<SanitizedValue<'static>> {
    // It also looks at the name as it stands, and stops at what IDNA refuses there.
    let stands = text.trim_matches('.');
    let name = strip(text).trim_matches('.');
    if !is_name(stands) || !is_name(name) || !stands.split('.').all(can_be_punycode) {
        return None;
    }
    if name.is_ascii() {
        Some(SanitizedValue::from(name.to_ascii_lowercase()))
    } else {
        Some(SanitizedValue::Unmeasured)
    }
}

fn is_name(text: &str) -> bool {
    let labels = text.split('.').all(|label| (1..=LABEL_BYTES_MAX).contains(&label.len()));
    labels && !text.contains([':', '/', '?', '#', '[', ']']) && !is_address(text)
}

/// Returns true if punycode can write it; six characters a letter are more than that needs.
fn can_be_punycode(label: &str) -> bool {
    let letters = label.chars().filter(|c| !c.is_ascii()).count();
    let long = "xn--".len() + 1 + label.len() + 6 * letters;
    let begins = label.to_ascii_lowercase().starts_with("xn--");
    letters == 0
        || (long <= LABEL_BYTES_MAX && !begins && label.chars().all(|c| c.is_ascii() || is_known_letter(c)))
}

/// Letters written from left to right since Unicode 3.2.
fn is_known_letter(c: char) -> bool {
    matches!(c,
        '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{17f}'
        | '\u{391}'..='\u{3a1}' | '\u{3a3}'..='\u{3a9}' | '\u{3ac}'..='\u{3ce}'
        | '\u{400}'..='\u{45f}'
        | '\u{3041}'..='\u{3094}' | '\u{30a1}'..='\u{30fa}' | '\u{4e00}'..='\u{9fa5}' | '\u{ac00}'..='\u{d7a3}')
}

/// Returns true if it is a URL with a host.
pub(super) fn is_url(text: &str) -> bool {
    matches!(split(text), Some(HostSplit { host, .. }) if !host.is_empty())
}

/// Returns a URL that IntelMQ gives a host, or in which it replaces `hxxp`.
pub(super) fn sanitized_url(text: &str) -> Option<String> {
    let text = strip(text).replace("hxxp://", "http://").replace("hxxps://", "https://");
    let found = split(&text)?;
    if found.host.is_empty() && found.scheme.eq_ignore_ascii_case("file") {
        return Some(format!("file://localhost/{}", found.rest.trim_start_matches('/')));
    }
    Some(text)
}

/// Scheme, host and the rest, as `urlsplit` finds them.
struct HostSplit<'a> {
    scheme: &'a str,
    host: &'a str,
    rest: &'a str,
}

/// Splits a URL. Returns `None` if Python's versions differ, or stop.
fn split(text: &str) -> Option<HostSplit<'_>> {
    let first = text.chars().next()?;
    if first <= ' ' || text.contains(['\t', '\r', '\n']) {
        return None;
    }
    let (scheme, rest) = match text.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (scheme, rest),
        _ => ("", text),
    };
    let Some(rest) = rest.strip_prefix("//") else {
        return Some(HostSplit { scheme, host: "", rest });
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    let sound = host.chars().all(|c| c.is_ascii() || is_known_letter(c)) && has_sound_brackets(host);
    sound.then_some(HostSplit { scheme, host, rest })
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Returns true if it has no brackets, or one pair around an address of version 6.
fn has_sound_brackets(host: &str) -> bool {
    if !host.contains(['[', ']']) {
        return true;
    }
    let host =
        host.rsplit_once('@').map_or(host, |(user, host)| if user.contains(['[', ']']) { "]" } else { host });
    let Some((address, port)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) else {
        return false;
    };
    let port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    port && address.parse::<std::net::Ipv6Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_intelmq_takes_as_they_stand_or_mended() {
        let long = "a".repeat(64);
        for (text, stands, mended) in [
            ("example.com", true, true),
            ("Example.COM.", false, true),
            (" example.com ", true, true),
            ("_dmarc.*.example", true, true),
            ("localhost", true, true),
            ("a..b", false, false),
            (&long, false, false),
            (&long[1..], true, true),
            ("192.0.2.1", false, false),
            ("192.0.2.1:80", false, false),
            ("a/b", false, false),
            ("", false, false),
            ("...", false, false),
            ("bücher.example", false, true),
            ("faß.de", false, true),
            ("\u{5d0}.example", false, false),
            ("a\u{3002}b", false, false),
            ("xn--bücher.example", false, false),
            ("\u{2028}a", false, false),
        ] {
            assert_eq!(is_host(text), stands, "{text}");
            assert_eq!(sanitized_host(text).is_some(), mended, "{text}");
        }
    }

    #[test]
    fn urls_are_those_with_a_host_and_without_what_stops_python() {
        for (text, stands, mended) in [
            ("http://example.com/a b", true, true),
            ("//example.com", true, true),
            (" http://example.com", false, true),
            ("hxxps://example.com", true, true),
            ("example.com/a", false, false),
            ("http://[::1]:80/", true, true),
            ("http://user@[::1]/", true, true),
            ("http://[::1", false, false),
            ("http://[::1]x/", false, false),
            ("http://a[::1]/", false, false),
            ("http://example.com\u{2100}/", false, false),
            ("http://b\u{fc}cher.example/\u{2100}", true, true),
            ("file:///etc", false, true),
            ("http://", false, false),
            ("http:\n//a", false, false),
            ("", false, false),
        ] {
            assert_eq!(is_url(text), stands, "{text}");
            assert_eq!(sanitized_url(text).is_some_and(|url| is_url(&url)), mended, "{text}");
        }
    }
}
