//! Setting one key in a file that the program wrote, line by line. It deliberately is no parser of TOML: it
//! leaves everything else as it stands, comments included.

/// `text` with `key = value` in `[section]` (at the top where `section` is empty), replacing what was there.
pub fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let wanted = format!("{key} = {value}");
    let header = format!("[{section}]");
    let begin = if section.is_empty() {
        0
    } else if let Some(at) = lines.iter().position(|line| line.trim() == header) {
        at + 1
    } else {
        lines.push(header);
        lines.len()
    };
    let end = (begin..lines.len()).find(|&at| lines[at].trim_start().starts_with('[')).unwrap_or(lines.len());
    let is_key = |line: &String| {
        line.trim_start().strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    match lines[begin..end].iter().position(is_key) {
        Some(at) => lines[begin + at] = wanted,
        None => lines.insert(begin, wanted),
    }
    lines.join("\n") + "\n"
}
