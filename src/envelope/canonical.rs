//! The canonical form (JCS, RFC 8785) of a body that was checked before, for content ids alone (PROTOCOL.md §3.3).
//! Numbers are read from their digits, correctly rounded, and refused if rounding would lose something: two different
//! payloads must not get one id. Nothing here checks syntax.

use serde_json::{Map, Number, Value};
use thiserror::Error;

use crate::event::json::{JsonKind, JsonToken, JsonTokens, unquoted};

/// A number that a double does not hold exactly: RFC 8785 has no canonical form for it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the number {0}, which a double does not hold exactly")]
pub struct InexactNumber(pub String);

/// The canonical bytes of the object `text` without its members called `left_out`.
///
/// # Errors
/// [`InexactNumber`].
pub(crate) fn canonical_object(text: &str, left_out: &[&str]) -> Result<Vec<u8>, InexactNumber> {
    let mut tokens = JsonTokens::of(text);
    let mut value = next_value(&mut tokens)?.unwrap_or_default();
    if let Value::Object(members) = &mut value {
        members.retain(|key, _| !left_out.contains(&key.as_str()));
    }
    // Writing to memory fails for numbers that are not finite alone, and there are none.
    Ok(serde_json_canonicalizer::to_vec(&value).unwrap_or_default())
}

/// Returns the next value; `None` at the end of an object or array.
fn next_value(tokens: &mut JsonTokens<'_>) -> Result<Option<Value>, InexactNumber> {
    Ok(match tokens.next() {
        None | Some(JsonToken::Close) => None,
        Some(JsonToken::Open(JsonKind::Object)) => {
            let mut members = Map::new();
            while let Some(JsonToken::Scalar(_, key)) = tokens.next() {
                members.insert(unquoted(key).into_owned(), next_value(tokens)?.unwrap_or_default());
            }
            Some(Value::Object(members))
        }
        Some(JsonToken::Open(_)) => {
            let mut elements = Vec::new();
            while let Some(element) = next_value(tokens)? {
                elements.push(element);
            }
            Some(Value::Array(elements))
        }
        Some(JsonToken::Scalar(JsonKind::String, text)) => Some(Value::String(unquoted(text).into_owned())),
        Some(JsonToken::Scalar(JsonKind::Number, digits)) => match exact(digits) {
            Some(number) => Some(Value::Number(number)),
            None => return Err(InexactNumber(digits.chars().take(80).collect())),
        },
        Some(JsonToken::Scalar(_, "null")) => Some(Value::Null),
        Some(JsonToken::Scalar(_, word)) => Some(Value::Bool(word == "true")),
    })
}

/// Returns the double that `digits` stand for exactly, if there is one. An integer must have the value of the double;
/// any other number must have the decimal digits that the double is written with.
fn exact(digits: &str) -> Option<Number> {
    let double: f64 = digits.parse().ok().filter(|double: &f64| double.is_finite())?;
    let same = match digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-')) {
        // Written without a fraction a double has all its digits.
        true => digits == format!("{double:.0}"),
        false => decimal(digits) == decimal(&format!("{double:e}")),
    };
    if same { Number::from_f64(double) } else { None }
}

/// Digits without zeros around them, and the power of ten of the last one: one form for each number.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_start_matches('0');
    let trimmed = digits.trim_end_matches('0');
    if trimmed.is_empty() {
        return Some((false, String::new(), 0));
    }
    let power =
        exponent.checked_sub(fraction.len() as i64)?.checked_add((digits.len() - trimmed.len()) as i64)?;
    Some((negative, trimmed.to_owned(), power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_form_is_the_one_of_rfc_8785() {
        // The example of RFC 8785 §3.2.2 but its number 333333333.33333329, which is not exact.
        let text = r#"{"numbers": [1E30, 4.50, 2e-3, 0.000000000000000000000000001], "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#;
        let want = "{\"literals\":[null,true,false],\"numbers\":[1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(String::from_utf8(canonical_object(text, &[]).unwrap()).unwrap(), want);
    }

    #[test]
    fn members_are_sorted_by_utf_16_and_left_out_ones_are_gone() {
        let text = r#"{"\ufb33":1,"\ud83d\ude00":2,"raw":3,"r\u0061w2":4,"":5,"n":{"raw":6}}"#;
        let want = "{\"\":5,\"n\":{\"raw\":6},\"raw2\":4,\"\u{1f600}\":2,\"\u{fb33}\":1}";
        assert_eq!(String::from_utf8(canonical_object(text, &["raw"]).unwrap()).unwrap(), want);
    }

    #[test]
    fn numbers_that_a_double_would_change_are_refused() {
        for (digits, holds) in [
            ("0", true),
            ("-0", true),
            ("-0.0", true),
            ("100", true),
            ("100.0", true),
            ("0.1", true),
            ("48.2082", true),
            ("1e2", true),
            ("1E-7", true),
            ("9007199254740992", true),
            ("9007199254740993", false),
            ("9007199254740994", true),
            ("9007199254740993.0", false),
            ("18446744073709551616", true),
            ("18446744073709551615", false),
            ("170141183460469231731687303715884105728", true),
            ("-170141183460469231731687303715884105728", true),
            ("170141183460469231731687303715884105727", false),
            ("100000000000000000000000000000000000000000000000000", false),
            ("1e400", false),
            ("-1e400", false),
            ("1e-400", false),
            ("0e999999", true),
            ("0.10000000000000000555", false),
            ("0.30000000000000004", true),
            ("333333333.33333329", false),
            ("123456789012345678901234567890123456789012345678901234567890", false),
            ("1e99999999999999999999", false),
        ] {
            assert_eq!(exact(digits).is_some(), holds, "{digits}");
        }
    }
}
