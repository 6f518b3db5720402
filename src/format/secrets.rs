//! Finds passwords and keys inside URLs: a feed's address often has one, and would be published with each event of it.
//! Only the secret itself is replaced, in every way in which JSON writes the text around it. A URL is a text that
//! begins with a scheme and has no blanks; URLs in the middle of a sentence are not looked at.

use std::ops::Range;

use crate::event::json::{self, EscapedPlaces};

/// Replaces a secret. It may stand in each part of a URL.
pub(crate) const MASK: &str = "***";

/// A text in JSON that holds JSON itself is read, so deep at most: IntelMQ writes `extra` so.
const NESTED_MAX: usize = 2;

/// Names of parameters that have secrets as values; in lower case, without `-`, `_` and `.`. A signature is not one of
/// them: a signed URL is made to be handed on, for one object and a limited time.
const SECRET_PARAMETERS: [&str; 28] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apisecret",
    "apitoken",
    "appkey",
    "auth",
    "authkey",
    "authorization",
    "authtoken",
    "bearer",
    "clientsecret",
    "credential",
    "credentials",
    "idtoken",
    "jwt",
    "key",
    "licensekey",
    "pass",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "subscriptionkey",
    "token",
];

/// Returns the ranges of secrets in the JSON `text`, ascending and apart.
pub(crate) fn secret_places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    in_json(text, 0, &mut |place| places.push(place));
    places
}

/// Looks at each text that is a value, and not at keys.
fn in_json(text: &str, nested: usize, found: &mut dyn FnMut(Range<usize>)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(start) = bytes[at..].iter().position(|byte| *byte == b'"').map(|found| at + found + 1) {
        let end = string_end(bytes, start);
        let behind = bytes.get(end + 1..).unwrap_or_default();
        let is_key = behind.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        let inside = &text[start..end];
        if !is_key && may_hold_a_url(inside) {
            in_string(inside, nested, &mut |place| found(start + place.start..start + place.end));
        }
        at = (end + 1).min(bytes.len());
    }
}

/// Returns the place of the quote that ends the string with content from `start` on.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len())
}

fn may_hold_a_url(escaped: &str) -> bool {
    escaped.contains("//") || escaped.contains('\\')
}

/// Finds secrets in `escaped`, the inside of a string.
fn in_string(escaped: &str, nested: usize, found: &mut dyn FnMut(Range<usize>)) {
    let plain = json::unescape(escaped);
    let mut inside = Vec::new();
    if plain.trim_start().starts_with(['{', '[']) {
        // Python writes what is not quite JSON (NaN): only strings are looked for.
        if nested < NESTED_MAX {
            in_json(&plain, nested + 1, &mut |place| inside.push(place));
        }
    } else {
        in_url(&plain, &mut |place| inside.push(place));
    }
    let mut places = EscapedPlaces::new(escaped);
    for place in inside {
        let (start, end) = (places.of(place.start), places.of(place.end));
        found(start..end);
    }
}

fn in_url(text: &str, found: &mut dyn FnMut(Range<usize>)) {
    let Some(scheme) = text.find("://") else { return };
    let name = text[..scheme].trim_start();
    let is_scheme = name.starts_with(|char: char| char.is_ascii_alphabetic())
        && name.chars().all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char));
    let from = scheme + 3;
    if !is_scheme || text.trim().contains(char::is_whitespace) {
        return;
    }
    let host_end = text[from..].find(['/', '?', '#']).map_or(text.len(), |at| from + at);
    if let Some(at) = text[from..host_end].rfind('@') {
        let user = &text[from..from + at];
        // HTTP has no login here: a name alone is a token.
        if user.contains(':') || (!user.is_empty() && name.to_ascii_lowercase().starts_with("http")) {
            found(from..from + at);
        }
    }
    let parameters = text[host_end..].find(['?', '#']).map_or(text.len(), |at| host_end + at + 1);
    let mut at = parameters;
    for part in text[parameters..].split(['&', ';', '?', '#']) {
        if let Some((name, value)) = part.split_once('=').filter(|(name, value)| is_secret(name, value)) {
            let start = at + name.len() + 1;
            found(start..start + value.trim_end().len());
        }
        at += part.len() + 1;
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let letters = name.chars().filter(|char| !matches!(char, '-' | '_' | '.' | '[' | ']'));
    let name: String = letters.flat_map(char::to_lowercase).collect();
    !value.trim_end().is_empty() && SECRET_PARAMETERS.contains(&&*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut out = text.to_owned();
        for place in secret_places(text).into_iter().rev() {
            out.replace_range(place, MASK);
        }
        assert_eq!(json::scan(out.as_bytes(), 8).is_ok(), json::scan(text.as_bytes(), 8).is_ok(), "{out}");
        out
    }

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        for (text, want) in [
            (r#"{"feed.url":"https://u:p@h/x"}"#, r#"{"feed.url":"https://***@h/x"}"#),
            (r#"{"feed.url":"https://ghp_1@h"}"#, r#"{"feed.url":"https://***@h"}"#),
            (r#"{"a":"ftp://u:p@s@h:21/@x"}"#, r#"{"a":"ftp://***@h:21/@x"}"#),
            (r#"{"a":"ssh://git@h/x"}"#, r#"{"a":"ssh://git@h/x"}"#),
            (r#"{"a":"http://h/?key=1&b=2"}"#, r#"{"a":"http://h/?key=***&b=2"}"#),
            (r#"{"a":"http://h?b=2&API_Key=x%20y"}"#, r#"{"a":"http://h?b=2&API_Key=***"}"#),
            (r#"{"a":"http://h/?token=&a=1;secret=2"}"#, r#"{"a":"http://h/?token=&a=1;secret=***"}"#),
            (r#"{"a":"http://h/#access_token=1&x=2"}"#, r#"{"a":"http://h/#access_token=***&x=2"}"#),
            (
                r#"{"a":"http:\/\/u:p@h\/?key=\u0031\u0026b=1"}"#,
                r#"{"a":"http:\/\/***@h\/?key=***\u0026b=1"}"#,
            ),
            (r#"{"a" : [ "http://h/?apikey=é" , 1.0 ]}"#, r#"{"a" : [ "http://h/?apikey=***" , 1.0 ]}"#),
            (r#"{"extra":{"u":{"v":"http://a:b@h"}}}"#, r#"{"extra":{"u":{"v":"http://***@h"}}}"#),
            (
                r#"{"extra":"{\"u\":\"http://a:b@h/?key=\\u0031\"}"}"#,
                r#"{"extra":"{\"u\":\"http://***@h/?key=***\"}"}"#,
            ),
            (r#"{"http://u:p@h":1}"#, r#"{"http://u:p@h":1}"#),
            (r#"{"a":"see http://u:p@h"}"#, r#"{"a":"see http://u:p@h"}"#),
            (r#"{"a":"http://h/?monkey=1&page=key"}"#, r#"{"a":"http://h/?monkey=1&page=key"}"#),
            (
                r#"{"a":"//h?key=1","b":"mailto:a@b","c":"1://u:p@h"}"#,
                r#"{"a":"//h?key=1","b":"mailto:a@b","c":"1://u:p@h"}"#,
            ),
            (r#"{"raw":"aa//bb://cc=="}"#, r#"{"raw":"aa//bb://cc=="}"#),
        ] {
            assert_eq!(masked(text), want, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_masking_panic(text in "(\\{|\\}|\"|\\\\|:|//|://|@|\\?key=|&|u00e9|é| |a){0,24}") {
            let places = secret_places(&text);
            proptest::prop_assert!(places.iter().all(|place| text.get(place.clone()).is_some()));
        }
    }
}
