//! Notes in `ext` which client posted an event (CONTRACT.md §7). The node vouches for it: what the event says itself under
//! that key is replaced.

use bytes::Bytes;

use super::edit;
use super::refusal::SubmitError;
use crate::event::json;
use crate::identity::PublisherName;
use crate::limits::{EXT_BYTES_MAX, JSON_DEPTH_MAX};

/// The key in `ext`.
const KEY: &str = "client";

/// Returns `ext` with the name of the client. The rest is copied byte for byte.
///
/// # Errors
/// `bad_meta` if there is no room for it.
pub(super) fn posted_by(ext: Option<&Bytes>, client: &PublisherName) -> Result<Bytes, SubmitError> {
    let value = format!("\"{client}\"");
    let Some(ext) = ext else { return Ok(format!("{{\"{KEY}\":{value}}}").into()) };
    let scan = json::scan(ext, JSON_DEPTH_MAX)?;
    let with = match scan.members.iter().find(|member| member.key == KEY) {
        Some(member) => edit::copy_edited(ext, &[(member.value_at.clone(), value.as_str())]),
        None => {
            let comma = if scan.members.is_empty() { "" } else { "," };
            let last = scan.value_at.end - 1;
            edit::copy_edited(ext, &[(last..last, &format!("{comma}\"{KEY}\":{value}"))])
        }
    };
    if with.len() > EXT_BYTES_MAX {
        let what = format!("ext with the name of the client: {} bytes, at most {EXT_BYTES_MAX}", with.len());
        return Err(SubmitError::bad_meta(what));
    }
    Ok(with.into())
}

/// Returns true if the event with this `ext` was posted by `client`.
pub(crate) fn is_posted_by(ext: Option<&Bytes>, client: &PublisherName) -> bool {
    let scan = ext.and_then(|ext| json::scan(ext, JSON_DEPTH_MAX).ok());
    scan.is_some_and(|scan| {
        let posted = scan.members.iter().find(|member| member.key == KEY);
        posted.is_some_and(|member| scan.text[member.value_at.clone()] == format!("\"{client}\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_client_is_the_nodes_word() {
        let client = PublisherName::parse("soc").unwrap();
        for (ext, want) in [
            (None, "{\"client\":\"soc\"}"),
            (Some("{}"), "{\"client\":\"soc\"}"),
            (Some("{\"a\": 1e2 }"), "{\"a\": 1e2 ,\"client\":\"soc\"}"),
            (Some("{\"client\":{\"x\":[1]},\"b\":2}"), "{\"client\":\"soc\",\"b\":2}"),
        ] {
            let ext = ext.map(|text| Bytes::from_static(text.as_bytes()));
            assert!(!is_posted_by(ext.as_ref(), &client));
            let posted = posted_by(ext.as_ref(), &client).unwrap();
            assert_eq!(posted, want);
            assert!(is_posted_by(Some(&posted), &client));
            assert!(!is_posted_by(Some(&posted), &PublisherName::parse("so").unwrap()));
        }
        let full = format!("{{\"a\":\"{}\"}}", "x".repeat(EXT_BYTES_MAX - 8));
        assert_eq!(full.len(), EXT_BYTES_MAX);
        assert!(posted_by(Some(&full.into()), &client).is_err());
    }
}
