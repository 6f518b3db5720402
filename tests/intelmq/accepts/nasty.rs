//! Events that a pipeline would rather not get: real field names with values that are right, nearly right and
//! wrong, in all ways of writing `extra`, flat and nested. JSON text is put together by hand, so that numbers are
//! what no serialiser would write.

use std::collections::{BTreeMap, HashSet};

use support::Dice;

/// Makes events for the fields that IntelMQ says it has.
pub struct Nasty {
    dice: Dice,
    fields: Vec<(String, String)>,
}

#[rustfmt::skip]
const TEXTS: &[&str] = &[
    "x", " x ", "", "-", "N/A", "n/a", "   ", "\u{a0}", "\u{1c}", "X\u{1f}", "İ", "ß", "ŉ", "ǅ", "ΑΣ", "ﬁ", "ſ",
    "K", "\u{2028}a", "a\u{0}b", "a\nb", "a\n", "\n", "🦀", "\u{fdd0}", "é", "e\u{301}", "a'b\"c\\d", "None", "{}",
    "null", "~", "\u{7f}", "a.", ".a", "é.", "10", "true", "tcp", "TCP", "ax.25", "nvp-ii", "high", "HIGH", "at",
    "AT", "aut", "03c51929-eeab-4d47-9dc0-c667f94c7d2c", "03C51929-EEAB-4D47-9DC0-C667F94C7D2C", "ABCDEF",
    "abcdef/.", "A\n",
];

#[rustfmt::skip]
const NUMBERS: &[&str] = &[
    "0", "-0", "1", "2", "-1", "80", "99999", "100000", "100", "101", "4294967295", "4294967296", "0.0", "-0.0",
    "1.0", "1.9", "-1.5", "99.5", "100.0", "100.5", "1e2", "1E400", "1e999", "-1e999", "1e-400",
    "12345678901234567890123", "340282366920938463463374607431768211455", "340282366920938463463374607431768211456",
    "3221225985", "@400", "@4300", "@4301", "@6000", "1.@6000",
];

#[rustfmt::skip]
const INTS: &[&str] = &[
    "80", " 80 ", "+80", "-1", "8_0", "_8", "08", "0x10", "1.0", "1e2", "AS1", "as64496", "AS 1", "ASN1", "AS0",
    "AS-1", "AS4294967296", "٣", "１", "99999999999999999999", "true", "", "@4300", "@4301", "-0", "RT#5",
];

#[rustfmt::skip]
const FLOATS: &[&str] = &[
    "1.5", "48.2", " 1 ", "nan", "NaN", "inf", "-Infinity", "1e400", "1_0.5", "1,5", "100", "100.1", "-0.1",
    "0x1p3", "٣", ".5", "5.", "1e", "+1", "infinity", "@400",
];

const BOOLS: &[&str] = &["true", "FALSE", " True ", "yes", "0", "1", "t", "ＴＲＵＥ"];

#[rustfmt::skip]
const ADDRESSES: &[&str] = &[
    "192.0.2.1", " 192.0.2.1", "192.0.2.001", "0.0.0.0", "0.0.0.0/32", "192.0.2.1/32", "192.0.2.0/24",
    "192.0.2.1/24", "192.0.2.1/255.255.255.255", "192.0.2.1/0.0.0.0", "192.0.2.1/032", "192.0.2.1/ 32",
    "2001:DB8::1", "2001:db8::1/128", "fe80::1%eth0", "fe80::1%eth0/64", "%", "fe80::1 %x", "::", "::/0", "::1",
    "::ffff:192.0.2.1", "::ffff:0.0.0.0", "1::2::3", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
    "::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:192.0.2.1", "12345::", "3221225985", "0", "-5", "1_0",
    "340282366920938463463374607431768211456", "192.0.2", "192.0.2.1.", "192.0.2.256", "a", "192.0.2.0/33",
    "192.0.2.0/-1", "192.0.2.0/255.255.255.0", "192.0.2.0/0.0.0.255", "192.0.2.0/255.0.255.0", "0.0.0.0/0",
    "2001:db8::/32", "2001:db8::1/32", "2001:db8::/129", "2001:db8::/ffff::", "192.0.2.1 /32", "192.0.2.0/24/24",
    "[::1]", "１.2.3.4", "1.2.3.4\n",
];

#[rustfmt::skip]
const HOSTS: &[&str] = &[
    "example.com", "Example.COM.", ".example.com", " example.com ", "a..b", ".", "..", "%63", "%64", "%63.%64",
    " %63", "*.example.com", "_dmarc.example", "a b", "a:b", "a/b", "a?b", "a#b", "a?", "a#", "//a", "192.0.2.1",
    "192.0.2.1.", " 192.0.2.1", "::1", "0.0.0.0", "bücher.example", "BÜCHER.example", "faß.de",
    "xn--bcher-kva.example", "XN--BCHER-KVA.example", "xn--bücher", "пример.рф", "例え.jp", "אבג.example",
    "a\u{3002}b", "a\u{200b}b", "\u{200d}", "１２.example", "１９２.0.2.1", "ﬀ.example", "İ.example", "ʼn.example",
    "ŉ.example", "a\u{ad}b", "\u{378}.example", "🦀.example", "a\nb", "ab\n", "a\tb", "a\u{0}b", "-a-", "a@b", "a[b",
    "a]b", "ａ：ｂ", "a／b", "ĸ", "ĳ.nl", "café%63", "ü%55", "é.é.é", "ßßßßßßßßßßßßßßßßßßßßßßßßßßßßß",
    "日日日日日日日日日日日日日日日日日日日日", "ü.", "ü.%64", "ａ.de", "ÅÅ",
];

#[rustfmt::skip]
const URLS: &[&str] = &[
    "http://example.com/a b", "HTTP://EXAMPLE.com", "hxxp://example.com", "hxxps://example.com/hxxp://", "ftp://x",
    "//h/x", "///", "http:///x", "http://", "http:/x", "example.com", "example.com/http://a", " http://a",
    "\u{a0}http://a", "\u{1}http://a", "http://[::1]/", "http://[::1]:80/", "http://[::1", "http://::1]",
    "http://]a[/", "http://[]/", "http://[a]/", "http://[v1.a]/", "http://[::1]x", "http://u[@[::1]/",
    "http://u@[::1]:x/", "http://[fe80::1%25eth0]/", "[", "//[", "x[://a", "http://a/[", "http://a/?[#]",
    "http://a℀/", "http://a／b", "http://a：80/", "http://ü.example/", "http://a@b@c/", "http://\u{ff20}/",
    "http://a/℀", "http:\n//a", "ht\ntp://a", "http://\ta", "http://a\n", "http:\t//\t/x", "http://\r",
    "file:///etc/x", "file://", "file:", "file:x", "FILE:///x", "file:/x", "file:///[", "file:[x", "1http://a",
    "h+-.://a", "hé://a", ":", "://a", "http://?", "http://#", "http://a?b", "mailto:a@b", "javascript:alert(1)",
    "http://\u{0}", "http://\u{202e}a", "hxxp:///x", "hxxp://[", "http://⁇", "\u{c}http://a", "http://Å/",
    "http://ǅ/",
];

#[rustfmt::skip]
const MOMENTS: &[&str] = &[
    "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.5+00:00", "2026-01-01T00:00:00.123456+00:00",
    "2026-01-01T00:00:00.1234567+00:00", "2026-01-01T00:00:00.123456789Z", "2026-01-01T00:00:00", "2026-01-01",
    "2026-01-01 10:00", "2026-01-01T10:00:00-05:00", "2026-01-01T10:00:00+0530", "2026-01-01T10:00:00+14:59",
    "2026-01-01T10:00:00-14", "2026-01-01T00:00:60+00:00", "2026-01-01T24:00:00+00:00", "2026-02-29T00:00:00Z",
    "2024-02-29", "0001-01-01T00:00:00+00:00", "0000-01-01T00:00:00+00:00", "9999-12-31T23:59:59+00:00",
    "9999-12-31T23:59:59-14:00", "1900-01-01T00:00:00+14:00", "2200-12-31", "2026-1-1T0:0:0+00:00", "01/02/2026",
    "now", "yesterday", "1700000000", "1700000000.5", "10:00", "1", "12", "999999999999999999999999", "2026-13-01",
    "2026-01-01T00:00:00 UTC", "Thu, 01 Jan 2026 00:00:00 GMT", "2026-01-01T00:00:00+99:99",
    "٢٠٢٦-01-01T00:00:00+00:00", "2026-01-01T", "2026-01-01T00:00Z", " 2026-01-01T00:00:00+00:00 ",
    "2026-01-01T00:00:00.+00:00", "a.m.", "00:00:00+00:00", "2026-01-01T00:00:00+00:00\n", "2026-01-01\u{a0}00:00",
    "2026-W01-1", "20260101", "20260101T000000Z", "T", "Z", "+", "", "1.1.1.1.1", "1e5", "nan", "inf",
    "2026-01-01T00:00.5Z", "2026-01-01T00:00:00,5Z", "2026-01-01 00:00:00+01:00 (CET)",
];

#[rustfmt::skip]
const LABELS: &[&str] = &[
    "WHITE", "white", "TLP:WHITE", "tlp: green", "TLP AMBER", "TLPRED", "YELLOW", "tlp:yellow", "CLEAR",
    "TLP:CLEAR", "AMBER+STRICT", "tlp:amber+strict", " red ", "TLP:\u{a0}RED", "TLP:", "TLP", "TLP::RED",
    "TLP:TLP:RED", "black", "ＲＥＤ", "",
];

#[rustfmt::skip]
const ENCODED: &[&str] = &[
    "eA==", "eA", "eA=", "e", "abcd", "abc", "ab=c", "=abc", "====", "a===", "YQ==YQ==", "YQ==Y", "Y Q = =",
    "not base64!", "ü", "üabcd", "a=b=c=d=", "ab==cd", "abc=d", "\n", "   ", "{}", "abcde", "-_-_", "ab\u{0}cd",
    "=", "==", "ab=", "ab=\n=",
];

#[rustfmt::skip]
const JSONS: &[&str] = &[
    "{\"a\":1}", "{\"A\":1}", "{\"a\":1,\"a\":2}", "{\"a.b\":1,\"a\":2}", "{}", "[]", "[1]", "\"x\"", "5", "null",
    "NaN", "{\"a\":NaN}", "{", "not json", " {\"a\": 1}\n", "{\"a\":1e999}", "{\"a\":@4301}",
    "{\"intelmesh\":{\"uuid\":1}}", "{\"intelmesh.uuid\":\"x\"}", "{\"\":1}", "{\"a\":\"\\ud800\"}", "&[",
    "&{\"a\":", "{\"a\":null}", "{\"b\":\"\"}", "true", "\u{feff}{}",
];

#[rustfmt::skip]
const KINDS: &[&str] = &[
    "phishing", "PHISHING", " c2-server ", "c&c", "C2Server", "unknown", "botnet drone", "ids alert", "Leak",
    "dropzone", "xyz", "malware", "abusive content", "abusive-content", "Intrusion Attempts",
    "information content security", "other", "vulnerable", "RIPE", "ripencc", "RIPE-NCC", "arin", "Lacnic", "rıpe",
    "IANA", "undetermined", "unauthorised-information-access", "Unauthorised-information-access",
];

#[rustfmt::skip]
const EXTRA_KEYS: &[&str] = &[
    "a", "b", "a.b", "a.b.c", "a.1", "1a", "_x", "A", "a-b", "a b", "", ".", "a.", ".a", "a..b", "ü", "intelmesh",
    "intelmesh.uuid", "intelmesh.moved", "intelmesh.moved.a", "feed_id", "__type", "a\n", "raw", "UPPER CASE",
    "x.y", "extra", "a.b.a", "x.x", "x",
];

#[rustfmt::skip]
const OTHER_KEYS: &[&str] = &[
    "extra", "__type", "meta", "meta.uuid", "uuid", "source", "destination", "feed", "time", "source.geolocation",
    "malware.hash", "raw.x", "comment.sub", "tlp.x", "a", "A.b", "", "source.", "source.ip.x", "product.new", "x y",
    "ü", "extra.", "output.a", "payload", "extra.intelmesh", "EXTRA", "extra.a.b", "status\n",
];

impl Nasty {
    pub fn new(dice: Dice, fields: &BTreeMap<String, String>) -> Self {
        Self { dice, fields: fields.iter().map(|(name, kind)| (name.clone(), kind.clone())).collect() }
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.dice.below(bound as u64) as usize
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// An object in JSON text, with no key twice.
    pub fn event(&mut self, base: &str) -> String {
        let mut members: Vec<(String, String)> = Vec::new();
        if self.below(3) == 0 {
            let base: BTreeMap<String, Box<serde_json::value::RawValue>> =
                serde_json::from_str(base).unwrap();
            members.extend(base.into_iter().map(|(key, value)| (key, value.get().to_owned())));
        }
        for _ in 0..1 + self.below(8) {
            let member = self.member();
            let at = self.below(members.len() + 1);
            members.insert(at, member);
        }
        let mut seen = HashSet::new();
        members.retain(|(key, _)| seen.insert(key.clone()));
        if self.below(12) == 0 { nest(members) } else { object(&members) }
    }

    fn member(&mut self) -> (String, String) {
        match self.below(10) {
            0..=5 => {
                let (name, kind) = self.fields[self.dice.below(self.fields.len() as u64) as usize].clone();
                let value = self.value(&kind);
                (name, value)
            }
            6..=7 => (format!("extra.{}", self.pick(EXTRA_KEYS)), self.any(2)),
            _ => (self.pick(OTHER_KEYS).to_owned(), self.any(3)),
        }
    }

    /// A value that is made for the kind, or for none.
    fn value(&mut self, kind: &str) -> String {
        if self.below(6) == 0 {
            return self.any(2);
        }
        let texts: &[&[&str]] = match kind {
            "Integer" | "ASN" => &[INTS, NUMBERS],
            "Float" | "Accuracy" => &[FLOATS, NUMBERS],
            "Boolean" => &[BOOLS, NUMBERS],
            "IPAddress" | "IPNetwork" => &[ADDRESSES, ADDRESSES, NUMBERS],
            "FQDN" => &[HOSTS, HOSTS, ADDRESSES],
            "URL" => &[URLS, URLS, URLS, HOSTS],
            "DateTime" => &[MOMENTS],
            "TLP" => &[LABELS],
            "Base64" => &[ENCODED],
            "JSON" | "JSONDict" => &[JSONS, ENCODED],
            "Registry" | "ClassificationTaxonomy" | "ClassificationType" => &[KINDS],
            _ => &[TEXTS, TEXTS, NUMBERS, KINDS],
        };
        let list = texts[self.below(texts.len())];
        let text = self.pick(list);
        if list == NUMBERS { long(text) } else { quoted(&long(text)) }
    }

    fn any(&mut self, depth: usize) -> String {
        let lists = [TEXTS, INTS, FLOATS, ADDRESSES, HOSTS, URLS, MOMENTS, LABELS, ENCODED, JSONS, KINDS];
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => "null".to_owned(),
            1 => ["true", "false"][self.below(2)].to_owned(),
            2 => long(self.pick(NUMBERS)),
            3 | 4 => {
                let list = lists[self.below(lists.len())];
                quoted(&long(self.pick(list)))
            }
            5 => quoted(&self.letters()),
            6 => {
                let parts: Vec<String> = (0..self.below(4)).map(|_| self.any(depth - 1)).collect();
                format!("[{}]", parts.join(","))
            }
            _ => {
                let mut members = Vec::new();
                for _ in 0..self.below(5) {
                    let key = match self.below(4) {
                        0 => self.pick(OTHER_KEYS).to_owned(),
                        1 => {
                            let name = self.below(self.fields.len());
                            let name = &self.fields[name].0;
                            name.rsplit('.').next().unwrap_or(name).to_owned()
                        }
                        _ => self.pick(EXTRA_KEYS).to_owned(),
                    };
                    members.push((key, self.any(depth - 1)));
                }
                let mut seen = HashSet::new();
                members.retain(|(key, _)| seen.insert(key.clone()));
                object(&members)
            }
        }
    }

    /// Letters of all scripts, and what is none.
    fn letters(&mut self) -> String {
        let bounds = [0x80, 0x250, 0x600, 0x3000, 0x1_1000, 0x11_0000];
        (0..self.below(12))
            .filter_map(|_| {
                let bound = bounds[self.below(bounds.len())];
                char::from_u32(self.dice.below(bound) as u32)
            })
            .collect()
    }
}

/// `@400` stands for 400 digits, `%64` for 64 letters, `&[` for 3,000 of them.
fn long(text: &str) -> String {
    for (mark, letter) in [('@', "9"), ('%', "a")] {
        if let Some((before, after)) = text.split_once(mark) {
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if let Ok(count) = after[..digits].parse::<usize>() {
                return long(&format!("{before}{}{}", letter.repeat(count), &after[digits..]));
            }
        }
    }
    text.strip_prefix('&').map_or_else(|| text.to_owned(), |part| part.repeat(3_000))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn object(members: &[(String, String)]) -> String {
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("{}:{value}", quoted(key))).collect();
    format!("{{{}}}", members.join(", "))
}

/// As `to_dict(hierarchical=True)` writes it, as far as its keys allow.
fn nest(members: Vec<(String, String)>) -> String {
    let mut groups: Vec<(String, Vec<(String, String)>)> = Vec::new();
    let mut flat: Vec<(String, String)> = Vec::new();
    for (key, value) in members {
        match key.split_once('.') {
            Some((first, rest)) => {
                let found = groups.iter_mut().find(|(name, _)| name == first);
                match found {
                    Some((_, group)) => group.push((rest.to_owned(), value)),
                    None => groups.push((first.to_owned(), vec![(rest.to_owned(), value)])),
                }
            }
            None => flat.push((key, value)),
        }
    }
    flat.retain(|(key, _)| !groups.iter().any(|(name, _)| name == key));
    flat.extend(groups.into_iter().map(|(name, group)| (name, nest(group))));
    object(&flat)
}
