//! Sections as an operator types them, and what is said of slips.

use std::path::Path;

use super::*;
use crate::config::NodeConfig;
use crate::door::{ConsumerTarget, SubmitSource};
use crate::format::intelmq::RelationFields;
use crate::format::{DeliveryForm, MultipleValues};
use crate::policy::Tlp;
use crate::protocol::io::StartPosition;

fn read(text: &str) -> Result<DoorSettings, Vec<String>> {
    let text = format!("name = \"cert-at\"\n{text}");
    match NodeConfig::parse(Path::new("d"), &text) {
        Ok(config) => Ok(config.doors),
        Err(errors) => Err(errors
            .0
            .iter()
            .map(|problem| format!("{problem} | {}", problem.hint().unwrap_or_default()))
            .collect()),
    }
}

#[test]
fn the_doors_of_the_contract_are_read_with_their_defaults() {
    let doors = read(
        r#"
[[submit]]
from = "intelmq-tcp"
listen = "127.0.0.1:5000"
tlp = "AMBER"
strip = ["rtir_id", "extra.file_name"]
[[submit]]
from = "intelmq-redis"
url = "redis://127.0.0.1:6379/2"
queue = "intelmesh-queue"
[[submit]]
from = "intelmq-tcp"
listen = "0.0.0.0:5002"
allow = ["192.0.2.0/24", "2001:db8::1"]
separator = "\n"
multiple_values = "explode"
[[consumer]]
name = "pipeline"
to = "intelmq-tcp"
connect = "127.0.0.1:5001"
form = "plain"
[[consumer]]
name = "inbox"
to = "intelmq-redis"
url = "unix:/run/redis.sock?db=2"
queue = "deduplicator-expert-queue"
relation_fields = { withdrawn_by = "extra.gone" }
from = "now"
"#,
    )
    .unwrap();
    let names: Vec<_> = doors.submits.iter().map(|door| door.name.as_str()).collect();
    assert_eq!(names, ["intelmq-tcp", "intelmq-redis", "intelmq-tcp-2"]);
    let first = &doors.submits[0];
    assert_eq!((first.adds.tlp, first.adds.ids, first.adds.republish), (Some(Tlp::Amber), None, false));
    let strip: Vec<_> = first.adds.strip.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(strip, ["rtir_id", "extra.file_name"]);
    assert!(doors.submits[1].adds.strip.is_none());
    let SubmitSource::IntelmqTcp(third) = &doors.submits[2].from else { panic!("{doors:?}") };
    assert_eq!((third.allow.len(), third.separator.as_deref()), (2, Some("\n")));
    assert_eq!(doors.submits[2].adds.multiple_values, MultipleValues::Explode { most: 256 });
    let pipeline = &doors.consumers[0];
    assert!(pipeline.form.annotate && !pipeline.form.strict && !pipeline.form.with_type && !pipeline.own);
    assert_eq!((pipeline.form.form, pipeline.from), (DeliveryForm::Plain, None));
    let inbox = &doors.consumers[1];
    let relations = RelationFields::new(
        "extra.intelmesh.withdraws",
        "extra.intelmesh.replaces",
        "extra.gone",
        "extra.intelmesh.replaced_by",
    );
    assert_eq!(inbox.form.relation_fields, relations.unwrap());
    assert_eq!(pipeline.form.relation_fields, RelationFields::default());
    assert_eq!(inbox.from, Some(StartPosition::Now));
    assert!(matches!(inbox.to, ConsumerTarget::IntelmqRedis { queue_max: QUEUE_MAX_DEFAULT, .. }));
}

#[test]
fn every_slip_of_a_door_has_its_line_and_its_remedy() {
    let tcp = "[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:1\"\n";
    let out = "[[consumer]]\nname = \"x\"\nto = \"intelmq-tcp\"\nconnect = \"127.0.0.1:1\"\n";
    for (text, want) in [
        ("[[submit]]\n", "intelmesh.toml:2: \"from\" is missing | from = "),
        ("[[submit]]\nfrom = \"tcp\"\n", "intelmesh.toml:3: \"from\": \"tcp\" is not "),
        ("[[submit]]\nfrom = \"intelmq-tcp\"\n", "intelmesh.toml:2: \"listen\" is missing | listen = "),
        (
            "[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"0.0.0.0:5000\"\n",
            "intelmesh.toml:4: \"listen\": 0.0.0.0:5000 can be reached by others, and \"allow\" does not say \
             who may | listen on 127.0.0.1, or name the networks",
        ),
        (&format!("{tcp}lisen = 1\n"), "intelmesh.toml:5: unknown key \"lisen\" | did you mean \"listen\"?"),
        (
            &format!("{tcp}url = \"redis://x\"\n"),
            "intelmesh.toml:5: \"url\" is not a key of a door from intelmq-tcp",
        ),
        (&format!("{tcp}allow = [\"x\"]\n"), "intelmesh.toml:5: \"allow\": \"x\" is not a network"),
        (&format!("{tcp}separator = \"\"\n"), "intelmesh.toml:5: \"separator\": \"\" is not 1 to 8 bytes"),
        (&format!("{tcp}ids = \"hash\"\n"), "intelmesh.toml:5: \"ids\": \"hash\" is not "),
        (
            &format!("{tcp}multiple_values_max = 0\n"),
            "intelmesh.toml:5: \"multiple_values_max\": \"0\" is not",
        ),
        (
            &format!("{tcp}strip = [\"a b\"]\n"),
            "intelmesh.toml:5: \"strip\": \"a b\" is not a field to strip | a field",
        ),
        (&format!("{tcp}tlp = \"BLUE\"\n"), "intelmesh.toml:5: \"tlp\": \"BLUE\" is not a known label"),
        (&format!("{tcp}name = \"a b\"\n"), "intelmesh.toml:5: \"name\": "),
        (
            &format!("{out}filter = 'meta.publsher == \"a\"'\n"),
            "intelmesh.toml:6:15: \"filter\": meta has no \"publsher\" | did you mean meta.publisher?",
        ),
        (&format!("{out}form = \"xml\"\n"), "intelmesh.toml:6: \"form\": \"xml\" is not "),
        (
            &format!("{out}queue_max = 1\n"),
            "intelmesh.toml:6: \"queue_max\" is not a key of a door to intelmq-tcp",
        ),
        (&format!("{out}{out}"), "intelmesh.toml:7: another door is called \"x\" | give one of them a name"),
        (&format!("{out}{tcp}name = \"x\"\n"), "intelmesh.toml:9: another door is called \"x\""),
        (
            "[[consumer]]\nname = \"x\"\nto = \"intelmq-tcp\"\nconnect = \"localhost\"\n",
            "intelmesh.toml:5: \"connect\"",
        ),
        (
            "[[consumer]]\nname = \"x\"\nto = \"intelmq-redis\"\nurl = \"http://u:secret@h\"\nqueue = \"q\"\n",
            "intelmesh.toml:5: \"url\": \"http\" is not ",
        ),
        ("submit = 3\n", "intelmesh.toml:2: \"submit\" must be written as [[tables]]"),
        (
            "[[submit]]\nfrom = \"socket\"\n[[submit]]\nfrom = \"socket\"\n",
            "intelmesh.toml:4: another door is",
        ),
    ] {
        let said = read(text).expect_err(text);
        assert!(said.iter().any(|line| line.starts_with(want)), "{text}: {said:#?}");
    }
}
