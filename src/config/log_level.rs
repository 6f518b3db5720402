//! How much is logged: the values of `log` in `intelmesh.toml`, and of the environment. A word that is not a level
//! would be taken for the name of a module, and silence everything; so it is refused.

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The form of a level, for messages.
pub(crate) const WANTED: &str = "a level: off, error, warn, info, debug, trace, or MODULE=LEVEL,…";

/// Returns the directives for `said`. A level applies to this program, and the libraries are kept quiet; else each part
/// of `said` is a directive. `None` if it is neither.
pub(crate) fn directives(said: &str) -> Option<String> {
    let word = said.trim().to_lowercase();
    if LEVELS.contains(&word.as_str()) {
        let libraries = if ["debug", "trace", "info"].contains(&word.as_str()) { "warn" } else { &word };
        return Some(format!("{libraries},intelmesh={word}"));
    }
    let is_level = |text: &str| LEVELS.contains(&text.trim().to_lowercase().as_str());
    let is_module = |text: &str| {
        !text.trim().is_empty()
            && text.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let is_directive = |part: &str| match part.rsplit_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(part),
    };
    said.split(',').all(is_directive).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_not_taken_for_one() {
        for good in ["info", "DEBUG", "off", "warn,intelmesh=debug", "intelmesh::local=trace,error"] {
            assert!(directives(good).is_some(), "{good}");
        }
        for bad in ["verbose", "x", "", "intelmesh=loud", "warn,verbose", "=x", "a b=info"] {
            assert!(directives(bad).is_none(), "{bad}");
        }
        assert_eq!(directives("debug").as_deref(), Some("warn,intelmesh=debug"));
    }
}
