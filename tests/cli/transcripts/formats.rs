//! `convert`: what goes to stdout, and what is said about each line on stderr.

use super::Shell;

const IDEA: &str = r#"{"Format":"IDEA0","ID":"4390fc3f-c753-4a3e-bc83-1b44f24baf75","DetectTime":"2026-01-01T00:00:00Z","Category":["Recon.Scanning"],"TLP":"AMBER","Source":[{"IP4":["192.0.2.10/25","192.0.2.200"]}],"Attach":[{"Content":"x","Size":1}],"_Mentat":{}}"#;

#[test]
fn convert_says_what_was_lost_or_moved_in_each_line() {
    let shell = Shell::new();
    let out = concat!(
        r#"{"classification.type":"scanner","extra.idea":{"attach":[{"Size":1}],"category":["Recon.Scanning"]},"#,
        r#""source.network":"192.0.2.0/25","time.observation":"2026-01-01T00:00:00+00:00","tlp":"AMBER"}"#,
        "\n",
        r#"{"classification.type":"scanner","extra.idea":{"attach":[{"Size":1}],"category":["Recon.Scanning"]},"#,
        r#""source.ip":"192.0.2.200","time.observation":"2026-01-01T00:00:00+00:00","tlp":"AMBER"}"#,
        "\n"
    );
    let err = "line 2: lost Attach[0].Content: contents of attachments do not travel; hash and size do\n\
               line 2: lost _Mentat: keys with _ are local to the system that wrote them\n\
               line 2: changed Source[0].IP4[0]: the bits beyond the network's length are cleared\n\
               line 3: DetectTime is missing (bad_idea)\n";
    let wrong = r#"{"Format":"IDEA0","ID":"a","Category":[]}"#;
    let input = format!("\n{IDEA}\n{wrong}\n");
    shell.says("convert --from idea --to intelmq", &input, 1, out, err);
    shell.says("convert --from idea --to intelmq -", &input, 1, out, err);
}

/// A label that may go to nobody is no error: nothing is published.
#[test]
fn convert_writes_meta_with_the_label_and_links() {
    let shell = Shell::new();
    let n6 = r#"{"id":"392ab73bbe7bcd6a56c84af2234987a4","source":"hidden.42","restriction":"internal","confidence":"medium","category":"phish","time":"2026-05-04T10:59:03Z","type":"bl-delist"}"#;
    let out = concat!(
        r#"{"meta":{"format":"intelmq","links":[{"right":"n6:392ab73bbe7bcd6a56c84af2234987a4","type":"alternate"},"#,
        r#"{"right":"c63744e0-232c-5e11-80e4-cdda8ae9f10e","type":"replaces"}],"tlp":"RED","type":"event","#,
        r#""uuid":{"current":"UUID"},"version":1},"payload":{"classification.type":"blacklist","#,
        r#""extra.n6":{"category":"phish","confidence":"medium","id":"392ab73bbe7bcd6a56c84af2234987a4","#,
        r#""restriction":"internal","source":"hidden.42","type":"bl-delist"},"feed.accuracy":66.0,"#,
        r#""time.source":"2026-05-04T10:59:03+00:00"}}"#,
        "\n"
    );
    let said = shell.run("convert --from n6 --to intelmq --form iep04", n6);
    let uuid = said.stdout.split("\"current\":\"").nth(1).and_then(|rest| rest.get(..36)).unwrap().to_owned();
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    assert_eq!(said.stdout.replace(&uuid, "UUID"), out);
}

#[test]
fn convert_names_what_a_consumer_withholds() {
    let shell = Shell::new();
    let input = "{\"classification.type\":\"test\",\"source.ip\":\"192.0.2.1\"}\n\
                 {\"classification.type\":\"scanner\",\"source.ip\":\"2001:db8::1\",\"comment\":\"c\",\
                 \"time.source\":\"2026-01-01T00:00:00+00:00\",\"extra.n6\":{\"id\":\"392ab73bbe7bcd6a56c84af2234987a4\"}}\n";
    let out = "{\"category\":\"scanning\",\"confidence\":\"low\",\"id\":\"392ab73bbe7bcd6a56c84af2234987a4\",\
               \"restriction\":\"internal\",\"source\":\"unknown.intelmq\",\"time\":\"2026-01-01T00:00:00Z\"}\n";
    let err = "line 1: a consumer withholds it: n6 has no category for tests\n\
               line 2: changed restriction: the event has no label, and n6 must have one: the strictest\n\
               line 2: lost comment: has no place in n6\n\
               line 2: lost source.ip: has no place in n6\n\
               line 2: a consumer withholds it: n6 has no place for its address\n";
    shell.says("convert --from intelmq --to n6", input, 0, out, err);
}

#[test]
fn convert_refuses_formats_that_it_does_not_know() {
    let shell = Shell::new();
    let err = "error: invalid value 'iodef' for '--from <FORMAT>': expected intelmq, idea, n6 or misp\n\
               hint: intelmesh convert --help\n";
    shell.says("convert --from iodef --to intelmq", "", 2, "", err);
    let carried = r#"{"meta":{"format":"n6"},"payload":{"a":1}}"#;
    let said = "line 1: meta.format: \"n6\": expected \"idea\" (bad_meta)\nhint: give --from the format of the payloads\n";
    shell.says("convert --from idea --to intelmq", carried, 1, "", said);
    let bytes = "{\"a\":\u{0}}\n";
    shell.says("convert --from idea --to intelmq", bytes, 1, "", "line 1: no JSON at byte 5 (bad_json)\n");
}
