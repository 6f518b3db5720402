//! The patterns of IDEA0's definition: which texts its readers take. What they mean is not known here.

/// Returns true for `[a-zA-Z0-9._-]+`.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Returns true for the name of a node: `(?:[a-z_][a-z0-9_]*\.)*[a-z_][a-z0-9_]*`.
pub(crate) fn is_node_name(text: &str) -> bool {
    text.split('.').all(|part| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    })
}

/// Returns true for a tag with at most one dot: a category.
pub(crate) fn is_event_tag(text: &str) -> bool {
    let mut parts = text.split('.');
    let tag = |part: Option<&str>| part.is_none_or(is_tag);
    parts.next().is_some_and(is_tag) && tag(parts.next()) && parts.next().is_none()
}

/// Returns true for `[a-zA-Z0-9_-]+`.
pub(crate) fn is_tag(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Returns true for a URI: a scheme, a colon, and printable ASCII without the characters that the definition excludes.
pub(crate) fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'.' | b'-'))
        && !rest.is_empty()
        && rest.bytes().all(is_uri_byte)
}

fn is_uri_byte(byte: u8) -> bool {
    matches!(byte, b'#'..=b'~' if !b"<>{}\\^`|$".contains(&byte))
}

/// Returns a text with its bytes that no URI may have percent-encoded.
pub(crate) fn uri_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_uri_byte(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Returns a name as the last part of a URI: blanks become `+`.
pub(crate) fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Returns the name that [`quoted`] wrote; `None` if it is not UTF-8.
pub(crate) fn unquoted(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let pair = (bytes.next(), bytes.next());
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let code = digit(pair.0)? << 4 | digit(pair.1)?;
                out.push(u8::try_from(code).ok()?);
            }
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

/// Returns a name of ours as the name of a node.
pub(crate) fn node_name(name: &str) -> String {
    let part = |part: &str| {
        let plain: String = part
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect();
        let digit = plain.starts_with(|c: char| c.is_ascii_digit()) || plain.is_empty();
        if digit { format!("_{plain}") } else { plain }
    };
    let parts: Vec<String> = name.split('.').map(part).collect();
    parts.join(".")
}

/// Returns the name of this node if the door gives none: `cert-at` becomes `at.cert.intelmesh`.
pub(crate) fn default_node(publisher: Option<&str>) -> String {
    let Some(publisher) = publisher else { return "intelmesh".to_owned() };
    let parts: Vec<&str> = publisher.split('-').rev().filter(|part| !part.is_empty()).collect();
    format!("{}.intelmesh", node_name(&parts.join(".")))
}
