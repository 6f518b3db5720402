//! Walks of operators through mistakes that once went unnoticed, as transcripts: arguments, standard input, all that is
//! printed, and the exit code. Where the program answered `ok` or with an id, it has to say what is wrong.

use std::time::Duration;

use support::{Node, Redis, wait_for, wait_until};

use crate::layout::{GROUP, NODE, PIPELINE, Packaged, owner};
use crate::transcript::Transcript;

const SOON: Duration = Duration::from_secs(60);

/// Thresholds of health are short, but not so short that nothing can be seen before them.
fn node(name: &str) -> Node {
    let mut node = Node::init(name);
    node.set_env("INTELMESH_TEST_HEALTH_DIVISOR", "15");
    node
}

/// Waits until `status --check` exits with `code`, and all of it is as written.
#[track_caller]
fn comes_to(transcript: &Transcript, node: &Node, begins: &str, code: i32, stdout: &str) {
    let what = format!("{}: {begins}", node.name());
    let said = wait_for(&what, SOON, || {
        let said = node.say(&["status", "--check"], "");
        println!("{said:?}");
        (said.code == code && said.stdout.starts_with(begins)).then_some(said)
    });
    transcript.compare("status --check", &said, code, stdout, "");
}

/// A label or a list of recipients that was mistyped was published as GREEN to everybody.
#[test]
fn a_mistyped_label_or_recipient_publishes_nothing() {
    let mut node = node("cert-q");
    node.start();
    let transcript = Transcript::new([]);
    let payload = r#""payload":{"source.ip":"192.0.2.1"}"#;
    let like = |typed: &str, meant: &str| {
        format!(
            r#"{{"error":"unknown key \"{typed}\": it looks like \"{meant}\"","code":"bad_meta","line":1,"hint":"did you mean \"{meant}\"?"}}"#
        )
    };
    let red = r#"{"error":"TLP:RED may go to nobody unsealed","code":"bad_tlp","line":1,"hint":"lower the label, or seal the event to named recipients (--seal --to, or `seal` and `to` in meta)"}"#;
    let walk = [
        (
            r#"{"meta":{"tlp":"AMBER+STRICT","to":["cert-ee"]},"event":{"source.ip":"192.0.2.1"}}"#.to_owned(),
            r#"{"error":"the line has \"meta\", and no \"payload\"","code":"bad_meta","line":1,"hint":"put the event below \"payload\": {\"meta\":{…},\"payload\":{…}}"}"#.to_owned(),
        ),
        (format!(r#"{{"meta":{{"TLP":"RED"}},{payload}}}"#), like("TLP", "tlp")),
        (format!(r#"{{"meta":{{"tlpp":"RED"}},{payload}}}"#), like("tlpp", "tlp")),
        (format!(r#"{{"meta":{{"To":["cert-ee"]}},{payload}}}"#), like("To", "to")),
        (format!(r#"{{"meta":{{"recipients":["cert-ee"]}},{payload}}}"#), like("recipients", "to")),
        (format!(r#"{{"Meta":{{"tlp":"RED"}},{payload}}}"#), like("Meta", "meta")),
        (r#"{"source.ip":"192.0.2.1","TLP":"RED"}"#.to_owned(), red.to_owned()),
        (r#"{"source.ip":"192.0.2.1","extra.tlp":"RED"}"#.to_owned(), red.to_owned()),
    ];
    for (line, answer) in &walk {
        let (line, answer) = (format!("{line}\n"), format!("{answer}\n"));
        transcript.compare("submit", &node.say(&["submit"], &line), 1, &answer, "");
        let tried = node.say(&["submit", "--dry-run", "--json"], &line);
        assert_eq!(tried.code, 1, "{tried:?}");
    }
    let tried = node.say(&["submit", "--dry-run"], &walk[0].0);
    let why = "line 1: the line has \"meta\", and no \"payload\" (bad_meta)\n";
    transcript.compare("submit --dry-run", &tried, 1, why, "");
    // A key that means nothing to us is kept, and named in the answer.
    let kept = node.say(&["submit"], &format!(r#"{{"meta":{{"campaign":"x"}},{payload}}}"#));
    let answer = "{\"id\":\"cert-q:intelmq:UUID\",\"ext\":[\"campaign\"]}\n";
    transcript.compare("submit", &kept, 0, answer, "");
    let tail = ["tail", "--own", "--from", "earliest", "--count", "1"];
    let handed = concat!(
        r#"{"seq":1,"meta":{"version":1,"uuid":{"current":"cert-q:intelmq:UUID"},"type":"event","format":"intelmq","#,
        r#""publisher":"cert-q","created":"TIME","tlp":"GREEN","ext":{"campaign":"x"}},"payload":{"source.ip":"192.0.2.1"}}"#,
        "\n"
    );
    transcript.compare("tail --own --from earliest --count 1", &node.say(&tail, ""), 0, handed, "");
    assert_eq!(node.status()["journal"]["last_seq"], 1, "nothing of what was refused is in the journal");
}

/// Two nodes behind firewalls, as `init` without an address makes them, and a partner that dials us and goes away.
#[test]
fn a_partner_that_is_cut_off_is_never_ok() {
    let (mut at, mut ee) = (node("cert-at"), node("cert-ee"));
    for node in [&mut at, &mut ee] {
        let listen = format!("[\"/ip4/0.0.0.0/tcp/{}\"]", node.port());
        node.configure("", "listen", &listen);
        node.configure("", "advertise", "[]");
    }
    let names = [(at.dir().display().to_string(), "DIR"), (at.port().to_string(), "PORT")];
    let transcript = Transcript::new(names.clone());
    let added = at.say(&["peer", "add", "-", "--yes"], &ee.say(&["invite"], "").stdout);
    let talk = "\
name         cert-ee
federation   intelmesh
key          KEY
their words  WORDS
             WORDS
our words    WORDS
             WORDS (cert-at)
addresses    none: it will connect to us, or be heard of through others
valid until  TIME
cert-ee added in DIR/peers/cert-ee.toml; tlp_max = \"AMBER\", relay = true
next: compare the words with cert-ee on the phone: intelmesh peer verify cert-ee
warning: neither of you can reach the other: cert-ee has no address here, and our invitations have none
hint: one of both must open a port, and name it: advertise = […] in intelmesh.toml
next: send cert-ee our invitation, if it has not added us yet:
INVITATION
then: intelmesh status -C DIR
";
    transcript.compare("peer add - --yes", &added, 0, "DIR/peers/cert-ee.toml\n", talk);
    ee.cli(&["peer", "add", &at.say(&["invite"], "").done(), "--yes"]);
    let warnings = "\
warning: intelmesh.toml:19: invitations will have no address: \"listen\" has none that others could use
hint: advertise = [\"/dns4/mesh.example.org/tcp/4801\"]
warning: peers/cert-ee.toml:5: neither of you can reach the other: no \"addresses\" here, and our invitations have none
hint: one of both must open a port: advertise = […] in intelmesh.toml, or addresses of theirs here
";
    let checked = "ok: intelmesh.toml, keys and 1 peer; 2 warnings\n";
    transcript.compare("check", &at.say(&["check"], ""), 0, checked, warnings);
    // What is asked has started a moment ago.
    ee.start();
    at.start();
    let line = "starting: 1 of 1 peers are not connected yet: cert-ee\n";
    transcript.compare("status --check", &at.say(&["status", "--check"], ""), 0, line, "");
    let line = "warning: there is no way to cert-ee: we have no address of it, and it never connected to us; \
                one of both must be reachable: ask cert-ee for its address, or give it an invitation with ours\n";
    comes_to(&transcript, &at, "warning: there is no way", 1, line);
    ee.configure_peer("cert-at", "", "addresses", &format!("[\"{}\"]", at.address()));
    comes_to(
        &transcript,
        &at,
        "ok: 1 of 1 peers up, all feeds",
        0,
        "ok: 1 of 1 peers up, all feeds within SPAN, 0 consumers\n",
    );
    ee.kill9();
    at.publish(&[support::events::made(1, 300)]);
    let line = "warning: cert-ee has been down for SPAN: connection is closed; \
                ask cert-ee whether its node runs: it connects to us\n";
    comes_to(&transcript, &at, "warning: cert-ee has been down", 1, line);
    let list = "\
PEER     state    connected  words         tlp_max  relay  addresses
cert-ee  trusted  no         NOT VERIFIED  AMBER    yes    it dials us
";
    transcript.compare("peer list", &at.say(&["peer", "list"], ""), 0, list, "");
}

/// An administrator works as root, and the node under an account of its own: a rotation left files that it could not
/// read, and at the next start it was down.
#[test]
fn a_rotation_by_root_outlives_a_restart() {
    let mut packaged = Packaged::new("cert-at", false);
    packaged.start();
    let dir = packaged.node.dir().display().to_string();
    let transcript = Transcript::new([(dir, "DIR")]);
    let rotated = packaged.node.say(&["key", "rotate", "--yes"], "");
    let talk = "the running node signs with them now, and tells its peers\n\
                keys/ has new files: back them up; what the older ones signed stays good (statement SERIAL)\n";
    transcript.compare("key rotate --yes", &rotated, 0, "KEY\nSEAL\n", talk);
    for file in std::fs::read_dir(packaged.node.dir().join("keys")).unwrap().flatten() {
        assert_eq!(owner(&file.path()), (NODE, NODE, 0o600), "{}", file.path().display());
    }
    let checked = packaged.node.say(&["check"], "");
    transcript.compare("check", &checked, 0, "ok: intelmesh.toml, keys and 0 peers\n", "");
    packaged.node.restart();
    let line = "ok: 0 of 0 peers up, 0 consumers\n";
    transcript.compare("status --check", &packaged.node.say(&["status", "--check"], ""), 0, line, "");
    assert_eq!(owner(&packaged.state().join("audit.jsonl")), (NODE, NODE, 0o600));
}

/// A pipeline and a monitoring account of their own, in the group of the sockets; and one that is not.
#[test]
fn a_pipeline_of_another_account_uses_the_sockets() {
    let mut packaged = Packaged::new("cert-at", true);
    packaged.start();
    let names = [(packaged.run().display().to_string(), "RUN"), (PIPELINE.to_string(), "PIPELINE")];
    let transcript = Transcript::new(names);
    let member = format!("--groups={GROUP}");
    let ask = |line: &str, stdin: &str, groups: &str| {
        packaged.pipeline(&line.split(' ').collect::<Vec<_>>(), stdin, groups)
    };
    let event = "{\"source.ip\":\"192.0.2.1\"}\n";
    let answer = "{\"id\":\"cert-at:intelmq:UUID\"}\n";
    transcript.compare("submit", &ask("submit", event, &member), 0, answer, "");
    let line = "tail --own --from earliest --form plain --count 1";
    transcript.compare(line, &ask(line, "", &member), 0, event, "");
    let line = "ok: 0 of 0 peers up, 0 consumers\n";
    transcript.compare("status --check", &ask("status --check", "", &member), 0, line, "");
    let refused = "error: RUN/ctl.sock: Permission denied (os error 13)\n\
                   hint: run this as the node's account, or as a member of socket_group (see docs/howto/let-accounts-use-a-node.md)\n";
    transcript.compare("status --check", &ask("status --check", "", "--clear-groups"), 2, "", refused);
    let closed = "error: intelmesh.toml:1: cannot be read: Permission denied (os error 13)\n\
                  hint: run this as the account that the files belong to, or as root (see docs/howto/let-accounts-use-a-node.md)\n";
    transcript.compare("check", &ask("check", "", &member), 2, "", closed);
}

/// The pipeline's Redis asks for a password, and then is not there: nothing of ours enters the mesh.
#[test]
fn a_door_that_is_refused_is_never_ok() {
    let mut redis = Redis::new();
    redis.set_password("secret");
    redis.start_again();
    let mut node = node("cert-at");
    let port = redis.port().to_string();
    let url = format!("redis://127.0.0.1:{port}/0");
    let door = format!("\n[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"in\"\n");
    node.edit("intelmesh.toml", |text| text + &door);
    node.start();
    let transcript = Transcript::new([(port, "PORT")]);
    let line = |why: &str| {
        format!(
            "warning: door intelmq-redis has not reached its other end (redis://127.0.0.1:PORT/0 in) for SPAN, \
             nothing of ours enters the mesh through it: {why}; start what is there, or correct the address of intelmq-redis in intelmesh.toml\n"
        )
    };
    let refused = "redis at redis://127.0.0.1:PORT/0 says NOAUTH: Authentication required. \
                   (redis wants a password: url = \"redis://:PASSWORD@HOST:PORT/DB\")";
    comes_to(&transcript, &node, "warning: door", 1, &line(refused));
    redis.kill9();
    wait_until("the door says so", SOON, || node.say(&["status", "--check"], "").stdout.contains("refused"));
    let away = "cannot reach redis at redis://127.0.0.1:PORT/0: Connection refused (os error 111) \
                (does redis run there? redis-cli ping)";
    comes_to(&transcript, &node, "warning: door", 1, &line(away));
    redis.start_again();
    let with_password = redis.url(0);
    node.edit("intelmesh.toml", |text| text.replace(&url, &with_password));
    let reloaded = node.say(&["reload"], "");
    transcript.compare("reload", &reloaded, 0, "in force now: door intelmq-redis\n", "");
    comes_to(&transcript, &node, "ok: ", 0, "ok: 0 of 0 peers up, 0 consumers\n");
}
