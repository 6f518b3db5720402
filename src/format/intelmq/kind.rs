//! The kinds of IntelMQ's fields, and the values that each takes: as they stand, or after IntelMQ's own changes. If
//! Python's answer depends on its version or on a heuristic, the answer here is no: a yes here is always right. Lengths
//! and patterns are the field's.

use super::address::{is_address, is_like_address, is_network};
use super::host::{is_host, is_url, sanitized_host, sanitized_url};
use super::moment::{is_moment, is_readable_moment};
use super::value::{FieldValue, SanitizedValue, float_of, int_of, is_space, strip, whole_part};
use crate::event::json;
use crate::limits::JSON_DEPTH_MAX;

/// The kinds of IntelMQ 3.5.0, under its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// `String`, `GenericType`, and every name that is not known here.
    Text,
    Lowercase,
    Uppercase,
    Integer,
    Float,
    Accuracy,
    Asn,
    Boolean,
    Address,
    Network,
    Host,
    Url,
    Moment,
    Tlp,
    Registry,
    Base64,
    Json,
    JsonDict,
    Taxonomy,
    Type,
}

impl FieldKind {
    pub(crate) fn parse(name: &str) -> Self {
        match name {
            "LowercaseString" => Self::Lowercase,
            "UppercaseString" => Self::Uppercase,
            "Integer" => Self::Integer,
            "Float" => Self::Float,
            "Accuracy" => Self::Accuracy,
            "ASN" => Self::Asn,
            "Boolean" => Self::Boolean,
            "IPAddress" => Self::Address,
            "IPNetwork" => Self::Network,
            "FQDN" => Self::Host,
            "URL" => Self::Url,
            "DateTime" => Self::Moment,
            "TLP" => Self::Tlp,
            "Registry" => Self::Registry,
            "Base64" => Self::Base64,
            "JSON" => Self::Json,
            "JSONDict" => Self::JsonDict,
            "ClassificationTaxonomy" => Self::Taxonomy,
            "ClassificationType" => Self::Type,
            _ => Self::Text,
        }
    }

    /// Returns true if the value is taken as it stands.
    pub(crate) fn is_valid(self, value: &FieldValue<'_>) -> bool {
        let FieldValue::Text(text) = value else { return self.is_valid_unquoted(value) };
        match self {
            Self::Text => !text.is_empty(),
            Self::Lowercase => !text.is_empty() && **text == text.to_lowercase(),
            Self::Uppercase => !text.is_empty() && **text == text.to_uppercase(),
            Self::Address => is_address(text),
            Self::Network => is_network(text, true),
            Self::Host => is_host(text),
            Self::Url => is_url(text),
            Self::Moment => is_moment(text),
            Self::Tlp => matches!(&**text, "WHITE" | "GREEN" | "AMBER" | "RED"),
            Self::Registry => matches!(&**text, "AFRINIC" | "APNIC" | "ARIN" | "LACNIC" | "RIPE"),
            Self::Base64 => is_base64(text),
            Self::Json => json::scan(text.as_bytes(), JSON_DEPTH_MAX).is_ok(),
            Self::JsonDict => {
                json::scan(text.as_bytes(), JSON_DEPTH_MAX).is_ok_and(|scan| !scan.members.is_empty())
            }
            Self::Taxonomy => TAXONOMIES.contains(&&**text),
            Self::Type => TYPES.contains(&&**text),
            Self::Integer | Self::Float | Self::Accuracy | Self::Asn | Self::Boolean => false,
        }
    }

    fn is_valid_unquoted(self, value: &FieldValue<'_>) -> bool {
        match (self, value) {
            (Self::Boolean | Self::Accuracy, FieldValue::Bool(_)) => true,
            (Self::Integer | Self::Float, FieldValue::Int(_)) => true,
            (Self::Float, FieldValue::Float(_)) => true,
            (Self::Accuracy, FieldValue::Int(digits)) => {
                digits.parse().is_ok_and(|number: f64| is_percent(number))
            }
            (Self::Accuracy, FieldValue::Float(number)) => is_percent(*number),
            (Self::Asn, FieldValue::Int(digits)) => is_asn(digits),
            _ => false,
        }
    }

    /// Returns the value that IntelMQ makes of it, if it then takes that.
    pub(crate) fn sanitized<'a>(self, value: &'a FieldValue<'_>) -> Option<SanitizedValue<'a>> {
        match (self, value) {
            (Self::Text, _) if value.is_truthy() => as_text(strip(&value.as_text()?)),
            (Self::Integer, _) => Some(SanitizedValue::Text(int_from(value)?.into())),
            (Self::Asn, _) => {
                Some(asn_from(value)?).filter(|digits| is_asn(digits)).map(SanitizedValue::from)
            }
            (Self::Float, FieldValue::Bool(_)) => Some(SanitizedValue::Unmeasured),
            (Self::Float, FieldValue::Text(text)) => float_of(text).map(|_| SanitizedValue::Unmeasured),
            (Self::Accuracy, FieldValue::Text(text)) => {
                float_of(text).filter(|number| is_percent(*number)).map(|_| SanitizedValue::Unmeasured)
            }
            (Self::Boolean, _) => is_like_bool(value).then_some(SanitizedValue::Unmeasured),
            (Self::Address, _) => is_like_address(value).then_some(SanitizedValue::Unmeasured),
            (Self::Json, FieldValue::Text(text)) => can_be_quoted(text).then_some(SanitizedValue::Unmeasured),
            (Self::Json, _) => (*value != FieldValue::Null).then_some(SanitizedValue::Unmeasured),
            (_, FieldValue::Text(text)) => self.sanitized_text(text),
            _ => None,
        }
    }

    fn sanitized_text(self, text: &str) -> Option<SanitizedValue<'static>> {
        let lower = || strip(&text.to_lowercase()).to_owned();
        let upper = || strip(&text.to_uppercase()).to_owned();
        let sanitized = match self {
            Self::Network => return is_network(strip(text), false).then_some(SanitizedValue::Unmeasured),
            Self::Moment => return is_readable_moment(text).then_some(SanitizedValue::Unmeasured),
            Self::Host => return sanitized_host(text),
            Self::Url => sanitized_url(text)?,
            Self::Lowercase => lower(),
            Self::Uppercase => upper(),
            Self::Tlp => label_of(&upper()),
            Self::Registry => match upper().as_str() {
                "RIPENCC" | "RIPE-NCC" => "RIPE".to_owned(),
                other => other.to_owned(),
            },
            Self::Taxonomy => current_taxonomy(&lower()).to_owned(),
            Self::Type => current_type(&lower()).to_owned(),
            _ => return None,
        };
        let value = FieldValue::Text(sanitized.into());
        if !self.is_valid(&value) {
            return None;
        }
        let FieldValue::Text(text) = value else { return None };
        Some(SanitizedValue::Text(text.into_owned().into()))
    }
}

fn as_text(text: &str) -> Option<SanitizedValue<'static>> {
    (!text.is_empty()).then(|| SanitizedValue::from(text.to_owned()))
}

fn int_from(value: &FieldValue<'_>) -> Option<String> {
    match value {
        FieldValue::Text(text) => int_of(text),
        FieldValue::Float(number) if number.is_finite() => Some(whole_part(*number)),
        FieldValue::Bool(number) => Some(u8::from(*number).to_string()),
        _ => None,
    }
}

fn asn_from(value: &FieldValue<'_>) -> Option<String> {
    match value {
        FieldValue::Text(text) if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("as")) => {
            int_of(&text[2..])
        }
        _ => int_from(value),
    }
}

fn is_like_bool(value: &FieldValue<'_>) -> bool {
    match value {
        FieldValue::Int(digits) => matches!(*digits, "0" | "1"),
        FieldValue::Text(text) => matches!(strip(text).to_lowercase().as_str(), "true" | "false"),
        _ => false,
    }
}

fn is_percent(number: f64) -> bool {
    (0.0..=100.0).contains(&number)
}

fn is_asn(digits: &str) -> bool {
    digits.parse().is_ok_and(|number: u32| number > 0)
}

/// Returns true if text that is not JSON can be quoted at a JSON field. Python first tries to read it, and fails badly
/// at deep brackets.
fn can_be_quoted(text: &str) -> bool {
    text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count() <= JSON_DEPTH_MAX
}

/// Takes `TLP:` off, and maps IntelMQ's own YELLOW.
fn label_of(upper: &str) -> String {
    let rest = upper.strip_prefix("TLP:").or_else(|| upper.strip_prefix("TLP")).unwrap_or(upper);
    match rest.trim_start_matches(is_space) {
        "YELLOW" => "AMBER".to_owned(),
        label => label.to_owned(),
    }
}

/// Returns true if Python's lenient reader of base64 takes it. The reader passes over other characters, but the letters
/// that are left must end after a multiple of four.
pub(super) fn is_base64(text: &str) -> bool {
    let (mut letters, mut pads) = (0u8, 0u8);
    for byte in text.bytes() {
        match byte {
            b'=' if letters >= 2 => {
                pads += 1;
                if letters + pads >= 4 {
                    return true;
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                pads = 0;
                letters = (letters + 1) % 4;
            }
            _ => {}
        }
    }
    letters == 0 && !text.is_empty()
}

/// Maps old names of `classification.taxonomy` to the present ones.
fn current_taxonomy(lower: &str) -> &str {
    match lower {
        "abusive content" => "abusive-content",
        "information gathering" => "information-gathering",
        "intrusion attempts" => "intrusion-attempts",
        "malicious code" => "malicious-code",
        other => other,
    }
}

/// Maps old names of `classification.type` to the present ones.
fn current_type(lower: &str) -> &str {
    match lower {
        "botnet drone" | "infected system" | "ransomware" => "infected-system",
        "c&c" | "c2server" => "c2-server",
        "ids alert" => "ids-alert",
        "malware configuration" => "malware-configuration",
        "leak" => "data-leak",
        "vulnerable client" | "vulnerable service" => "vulnerable-system",
        "unknown" => "undetermined",
        "dga domain" => "dga-domain",
        "unauthorized-login" | "unauthorized-command" | "compromised" | "backdoor" => "system-compromise",
        "defacement" => "unauthorised-information-modification",
        "dropzone" => "other",
        other => other,
    }
}

/// Returns the words of IntelMQ 3.5.0 for `classification.taxonomy` and `classification.type`.
pub(crate) fn classifications() -> impl Iterator<Item = &'static str> {
    TAXONOMIES.into_iter().chain(TYPES)
}

const TAXONOMIES: [&str; 11] = [
    "abusive-content",
    "availability",
    "fraud",
    "information-content-security",
    "information-gathering",
    "intrusion-attempts",
    "intrusions",
    "malicious-code",
    "other",
    "test",
    "vulnerable",
];

/// By taxonomy, in the order above.
const TYPES: [&str; 44] = [
    "harmful-speech",
    "spam",
    "violence",
    "ddos",
    "dos",
    "misconfiguration",
    "outage",
    "sabotage",
    "copyright",
    "masquerade",
    "phishing",
    "unauthorized-use-of-resources",
    "data-leak",
    "data-loss",
    "unauthorised-information-access",
    "unauthorised-information-modification",
    "scanner",
    "sniffing",
    "social-engineering",
    "brute-force",
    "exploit",
    "ids-alert",
    "application-compromise",
    "burglary",
    "privileged-account-compromise",
    "system-compromise",
    "unprivileged-account-compromise",
    "c2-server",
    "infected-system",
    "malware-configuration",
    "malware-distribution",
    "blacklist",
    "dga-domain",
    "malware",
    "other",
    "proxy",
    "tor",
    "undetermined",
    "test",
    "ddos-amplifier",
    "information-disclosure",
    "potentially-unwanted-accessible",
    "vulnerable-system",
    "weak-crypto",
];
