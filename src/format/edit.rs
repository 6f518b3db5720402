//! Taking members out of JSON text that was scanned before, without touching the rest of it. Nothing is
//! read or judged here.

use std::ops::Range;

use crate::event::json::JsonMember;

/// Returns the text without the members that `leaves` names. `members` are all of one object of `text`.
pub(crate) fn cuts(
    members: &[JsonMember<'_>],
    leaves: impl Fn(&JsonMember<'_>) -> bool,
) -> Vec<Range<usize>> {
    let mut cuts = Vec::new();
    let last_kept = members.iter().rposition(|member| !leaves(member));
    for (index, member) in members.iter().enumerate().filter(|(_, member)| leaves(member)) {
        match (last_kept, members.get(index + 1)) {
            // With its comma, up to the next key.
            (Some(kept), Some(next)) if index < kept => cuts.push(member.key_at.start..next.key_at.start),
            (kept, _) => {
                let start = kept.map_or(member.key_at.start, |kept| members[kept].value_at.end);
                cuts.push(start..members[members.len() - 1].value_at.end);
                break;
            }
        }
    }
    cuts
}

/// Copies `text` without `cuts` (ascending, apart) and without line breaks, which JSON has between tokens alone.
pub(crate) fn copy_without(text: &[u8], cuts: &[Range<usize>]) -> Vec<u8> {
    let edits: Vec<_> = cuts.iter().map(|cut| (cut.clone(), "")).collect();
    copy_edited(text, &edits)
}

/// Copies `text` with other texts at some places (ascending, apart), and without line breaks.
pub(crate) fn copy_edited(text: &[u8], edits: &[(Range<usize>, &str)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    for (place, new) in edits {
        put_one_line(&mut out, &text[at..place.start]);
        out.extend_from_slice(new.as_bytes());
        at = place.end;
    }
    put_one_line(&mut out, &text[at..]);
    out
}

fn put_one_line(out: &mut Vec<u8>, text: &[u8]) {
    for part in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::json::scan;

    #[test]
    fn members_go_with_one_comma_each_and_the_rest_stays_as_it_was() {
        for (text, want) in [
            (r#"{ "x1" : 1 , "a" : 2 }"#, r#"{ "a" : 2 }"#),
            (r#"{ "a" : 2 , "x1" : 1 }"#, r#"{ "a" : 2 }"#),
            (r#"{"a":1,"x1":2,"b":3}"#, r#"{"a":1,"b":3}"#),
            (r#"{"x1":1,"x2":2,"a":3,"x3":4,"x4":5,"b":6,"x5":7,"x6":8}"#, r#"{"a":3,"b":6}"#),
            (r#"{ "x1":1 , "x2":2 }"#, r#"{  }"#),
            (r#"{"x1":1}"#, r#"{}"#),
            ("{\n\"a\":1,\r\n\"b\":2}", r#"{"a":1,"b":2}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("{}", "{}"),
        ] {
            let found = scan(text.as_bytes(), 8).unwrap();
            let cuts = cuts(&found.members, |member| member.key.starts_with('x'));
            let left = copy_without(text.as_bytes(), &cuts);
            assert_eq!(String::from_utf8(left).unwrap(), want);
        }
    }
}
