//! Writes `--to`, `--seal`, `--tlp` and `--link` of `submit` into the meta of a line. Its payload stays as it is, token
//! for token. Flags only narrow: the stricter label stays, and recipients are those named by both. If there are none,
//! the list is empty, which the node refuses. Links are added to those of the line. Groups are compared by their own names. If a line is not a JSON object, it is
//! passed on as it is, for the node to refuse too.

use std::ops::Range;

use crate::control::LinkFacts;
use crate::event::json::{self, JsonKind, JsonMember};
use crate::identity::PublisherName;
use crate::limits::JSON_DEPTH_MAX;
use crate::policy::Tlp;

/// The values of the flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct LabelColumns {
    pub to: Vec<PublisherName>,
    pub tlp: Option<Tlp>,
    pub seal: bool,
    pub links: Vec<LinkFacts>,
}

impl LabelColumns {
    pub(crate) fn is_empty(&self) -> bool {
        self.to.is_empty() && self.tlp.is_none() && !self.seal && self.links.is_empty()
    }

    /// `text` without its newline.
    pub(crate) fn put_on(&self, text: &str) -> String {
        let trimmed = text.trim_matches([' ', '\t', '\r', '\n']);
        let Some(members) = members(trimmed) else { return text.to_owned() };
        let resembles = |member: &JsonMember<'_>| {
            ["meta", "payload"].iter().any(|known| member.key.eq_ignore_ascii_case(known))
        };
        if !members.iter().any(|member| member.key == "payload") {
            if members.iter().any(resembles) {
                // Below `payload` it would be a field like any other, and its meta would say nothing.
                return text.to_owned();
            }
            // A plain event becomes the payload of form (b).
            return format!("{{\"meta\":{{{}}},\"payload\":{trimmed}}}", self.fields());
        }
        let Some(meta) = members.iter().find(|member| member.key == "meta") else {
            let comma = if members.is_empty() { "" } else { "," };
            return format!("{{\"meta\":{{{}}}{comma}{}", self.fields(), &trimmed[1..]);
        };
        let inner = &trimmed[meta.value_at.clone()];
        let new = if inner == "null" {
            format!("{{{}}}", self.fields())
        } else {
            match self.on_meta(inner) {
                Some(new) => new,
                None => return text.to_owned(),
            }
        };
        format!("{}{new}{}", &trimmed[..meta.value_at.start], &trimmed[meta.value_at.end..])
    }

    fn fields(&self) -> String {
        let mut fields = Vec::new();
        fields.extend((!self.to.is_empty()).then(|| format!("\"to\":{}", names(&self.to))));
        fields.extend(self.tlp.map(|tlp| format!("\"tlp\":\"{tlp}\"")));
        fields.extend(self.seal.then(|| "\"seal\":true".to_owned()));
        fields.extend((!self.links.is_empty()).then(|| format!("\"links\":[{}]", self.link_objects())));
        fields.join(",")
    }

    fn link_objects(&self) -> String {
        let objects = self.links.iter().filter_map(|link| serde_json::to_string(link).ok());
        objects.collect::<Vec<_>>().join(",")
    }

    /// Returns the links of the line and of the flags; `None` if those of the line are no list, or an empty one. The
    /// node will report that.
    fn all_links(&self, value: &str) -> Option<String> {
        let inner = value.strip_prefix('[')?.strip_suffix(']')?.trim();
        (!inner.is_empty()).then(|| format!("[{inner},{}]", self.link_objects()))
    }

    /// `None` if meta is not an object, which the node will report.
    fn on_meta(&self, meta: &str) -> Option<String> {
        let members = members(meta)?;
        let mut text = meta.to_owned();
        let mut added = Vec::new();
        // From the back, so that the places before stay true.
        let mut changes: Vec<(Range<usize>, String)> = Vec::new();
        if !self.to.is_empty() {
            match members.iter().find(|member| member.key == "to") {
                None => added.push(format!("\"to\":{}", names(&self.to))),
                Some(member) => {
                    if let Some(both) = self.both(&meta[member.value_at.clone()]) {
                        changes.push((member.value_at.clone(), both));
                    }
                }
            }
        }
        if let Some(tlp) = self.tlp {
            match members.iter().find(|member| member.key == "tlp") {
                None => added.push(format!("\"tlp\":\"{tlp}\"")),
                Some(member) => {
                    if is_milder(&meta[member.value_at.clone()], tlp) {
                        changes.push((member.value_at.clone(), format!("\"{tlp}\"")));
                    }
                }
            }
        }
        if self.seal {
            match members.iter().find(|member| member.key == "seal") {
                None => added.push("\"seal\":true".to_owned()),
                Some(member) if &meta[member.value_at.clone()] == "false" => {
                    changes.push((member.value_at.clone(), "true".to_owned()));
                }
                Some(_) => {}
            }
        }
        if !self.links.is_empty() {
            match members.iter().find(|member| member.key == "links") {
                None => added.push(format!("\"links\":[{}]", self.link_objects())),
                Some(member) => {
                    let all = self.all_links(&meta[member.value_at.clone()]);
                    changes.extend(all.map(|all| (member.value_at.clone(), all)));
                }
            }
        }
        changes.sort_by_key(|(range, _)| std::cmp::Reverse(range.start));
        for (range, new) in changes {
            text.replace_range(range, &new);
        }
        if !added.is_empty() {
            let comma = if members.is_empty() { "" } else { "," };
            text.insert_str(1, &format!("{}{comma}", added.join(",")));
        }
        Some(text)
    }

    /// Returns the recipients that both the line and the flag name; `None` if those of the line cannot be read. The
    /// node will report that.
    fn both(&self, value: &str) -> Option<String> {
        let one = || serde_json::from_str::<String>(value).map(|name| vec![name]);
        let listed: Vec<String> = serde_json::from_str(value).or_else(|_| one()).ok()?;
        let listed: Vec<PublisherName> =
            listed.iter().map(|name| PublisherName::parse(name)).collect::<Result<_, _>>().ok()?;
        let both: Vec<PublisherName> = self.to.iter().filter(|name| listed.contains(name)).cloned().collect();
        Some(names(&both))
    }
}

fn names(names: &[PublisherName]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", quoted.join(","))
}

/// Returns whether the label in the line is milder than the flag's. If it cannot be read it stays, for the node to
/// refuse.
fn is_milder(value: &str, tlp: Tlp) -> bool {
    let label = serde_json::from_str::<String>(value).ok().and_then(|text| Tlp::parse(&text));
    label.is_some_and(|label| label < tlp)
}

/// Returns the members of `text`; `None` if it is not an object that the node would read.
pub(crate) fn members(text: &str) -> Option<Vec<JsonMember<'_>>> {
    let scan = json::scan(text.as_bytes(), JSON_DEPTH_MAX + 2).ok()?;
    (scan.kind == JsonKind::Object).then_some(scan.members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(to: &[&str], tlp: Option<Tlp>) -> LabelColumns {
        LabelColumns {
            to: to.iter().map(|name| PublisherName::parse(name).unwrap()).collect(),
            tlp,
            seal: false,
            links: Vec::new(),
        }
    }

    #[test]
    fn all_three_forms_get_their_label_and_keep_their_tokens() {
        let flags = labels(&["cert-ee"], Some(Tlp::Amber));
        for (line, want) in [
            (
                r#"{"a": 1.0, "b":"\u00e9"}"#,
                r#"{"meta":{"to":["cert-ee"],"tlp":"AMBER"},"payload":{"a": 1.0, "b":"\u00e9"}}"#,
            ),
            ("{}", r#"{"meta":{"to":["cert-ee"],"tlp":"AMBER"},"payload":{}}"#),
            (
                r#"{"__type":"Report", "n":12345678901234567890}"#,
                r#"{"meta":{"to":["cert-ee"],"tlp":"AMBER"},"payload":{"__type":"Report", "n":12345678901234567890}}"#,
            ),
            (
                r#"{"payload":{"x":[{"payload":"}"}]}}"#,
                r#"{"meta":{"to":["cert-ee"],"tlp":"AMBER"},"payload":{"x":[{"payload":"}"}]}}"#,
            ),
            (r#"{"meta": {} ,"payload":{}}"#, r#"{"meta": {"to":["cert-ee"],"tlp":"AMBER"} ,"payload":{}}"#),
            (
                r#"{"format":"intelmq","met\u0061":{"tags":["x"],"tlp":"green"},"payload":{"v":1e400}}"#,
                r#"{"format":"intelmq","met\u0061":{"to":["cert-ee"],"tags":["x"],"tlp":"AMBER"},"payload":{"v":1e400}}"#,
            ),
            (
                r#"{"meta":{"tlp":"TLP:RED","to":["cert-pl","cert-ee"]},"payload":{}}"#,
                r#"{"meta":{"tlp":"TLP:RED","to":["cert-ee"]},"payload":{}}"#,
            ),
            (r#"{"meta":null,"payload":{}}"#, r#"{"meta":{"to":["cert-ee"],"tlp":"AMBER"},"payload":{}}"#),
        ] {
            assert_eq!(flags.put_on(line), want, "{line}");
        }
    }

    #[test]
    fn what_is_no_object_or_cannot_be_read_is_left_for_the_node_to_refuse() {
        let flags = labels(&["cert-ee"], Some(Tlp::Amber));
        for line in [
            "",
            "  ",
            "[1]",
            "nonsense",
            r#"{"a":1},"b":2"#,
            r#"{"a":1"#,
            r#"{"meta":7,"payload":{}}"#,
            r#"{"meta":{"to":[7],"tlp":"PURPLE"},"payload":{}}"#,
            r#"{"meta":{"to":null,"tlp":null},"payload":{}}"#,
            r#"{"meta":{"tlp":"RED"},"event":{}}"#,
            r#"{"meta":{"tlp":"RED"},"Payload":{}}"#,
        ] {
            assert_eq!(flags.put_on(line), line);
        }
    }

    #[test]
    fn recipients_are_only_narrowed() {
        let flags = labels(&["cert-ee"], None);
        let line = r#"{"meta":{"to":["cert-pl"]},"payload":{}}"#;
        assert_eq!(flags.put_on(line), r#"{"meta":{"to":[]},"payload":{}}"#, "which the node refuses");
    }

    #[test]
    fn a_seal_is_asked_for_whatever_the_line_says() {
        let flags = LabelColumns { seal: true, ..labels(&["cert-ee"], None) };
        for (line, want) in [
            (r#"{"a":1}"#, r#"{"meta":{"to":["cert-ee"],"seal":true},"payload":{"a":1}}"#),
            (
                r#"{"meta":{"seal":false,"to":["cert-ee"]},"payload":{}}"#,
                r#"{"meta":{"seal":true,"to":["cert-ee"]},"payload":{}}"#,
            ),
            (
                r#"{"meta":{"seal":"maybe","to":["cert-ee"]},"payload":{}}"#,
                r#"{"meta":{"seal":"maybe","to":["cert-ee"]},"payload":{}}"#,
            ),
        ] {
            assert_eq!(flags.put_on(line), want, "{line}");
        }
    }

    #[test]
    fn links_are_added_to_those_of_the_line() {
        let link = LinkFacts { left: None, relation: "alternate".into(), right: "RT \"1\"".into() };
        let flags = LabelColumns { links: vec![link], ..labels(&[], None) };
        let ours = r#"{"type":"alternate","right":"RT \"1\""}"#;
        for (line, want) in [
            (r#"{"a":1}"#, format!(r#"{{"meta":{{"links":[{ours}]}},"payload":{{"a":1}}}}"#)),
            (
                r#"{"meta":{"links":[{"type":"x","right":"y"} ]},"payload":{}}"#,
                format!(r#"{{"meta":{{"links":[{{"type":"x","right":"y"}},{ours}]}},"payload":{{}}}}"#),
            ),
            (r#"{"meta":{"links":[]},"payload":{}}"#, r#"{"meta":{"links":[]},"payload":{}}"#.to_owned()),
            (r#"{"meta":{"links":7},"payload":{}}"#, r#"{"meta":{"links":7},"payload":{}}"#.to_owned()),
        ] {
            assert_eq!(flags.put_on(line), want, "{line}");
        }
    }

    #[test]
    fn without_a_flag_for_it_a_key_is_not_touched() {
        let line = r#"{"meta":{"to":["cert-pl"]},"payload":{}}"#;
        let want = r#"{"meta":{"tlp":"CLEAR","to":["cert-pl"]},"payload":{}}"#;
        assert_eq!(labels(&[], Some(Tlp::Clear)).put_on(line), want);
    }
}
