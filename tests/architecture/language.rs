//! How plain the English of doc comments is, in figures. They find no bad sentence: they notice when the way of writing
//! drifts from what readers of other projects know. Each has the pattern, its bound, and what to write instead.

use std::collections::BTreeMap;

use regex::Regex;

use super::source::Source;

/// A pattern, how often it may occur in 1,000 words of doc comments, and what to write instead.
pub const RARE: [(&str, f64, &str); 3] = [
    (
        r"(?i)\bwhere (?:it|there|they|none|nothing|nobody|that|a|an|the|one|we|both|he|its)\b",
        1.0,
        "\"if\" for conditions, \"when\" for time; \"where\" is for places",
    ),
    (r"[.:;,!?] (?:What|Who)\b|\bof what\b", 0.8, "subject, verb, object; no \"What …\" as a noun"),
    (r"(?i)\b(?:whatever|whoever|whose|whom|whence)\b", 0.3, "another word"),
];

/// At least so often do "if" and "when" occur in 1,000 words.
pub const CONDITIONS_MIN: f64 = 9.0;

/// At most so many type names of 100 are a single word.
pub const SINGLE_WORDS_MAX: usize = 35;

/// So many type names may be defined more than once.
pub const TWICE_MAX: usize = 15;

/// The doc comments that users of the library read, without code in backticks.
pub fn doc_comments(files: &[Source]) -> String {
    let code = Regex::new("`[^`]*`").expect("a constant");
    let mut text = String::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        let shipped = file.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        for line in shipped.lines().map(str::trim) {
            let doc = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
            if let Some(doc) = doc {
                text.push_str(&code.replace_all(doc, "X"));
                text.push(' ');
            }
        }
    }
    text
}

pub fn per_thousand(text: &str, pattern: &str) -> f64 {
    let words = Regex::new("[A-Za-z']+").expect("a constant").find_iter(text).count();
    let found = Regex::new(pattern).expect("a constant").find_iter(text).count();
    found as f64 * 1_000.0 / words.max(1) as f64
}

/// How often each type name is defined.
pub fn type_names(files: &[Source]) -> BTreeMap<String, usize> {
    let defined = Regex::new(
        r"(?m)^(?: *(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|union)|(?:pub(?:\([^)]*\))? )?type) ([A-Z]\w*)",
    )
    .expect("a constant");
    let mut names = BTreeMap::new();
    for file in files.iter().filter(|file| !file.is_test()) {
        for found in defined.captures_iter(&file.shipped_code()) {
            *names.entry(found[1].to_owned()).or_default() += 1;
        }
    }
    names
}

pub fn is_single_word(name: &str) -> bool {
    name.chars().filter(char::is_ascii_uppercase).count() == 1
}
