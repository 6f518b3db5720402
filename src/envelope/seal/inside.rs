//! The sealed text (PROTOCOL.md §2.6): payload, ext, links and parent under the keys that they have in a core, as
//! deterministic CBOR. Zeros up to a power of two follow, so that its size tells little. Encryption is `seal`'s.

use bytes::Bytes;

use super::{OpenError, SealError};
use crate::cbor::{self, CborReader};
use crate::envelope::core_fields::{self, key};
use crate::envelope::{CodecError, EXTENSION_KEYS, Extensions, OpenedBody};
use crate::event::check_body;
use crate::limits::{EXT_BYTES_MAX, SEALED_BYTES_MAX, SEALED_BYTES_MIN};

/// The padded text, with room for a tag behind it.
pub(super) fn encode(opened: &OpenedBody) -> Result<Vec<u8>, SealError> {
    let beside = [opened.parent.is_some(), !opened.links.is_empty(), opened.ext.is_some()]
        .into_iter()
        .filter(|is| *is);
    let mut out = Vec::with_capacity(2 * opened.payload.len() + SEALED_BYTES_MIN + super::TAG_BYTES);
    cbor::put_map(&mut out, beside.count() + 1 + opened.extensions.len());
    core_fields::put_context(&mut out, opened.parent.as_ref(), &opened.links, opened.ext.as_ref());
    core_fields::put_key(&mut out, key::BODY);
    cbor::put_bytes(&mut out, &opened.payload);
    out.extend_from_slice(opened.extensions.bytes());
    let padded = padded_len(out.len());
    if padded > SEALED_BYTES_MAX {
        return Err(SealError::TooLarge(out.len()));
    }
    out.resize(padded, 0);
    Ok(out)
}

fn padded_len(len: usize) -> usize {
    len.max(SEALED_BYTES_MIN).next_power_of_two()
}

/// Reads the padded text, and checks it as a door checks submitted events.
pub(super) fn decode(text: &Bytes) -> Result<OpenedBody, OpenError> {
    let fault = |why: &str| OpenError::Inside(why.to_owned());
    let mut whole = CborReader::new(text);
    let item = whole.skip_item().map_err(CodecError::from)?;
    if padded_len(item.len()) != text.len() || text[item.len()..].iter().any(|byte| *byte != 0) {
        return Err(fault("its padding is not zeros up to the next power of two"));
    }
    let mut reader = CborReader::new(item);
    let pairs = reader.map().map_err(|_| fault("no map"))?;
    let mut opened = OpenedBody {
        payload: Bytes::new(),
        ext: None,
        links: Vec::new(),
        parent: None,
        extensions: Extensions::default(),
    };
    let mut payload = None;
    for read in 0..pairs {
        let before = reader.clone();
        match reader.integer() {
            Ok(key::PARENT) => opened.parent = Some(core_fields::event_id(&mut reader, "parent")?),
            Ok(key::LINKS) => opened.links = core_fields::links(&mut reader)?,
            Ok(key::EXT) => {
                opened.ext = Some(text.slice_ref(reader.bytes().map_err(|_| fault("ext is no bytes"))?));
            }
            Ok(key::BODY) => payload = Some(reader.bytes().map_err(|_| fault("the body is no bytes"))?),
            Ok(key) if EXTENSION_KEYS.contains(&key) => {
                opened.extensions = Extensions::read(before, &text.slice(..item.len()), pairs - read)?;
                break;
            }
            _ => return Err(fault("a key that has no place there")),
        }
    }
    opened.payload = text.slice_ref(payload.ok_or_else(|| fault("no body"))?);
    // Another encoding of the same (a name with `_`) is refused, as in a core.
    if encode(&opened).ok().as_deref() != Some(&text[..]) {
        return Err(CodecError::NotCanonical.into());
    }
    core_fields::check_links(&opened.links)?;
    check_body(&opened.payload).map_err(|fault| OpenError::Json { part: "body", fault })?;
    match &opened.ext {
        Some(ext) if ext.len() > EXT_BYTES_MAX => return Err(fault("ext is too large")),
        Some(ext) => drop(check_body(ext).map_err(|fault| OpenError::Json { part: "ext", fault })?),
        None => {}
    }
    Ok(opened)
}
