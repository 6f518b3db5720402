//! The node as a service: what it tells systemd and the journal, and what monitoring and a terminal are shown.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Node, Stopwatch, binary, wait_until};

use super::SOON;

/// Reads until `wanted` was told. The watchdog is fed meanwhile.
fn told(manager: &UnixDatagram, wanted: &str) {
    let mut buffer = [0; 4_096];
    loop {
        let bytes =
            manager.recv(&mut buffer).unwrap_or_else(|error| panic!("{wanted} was not told: {error}"));
        let said = std::str::from_utf8(&buffer[..bytes]).unwrap();
        if said.lines().any(|line| line.starts_with(wanted)) {
            return;
        }
        assert!(said.starts_with("READY=1\nWATCHDOG=1\nSTATUS="), "{said}");
    }
}

#[test]
fn systemd_is_told_that_the_node_is_ready_alive_and_stopping() {
    let place = tempfile::TempDir::new().unwrap();
    let socket = place.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let mut node = Node::init("cert-at");
    node.set_env("NOTIFY_SOCKET", socket);
    node.start();
    told(&manager, "READY=1");
    // A manager whose queue was full would wait for it for ever.
    told(&manager, "READY=1");
    told(&manager, "STATUS=ok: 0 of 0 peers up");
    told(&manager, "WATCHDOG=1");
    node.stop();
    told(&manager, "STOPPING=1");
}

#[test]
fn the_log_has_fixed_fields_in_each_format() {
    let mut node = Node::init("cert-at");
    node.set_env("INTELMESH_LOG_FORMAT", "json");
    node.start();
    node.stop();
    let log = node.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let started = lines.iter().find(|line| line["message"] == "started").expect(&log);
    assert_eq!((&started["level"], &started["name"]), (&Value::from("INFO"), &Value::from("cert-at")));
    assert!(started["timestamp"].as_str().unwrap().ends_with('Z'), "{started}");
    assert_eq!(started["last_seq"], 0);

    let mut node = Node::init("cert-at");
    node.set_env("INTELMESH_LOG_FORMAT", "journald");
    node.start();
    node.stop();
    let log = node.log();
    assert!(log.starts_with("<6>started version="), "{log}");

    let mut node = Node::init("cert-at");
    node.set_env("INTELMESH_LOG_FORMAT", "xml");
    node.start();
    assert!(node.log().contains("INTELMESH_LOG_FORMAT=\"xml\" is not a format"), "{}", node.log());
}

#[test]
fn nagios_gets_one_line_with_figures_and_its_own_exit_codes() {
    let mut node = Node::init("cert-at");
    let stopped = node.say(&["status", "--nagios"], "");
    assert_eq!((stopped.code, stopped.stderr.as_str()), (2, ""), "{stopped:?}");
    assert!(stopped.stdout.starts_with("CRITICAL - no node runs in "), "{stopped:?}");
    node.start();
    let well = node.say(&["status", "--nagios"], "");
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.stdout.starts_with("OK - 0 of 0 peers up"), "{well:?}");
    let (_, figures) = well.stdout.trim_end().split_once(" | ").unwrap();
    for figure in figures.split(' ') {
        let (_, value) = figure.split_once('=').unwrap();
        let number: String = value.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        assert!(number.parse::<f64>().is_ok(), "{figure}");
    }
    let groups = node.dir().join("groups/baltics.toml");
    std::fs::write(groups, "members = [").unwrap();
    wait_until("the file is bad", SOON, || node.complains("config_bad"));
    let bad = node.say(&["status", "--nagios"], "");
    assert_eq!((bad.code, bad.stdout.starts_with("WARNING - ")), (1, true), "{bad:?}");
}

#[test]
fn the_watch_draws_again_until_its_reader_goes() {
    let mut node = Node::init("cert-at");
    node.start();
    let (mut watch, mut draws) = watch_of(&node);
    assert!(draws() && draws());
    drop(draws);
    wait_until("it ends", Duration::from_secs(10), || watch.try_wait().unwrap().is_some());
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

/// `status --watch` of a node, and what reads its next frame.
fn watch_of(node: &Node) -> (Child, impl FnMut() -> bool) {
    let mut command = Command::new(binary());
    command.args(["status", "--watch", "-C"]).arg(node.dir()).stdout(Stdio::piped());
    let mut watch = command.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    (watch, move || lines.any(|line| line.starts_with("PEERS ")))
}

fn signal(name: &str, child: &Child) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Thirty frames would take a minute if a resized terminal waited for its turn.
#[test]
fn the_watch_draws_at_once_for_another_size() {
    let mut node = Node::init("cert-at");
    node.start();
    let (mut watch, mut draws) = watch_of(&node);
    assert!(draws());
    let since = Stopwatch::start();
    for _ in 0..30 {
        signal("-WINCH", &watch);
        assert!(draws());
    }
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    signal("-TERM", &watch);
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

/// The first frame on a terminal of the kind `term`.
fn frame_on(term: &str, node: &Node) -> String {
    let watch = format!("exec env TERM={term} {} status --watch", binary().display());
    let line = format!("stty cols 80 rows 24; {watch} -C {}", node.dir().display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut shown = script.spawn().expect("script is installed: apt install bsdutils");
    let lines = BufReader::new(shown.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut frame = String::new();
    for line in lines {
        frame += &line;
        if line.starts_with("PEERS ") {
            break;
        }
    }
    signal("-TERM", &shown);
    shown.wait().unwrap();
    frame
}

#[test]
fn a_dumb_terminal_is_not_cleared() {
    let mut node = Node::init("cert-at");
    node.start();
    assert!(frame_on("xterm", &node).contains("\x1b[2J"));
    let dumb = frame_on("dumb", &node);
    assert!(dumb.contains("PEERS ") && !dumb.contains('\x1b'), "{dumb}");
}

#[test]
fn each_verb_has_a_man_page() {
    let place = tempfile::TempDir::new().unwrap();
    let done = Command::new(binary()).arg("man").arg(place.path()).status().unwrap();
    assert!(done.success());
    for page in ["intelmesh.1", "intelmesh-status.1", "intelmesh-peer-add.1", "intelmesh.toml.5"] {
        let text = std::fs::read_to_string(place.path().join(page)).expect(page);
        assert!(text.contains(".TH ") && text.contains(".SH NAME"), "{text}");
    }
    let settings = std::fs::read_to_string(place.path().join("intelmesh.toml.5")).unwrap();
    assert!(settings.contains("\n# [metrics]\n"), "{settings}");
}

/// Answers typed at a terminal: a name that is none is asked again, and a host becomes an address.
#[test]
fn init_asks_on_a_terminal_for_what_it_was_not_given() {
    let place = tempfile::TempDir::new().unwrap();
    let line = format!("{} init {}/at", binary().display(), place.path().display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut asked = script.spawn().expect("script is installed: apt install bsdutils");
    asked.stdin.take().unwrap().write_all(b"CERT AT\ncert-at\nmesh.cert.at\n").unwrap();
    let done = asked.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}");
    assert_eq!(said.matches("Short name of your organisation").count(), 2, "{said}");
    let made = std::fs::read_to_string(place.path().join("at/intelmesh.toml")).unwrap();
    assert!(made.contains("\nname = \"cert-at\"\n"), "{made}");
    assert!(made.contains("\nadvertise = [\"/dns4/mesh.cert.at/tcp/4801\"]\n"), "{made}");
}

/// The command of `on_health` gets what began and what ended, and nothing of the node's environment.
#[test]
fn a_command_is_run_at_each_change_of_health() {
    let mut node = Node::init("cert-at");
    let told = node.dir().join("told");
    let script = format!("env >> {0}.all; echo \"$INTELMESH_STATE $INTELMESH_CODE\" >> {0}", told.display());
    node.edit("intelmesh.toml", |text| format!("on_health = [\"/bin/sh\", \"-c\", '''{script}''']\n{text}"));
    node.set_env("INTELMESH_PASSPHRASE_FILE", "/nonexistent");
    node.start();
    let group = node.dir().join("groups/baltics.toml");
    std::fs::write(&group, "members = [").unwrap();
    let read = || std::fs::read_to_string(&told).unwrap_or_default();
    wait_until("it was told", SOON, || read() == "begins config_bad\n");
    std::fs::remove_file(&group).unwrap();
    wait_until("and of the end", SOON, || read() == "begins config_bad\nends config_bad\n");
    let environment = std::fs::read_to_string(node.dir().join("told.all")).unwrap();
    assert!(environment.contains("INTELMESH_WHAT=groups/baltics.toml:1: "), "{environment}");
    assert!(!environment.contains("PASSPHRASE"), "{environment}");
}

#[test]
fn a_report_for_helpers_has_no_secret() {
    let mut node = Node::init("cert-at");
    node.edit("intelmesh.toml", |text| {
        let url = "redis://:hunter2@127.0.0.1:1/2";
        format!(
            "{text}[[consumer]]\nname = \"soc\"\nto = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"q\"\n"
        )
    });
    node.start();
    node.publish(&[support::events::made(1, 300)]);
    let report = node.cli(&["doctor"]);
    let status = "\"schema\": \"intelmesh.status/1\"";
    for words in ["== program\nintelmesh ", status, "== check", "redis://***@127.0.0.1:1/***"] {
        assert!(report.contains(words), "{words} in {report}");
    }
    assert!(!report.contains("hunter2") && !report.contains("source.ip"), "{report}");
}

#[test]
fn a_line_for_people_has_time_publisher_and_label() {
    let mut node = Node::init("cert-at");
    node.start();
    node.publish(&[support::events::made(1, 300)]);
    let shown = node.cli(&["tail", "--own", "--from", "earliest", "--count", "1", "--pretty"]);
    assert!(shown.contains("  cert-at          GREEN") && shown.lines().count() == 1, "{shown}");
}
