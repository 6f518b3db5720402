//! Finds keys that are not control keys and look like one (CONTRACT.md §1.2): a producer that misspells who may have an
//! event gets an error, because the key would otherwise be kept as `ext` and the event would go to everybody. Only keys
//! are judged here; `meta` decides whether a control key's own value can be read.

use super::{MetaValue, elements};
use crate::event::json::JsonKind;
use crate::format::meta::begins_with_tlp;

/// Keys that decide who gets an event, as which event, and until when.
pub(crate) const CONTROL_KEYS: [&str; 8] =
    ["tlp", "to", "seal", "expires", "links", "ids", "uuid", "payload"];

/// Words of other systems, and their meaning here; in lower case, without `-`, `_` and blanks.
const SYNONYMS: [(&str, &str); 18] = [
    ("recipient", "to"),
    ("recipients", "to"),
    ("audience", "to"),
    ("label", "tlp"),
    ("labels", "tlp"),
    ("marking", "tlp"),
    ("markings", "tlp"),
    ("tlplabel", "tlp"),
    ("tlps", "tlp"),
    ("tlpv2", "tlp"),
    ("restriction", "tlp"),
    ("sealedto", "seal"),
    ("encrypt", "seal"),
    ("encrypted", "seal"),
    ("expire", "expires"),
    ("expiry", "expires"),
    ("expired", "expires"),
    ("validuntil", "expires"),
];

/// Ordinary words of other systems that are close to a control key.
const OTHER_WORDS: [&str; 4] = ["id", "uid", "guid", "lines"];

/// Returns the control key that the unknown `key` was probably meant to be, given its value.
pub(crate) fn resembled_key(key: &str, value: &MetaValue<'_>) -> Option<&'static str> {
    if is_named_elsewhere(key) {
        return None;
    }
    let word = normalised(key);
    if OTHER_WORDS.contains(&&*word) {
        return None;
    }
    let control = CONTROL_KEYS.into_iter().find(|control| {
        (word == *control && key != *control) || is_slip_of(&word, control) || is_close_to(&word, control)
    });
    let synonym = || SYNONYMS.iter().find(|(synonym, _)| word == *synonym).map(|(_, control)| *control);
    let by_value = || {
        let links = word == "link" && has_right_side(value);
        let label = value.string().is_some_and(|text| begins_with_tlp(&text));
        if links { Some("links") } else { label.then_some("tlp") }
    };
    control.or_else(synonym).or_else(by_value)
}

/// Returns true if the key is in a name space of its own, with no key of ours.
fn is_named_elsewhere(key: &str) -> bool {
    is_private(key) || key.contains([':', '.'])
}

/// Returns true if the key is one of the `x-*`, which everybody may use as they like.
pub(crate) fn is_private(key: &str) -> bool {
    key.starts_with("x-")
}

fn normalised(key: &str) -> String {
    let kept = key.chars().filter(|char| !matches!(char, '-' | '_') && !char.is_whitespace());
    kept.flat_map(char::to_lowercase).collect()
}

/// Returns true if `word` becomes `control` when two neighbours are swapped, or one of two equal ones is dropped.
fn is_slip_of(word: &str, control: &str) -> bool {
    let letters: Vec<char> = word.chars().collect();
    (1..letters.len()).any(|at| {
        let mut fixed = letters.clone();
        if fixed[at - 1] == fixed[at] {
            fixed.remove(at);
        } else {
            fixed.swap(at - 1, at);
        }
        fixed.iter().copied().eq(control.chars())
    })
}

/// Returns true if `word` is one edit from a long control key. The short ones are one edit away from too many words.
fn is_close_to(word: &str, control: &str) -> bool {
    if !matches!(control, "expires" | "payload") {
        return false;
    }
    let (word, control): (Vec<char>, Vec<char>) = (word.chars().collect(), control.chars().collect());
    let start = word.iter().zip(&control).take_while(|(one, other)| one == other).count();
    let rest = |letters: &[char], skipped: usize| letters.get(start + skipped..).unwrap_or_default().to_vec();
    match word.len().cmp(&control.len()) {
        std::cmp::Ordering::Equal => start < word.len() && rest(&word, 1) == rest(&control, 1),
        std::cmp::Ordering::Less => word.len() + 1 == control.len() && rest(&word, 0) == rest(&control, 1),
        std::cmp::Ordering::Greater => word.len() == control.len() + 1 && rest(&word, 1) == rest(&control, 0),
    }
}

/// Returns true if it is a link, or a list with one in it.
fn has_right_side(value: &MetaValue<'_>) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(value.text) else { return false };
    let is_link = |value: &serde_json::Value| value.get("right").is_some();
    is_link(&value) || value.as_array().is_some_and(|list| list.iter().any(is_link))
}

/// Returns true if `key` can act on this value. Other systems have lists of texts under `links`, and of numbers under
/// `ids`, which are kept as they are.
pub(crate) fn is_its_own_type(key: &str, value: &MetaValue<'_>) -> bool {
    match key {
        "links" => elements(value).is_some_and(|links| links.iter().any(serde_json::Value::is_object)),
        "ids" => value.kind == JsonKind::String,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resembled(key: &str, value: &str) -> Option<&'static str> {
        let kind = if value.starts_with('"') { JsonKind::String } else { JsonKind::Literal };
        resembled_key(key, &MetaValue { text: value, kind })
    }

    #[test]
    fn keys_that_resemble_a_control_key_name_it() {
        for (key, control) in [
            ("TLP", "tlp"),
            ("t-l_p", "tlp"),
            ("tlpp", "tlp"),
            ("tpl", "tlp"),
            ("To", "to"),
            ("t o", "to"),
            ("too", "to"),
            ("ot", "to"),
            ("Recipients", "to"),
            ("SEAL", "seal"),
            ("seall", "seal"),
            ("sael", "seal"),
            ("sealed_to", "seal"),
            ("expries", "expires"),
            ("expire", "expires"),
            ("expirest", "expires"),
            ("valid-until", "expires"),
            ("Links", "links"),
            ("lniks", "links"),
            ("IDs", "ids"),
            ("uuiid", "uuid"),
            ("UUID", "uuid"),
            ("Payload", "payload"),
            ("pyload", "payload"),
            ("restriction", "tlp"),
        ] {
            assert_eq!(resembled(key, "1"), Some(control), "{key}");
        }
        assert_eq!(resembled("campaign", "\"TLP:RED\""), Some("tlp"));
        assert_eq!(resembled("campaign", "\" tlp:green\""), Some("tlp"));
        assert_eq!(resembled("link", "[{\"right\":\"RT#1\"}]"), Some("links"));
    }

    #[test]
    fn keys_of_others_resemble_nothing() {
        for key in [
            "id", "ID", "uid", "guid", "link", "lines", "x-tlp", "ail:tlp", "a.tlp", "campaign", "tags",
            "top", "two", "deal", "ids2", "tlp", "payload", "exports", "",
        ] {
            assert_eq!(resembled(key, "1"), None, "{key}");
        }
        assert_eq!(resembled("x-label", "\"TLP:RED\""), None);
        assert_eq!(resembled("ail:label", "\"TLP:RED\""), None);
        assert_eq!(resembled("campaign", "\"RED\""), None);
        assert_eq!(resembled("link", "\"http://example.org/\""), None);
    }
}
