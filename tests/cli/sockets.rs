//! What the command line says on the three sockets, against a node that only plays its part: what is sent, what
//! is printed, what is acknowledged when, and the exit codes. Real nodes are in `node.rs`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};

use crate::shell::Shell;

/// A directory with one socket of a node in it.
struct Part {
    shell: Shell,
    listener: Option<UnixListener>,
}

impl Part {
    fn new(socket: &str) -> Self {
        let shell = Shell::new();
        let run = shell.path().join("run");
        fs::create_dir(&run).unwrap();
        let listener = Some(UnixListener::bind(run.join(socket)).unwrap());
        Self { shell, listener }
    }

    /// Serves one connection.
    fn serve<T: Send + 'static>(
        &mut self,
        part: impl FnOnce(UnixStream) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let listener = self.listener.take().unwrap();
        thread::spawn(move || part(listener.accept().unwrap().0))
    }

    /// Starts the command line with pipes.
    fn start(&self, line: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_intelmesh"))
            .args(line.split_whitespace())
            .current_dir(self.shell.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

fn lines(stream: &UnixStream) -> std::io::Lines<BufReader<UnixStream>> {
    BufReader::new(stream.try_clone().unwrap()).lines()
}

fn say(mut stream: &UnixStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

#[test]
fn submit_sends_lines_as_they_are_and_prints_the_answers() {
    let mut part = Part::new("in.sock");
    let sent = part.serve(|stream| {
        let mut text = String::new();
        (&stream).read_to_string(&mut text).unwrap();
        say(&stream, "{\"id\":\"a:b:1\"}\n{\"id\":\"a:b:1\",\"duplicate\":true}\n");
        text
    });
    let stdin = "{\"a\": 1.0}\n\n  \n{\"a\":\"\\u00e9\"}";
    part.shell.says("submit", stdin, 0, "{\"id\":\"a:b:1\"}\n{\"id\":\"a:b:1\",\"duplicate\":true}\n", "");
    assert_eq!(sent.join().unwrap(), stdin);
}

#[test]
fn submit_puts_its_flags_on_every_form_and_exits_1_for_an_error() {
    let mut part = Part::new("in.sock");
    let sent = part.serve(|stream| {
        let mut text = String::new();
        (&stream).read_to_string(&mut text).unwrap();
        say(&stream, "{\"id\":\"a:b:1\"}\n{\"error\":\"no object\",\"code\":\"not_object\",\"line\":2}\n");
        text
    });
    fs::write(part.shell.path().join("events"), "{\"a\": 1.0}\r\n[]\n").unwrap();
    let stdout = "{\"id\":\"a:b:1\"}\n{\"error\":\"no object\",\"code\":\"not_object\",\"line\":2}\n";
    part.shell.says("submit events --to cert-ee,cert_pl --tlp amber", "", 1, stdout, "");
    let want =
        "{\"meta\":{\"to\":[\"cert-ee\",\"cert-pl\"],\"tlp\":\"AMBER\"},\"payload\":{\"a\": 1.0}}\n[]\n";
    assert_eq!(sent.join().unwrap(), want);
}

/// `submit file | head -1`: the exit code is an answer too, and the work is done whether or not somebody reads on.
#[test]
fn a_closed_pipe_changes_neither_work_nor_exit_code() {
    let mut part = Part::new("in.sock");
    let (closed, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let sent = part.serve(move |stream| {
        let mut sent = 0;
        for line in lines(&stream) {
            line.unwrap();
            sent += 1;
            if sent == 1 {
                wait.recv().unwrap();
            }
            let said = if sent < 2_000 {
                "{\"id\":\"a:b:1\"}\n"
            } else {
                "{\"error\":\"e\",\"code\":\"empty\",\"line\":1}\n"
            };
            say(&stream, said);
        }
        sent
    });
    fs::write(part.shell.path().join("events"), "{}\n".repeat(2_000)).unwrap();
    let mut child = part.start("submit events");
    drop(child.stdout.take());
    closed.send(()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "the last line was answered with an error");
    assert_eq!(sent.join().unwrap(), 2_000, "all lines were sent");

    let mut part = Part::new("ctl.sock");
    let (closed, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let node = part.serve(move |stream| {
        lines(&stream).next().unwrap().unwrap();
        wait.recv().unwrap();
        let health =
            "\"ok\":false,\"health\":[{\"code\":\"disk_low\",\"what\":\"full\",\"hint\":\"free some\"}]";
        say(&stream, &format!("{}\n", STATUS.replace("\"ok\":true,\"health\":[]", health)));
    });
    let mut child = part.start("status --check");
    drop(child.stdout.take());
    closed.send(()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "a monitor that reads no text still gets the code");
    node.join().unwrap();
}

/// A terminal obeys some characters, and shows text in another order for others: `script` makes one.
#[test]
fn what_others_wrote_is_escaped_on_a_terminal_alone() {
    const LINE: &str = "{\"seq\":1,\"payload\":{\"a\":\"x\u{9b}31m\u{202e}\u{2028}\"}}\n";
    let tail = |on_terminal: bool| {
        let mut part = Part::new("out.sock");
        let node = part.serve(|stream| hand_off(&stream, LINE));
        let line = format!("{} tail --count 1", env!("CARGO_BIN_EXE_intelmesh"));
        let mut command = Command::new(if on_terminal { "script" } else { "sh" });
        command.args(if on_terminal { vec!["-qefc", &line, "/dev/null"] } else { vec!["-c", &line] });
        let said = command.current_dir(part.shell.path()).stdin(Stdio::null()).output().unwrap();
        node.join().unwrap();
        String::from_utf8(said.stdout).unwrap()
    };
    assert_eq!(tail(false), LINE);
    let shown = tail(true);
    assert!(shown.contains(r"x\u009b31m\u202e\u2028"), "{shown:?}");
    assert!(!shown.contains(['\u{9b}', '\u{202e}', '\u{2028}']), "{shown:?}");
}

/// At 60 columns a terminal itself would break lines in mid word.
#[test]
fn status_is_broken_between_words_on_a_narrow_terminal() {
    let health = "\"ok\":false,\"health\":[{\"code\":\"disk_low\",\"what\":\"98.3 kB free for the journal\",\"hint\":\"free space, or lower keep_bytes in intelmesh.toml\"}]";
    let reply = format!("{}\n", STATUS.replace("\"ok\":true,\"health\":[]", health));
    let mut part = Part::new("ctl.sock");
    let node = part.serve(move |stream| {
        lines(&stream).next().unwrap().unwrap();
        say(&stream, &reply);
    });
    let line = format!("stty cols 60; {} status", env!("CARGO_BIN_EXE_intelmesh"));
    let mut command = Command::new("script");
    command.args(["-qefc", &line, "/dev/null"]).current_dir(part.shell.path()).stdin(Stdio::null());
    // Colours are tested beside their own code.
    command.env("NO_COLOR", "1");
    let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
    node.join().unwrap();
    let begin =
        "warning: 98.3 kB free for the journal; free space, or lower\r\n  keep_bytes in intelmesh.toml\r\n";
    assert!(said.starts_with(begin), "{said:?}");
    assert!(said.lines().all(|line| line.chars().count() <= 60), "{said}");
}

#[test]
fn submit_that_is_cut_off_says_how_much_was_answered() {
    let mut part = Part::new("in.sock");
    let node = part.serve(|stream| {
        let first = lines(&stream).next().unwrap().unwrap();
        say(&stream, "{\"id\":\"a:b:1\"}\n");
        first
    });
    let stderr = "error: the node answered 1 of 2 lines and closed in.sock\n\
                  hint: the rest may be submitted again: what is there already is answered \"duplicate\"\n";
    let said = part.shell.run("submit", "{}\n{}\n");
    node.join().unwrap();
    assert_eq!(said.code, Some(2), "{}{}", said.stdout, said.stderr);
    // Where the connection was reset rather than closed, the kernel may have dropped the answer as well.
    let none = stderr.replace("answered 1 of", "answered 0 of");
    assert!(said.stderr == stderr || said.stderr == none, "{}", said.stderr);
}

#[test]
fn submit_answers_long_before_its_input_ends() {
    let mut part = Part::new("in.sock");
    let node = part.serve(|stream| {
        for line in lines(&stream) {
            line.unwrap();
            say(&stream, "{\"id\":\"a:b:1\"}\n");
        }
    });
    let mut child = Command::new(env!("CARGO_BIN_EXE_intelmesh"))
        .args(["submit", "-"])
        .current_dir(part.shell.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        input.write_all(b"{}\n").unwrap();
        assert_eq!(output.next().unwrap().unwrap(), "{\"id\":\"a:b:1\"}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
    node.join().unwrap();
}

#[test]
fn a_line_that_is_too_long_is_passed_on_in_pieces() {
    let mut part = Part::new("in.sock");
    let long = format!("{{\"raw\":\"{}\"}}\n", "x".repeat(3 << 20));
    let node = part.serve(|stream| {
        let mut size = 0;
        for line in lines(&stream).take(2) {
            size += line.unwrap().len() + 1;
            say(&stream, "{\"id\":\"a:b:1\"}\n");
        }
        size
    });
    let stdin = format!("{long}{{}}\n");
    part.shell.says("submit --tlp RED", &stdin, 0, "{\"id\":\"a:b:1\"}\n{\"id\":\"a:b:1\"}\n", "");
    let labelled = "{\"meta\":{\"tlp\":\"RED\"},\"payload\":{}}\n";
    assert_eq!(node.join().unwrap(), long.len() + labelled.len());
}

/// Reads the request, hands off `events`, and gives everything that came back.
fn hand_off(stream: &UnixStream, events: &str) -> Vec<String> {
    let mut back = lines(stream);
    let mut got = vec![back.next().unwrap().unwrap()];
    say(stream, events);
    got.extend(back.map_while(Result::ok));
    got
}

#[test]
fn tail_of_a_named_consumer_acks_what_it_printed_and_waits_until_that_is_durable() {
    let mut part = Part::new("out.sock");
    let node = part.serve(|stream| hand_off(&stream, "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3}\n"));
    part.shell.says("tail --consumer soc --count 2", "", 0, "{\"seq\":1}\n{\"seq\":2}\n", "");
    let got = node.join().unwrap();
    assert_eq!(got[0], "{\"consumer\":\"soc\"}");
    assert_eq!(got.last().unwrap(), "{\"ack\":2}");
}

#[test]
fn tail_acks_by_lines_where_they_have_no_seq() {
    let mut part = Part::new("out.sock");
    let node = part.serve(|stream| hand_off(&stream, "{\"a\":1}\n{\"a\":2}\n"));
    part.shell.says("tail --consumer soc --form plain --count 2", "", 0, "{\"a\":1}\n{\"a\":2}\n", "");
    assert_eq!(node.join().unwrap().last().unwrap(), "{\"ack_lines\":2}");
}

#[test]
fn tail_says_what_it_was_asked_for() {
    for (line, request) in [
        ("tail --count 1", "{}"),
        ("tail --count 1 --from earliest --own", "{\"from\":\"earliest\",\"own\":true}"),
        ("tail --count 1 --from 17 --form plain", "{\"from\":17,\"form\":\"plain\"}"),
        (
            "tail --count 1 --from 2026-11-20T10:00:00Z --form ail --filter true",
            "{\"from\":\"2026-11-20T10:00:00Z\",\"filter\":\"true\",\"form\":\"ail\"}",
        ),
    ] {
        let mut part = Part::new("out.sock");
        let node = part.serve(|stream| hand_off(&stream, "{}\n"));
        part.shell.says(line, "", 0, "{}\n", "");
        assert_eq!(node.join().unwrap(), [request], "{line}");
    }
}

#[test]
fn tail_stops_when_nothing_comes_for_a_while() {
    let mut part = Part::new("out.sock");
    let node = part.serve(|stream| hand_off(&stream, "{\"seq\":1}\n"));
    part.shell.says("tail --consumer soc --idle 0.2", "", 0, "{\"seq\":1}\n", "");
    assert_eq!(node.join().unwrap(), ["{\"consumer\":\"soc\"}", "{\"ack\":1}"]);
}

#[test]
fn tail_says_on_stderr_that_from_is_ignored() {
    let mut part = Part::new("out.sock");
    let notice = "{\"notice\":\"soc goes on after seq 1\",\"code\":\"from_ignored\",\"position\":1}\n";
    let node = part.serve(move |stream| hand_off(&stream, &format!("{notice}{{\"seq\":2}}\n")));
    let asked = "tail --consumer soc --from now --count 1";
    part.shell.says(asked, "", 0, "{\"seq\":2}\n", "soc goes on after seq 1\n");
    assert_eq!(node.join().unwrap().last().unwrap(), "{\"ack\":2}");
}

/// A consumer that is removed while it reads gets the reason as its last line.
#[test]
fn tail_tells_a_last_reason_from_events() {
    let removed = "{\"error\":\"removed\",\"code\":\"removed\"}\n";
    for (form, event) in [("iep04", "{\"seq\":1}\n"), ("plain", "{\"error\":\"x\",\"code\":\"y\"}\n")] {
        let mut part = Part::new("out.sock");
        part.serve(move |stream| {
            lines(&stream).next().unwrap().unwrap();
            say(&stream, &format!("{event}{event}{removed}"));
        });
        let asked = format!("tail --consumer soc --form {form}");
        part.shell.says(&asked, "", 2, &event.repeat(2), "error: removed (removed)\n");
    }
}

/// A node that stops cannot confirm the last acks: `tail` took its reason for an event, and exited 0.
#[test]
fn tail_fails_if_last_acks_are_not_confirmed() {
    let mut part = Part::new("out.sock");
    let stopping = "{\"error\":\"the node is stopping\",\"code\":\"stopping\",\"retry\":true}\n";
    part.serve(move |stream| {
        let mut back = lines(&stream);
        back.next().unwrap().unwrap();
        say(&stream, "{\"seq\":1}\n");
        back.by_ref().for_each(|ack| drop(ack.unwrap()));
        say(&stream, stopping);
    });
    let error = "error: the node is stopping (stopping)\n";
    part.shell.says("tail --consumer soc --count 1", "", 2, "{\"seq\":1}\n", error);
}

#[test]
fn tail_reports_a_refused_request_and_a_node_that_stops() {
    let mut part = Part::new("out.sock");
    let busy = "{\"error\":\"consumer \\\"soc\\\" is in use\",\"code\":\"busy\"}\n";
    part.serve(|stream| {
        lines(&stream).next().unwrap().unwrap();
        say(&stream, busy);
    });
    part.shell.says("tail --consumer soc", "", 2, "", "error: consumer \"soc\" is in use (busy)\n");
    let mut part = Part::new("out.sock");
    part.serve(|stream| {
        lines(&stream).next().unwrap().unwrap();
        say(&stream, "{\"seq\":1}\n");
    });
    let stderr = "error: the node closed out.sock\nhint: is it stopping? see its log\n";
    part.shell.says("tail", "", 2, "{\"seq\":1}\n", stderr);
}

fn first_line(stdout: &mut ChildStdout) -> String {
    let mut line = String::new();
    let mut byte = [0];
    while stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(char::from(byte[0]));
    }
    line
}

#[test]
fn tail_ends_in_order_on_sigterm_and_when_its_reader_has_seen_enough() {
    let mut part = Part::new("out.sock");
    let node = part.serve(|stream| hand_off(&stream, "{\"seq\":1}\n"));
    let mut child = part.start("tail --consumer soc");
    assert_eq!(first_line(child.stdout.as_mut().unwrap()), "{\"seq\":1}");
    let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(node.join().unwrap().last().unwrap(), "{\"ack\":1}");

    let (node, mut child) = endless_tail();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    node.join().unwrap();
}

/// A tail that is handed lines until it is gone, of which the first was read.
fn endless_tail() -> (JoinHandle<()>, Child) {
    let mut part = Part::new("out.sock");
    let node = part.serve(|stream| {
        let mut back = lines(&stream);
        back.next().unwrap().unwrap();
        while (&stream).write_all(b"{\"seq\":1}\n").is_ok() {}
    });
    let mut child = part.start("tail");
    assert_eq!(first_line(child.stdout.as_mut().unwrap()), "{\"seq\":1}");
    (node, child)
}

#[test]
fn tail_ends_on_sigterm_though_its_reader_reads_no_more() {
    let (node, mut child) = endless_tail();
    for _ in 0..2 {
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    }
    assert_eq!(child.wait().unwrap().code(), Some(0), "its stdout is full, and still open");
    node.join().unwrap();
}

/// Answers one question on `ctl.sock`; gives the question.
fn asked(line: &str, reply: &str, code: i32, stdout: &str, stderr: &str) -> String {
    let mut part = Part::new("ctl.sock");
    let reply = format!("{reply}\n");
    let node = part.serve(move |stream| {
        let question = lines(&stream).next().unwrap().unwrap();
        say(&stream, &reply);
        question
    });
    part.shell.says(line, "", code, stdout, stderr);
    node.join().unwrap()
}

const STATUS: &str = r#"{"status":{"schema":"intelmesh.status/1","name":"cert-at","peer_id":"12D3","key":"ed25519:AA","version":"0.1.0","uptime_s":12.5,"ok":true,"health":[],"clock":{"ok":true},"journal":{"log_id":"00","first_seq":1,"last_seq":17,"bytes":20480},"seen":{"ids":17,"bytes":4096},"peers":[],"consumers":[],"strangers":[],"errors":[]}}"#;

#[test]
fn status_check_prints_one_line_and_exits_by_it() {
    let line = "ok: 0 of 0 peers up, 0 consumers\n";
    assert_eq!(asked("status --check", STATUS, 0, line, ""), "\"status\"");
    let unwell = STATUS.replace(
        "\"ok\":true,\"health\":[]",
        "\"ok\":false,\"health\":[{\"code\":\"disk_low\",\"what\":\"full\",\"hint\":\"free some\"}]",
    );
    asked("status --check", &unwell, 1, "warning: full; free some\n", "");
    let mut part = Part::new("ctl.sock");
    part.serve(|stream| {
        lines(&stream).next().unwrap().unwrap();
        say(&stream, &format!("{STATUS}\n"));
    });
    let json = STATUS.strip_prefix("{\"status\":").unwrap().strip_suffix('}').unwrap();
    assert_eq!(part.shell.done("status --json"), format!("{json}\n"));
}

#[test]
fn what_the_node_refuses_has_its_exit_code() {
    let refused = r#"{"refused":{"error":"no event 72ddb00c in this journal","exit":1}}"#;
    let question = asked("event show 72DDB00C", refused, 1, "", "error: no event 72ddb00c in this journal\n");
    assert_eq!(question, r#"{"event_show":{"id":"72ddb00c"}}"#);
    let refused = r#"{"refused":{"error":"e","hint":"h","exit":2}}"#;
    let question = asked("feed rewind cert-ee --to 7", refused, 2, "", "error: e\nhint: h\n");
    assert_eq!(question, r#"{"feed_rewind":{"peer":"cert-ee","to":{"seq":7}}}"#);
    let talk = "the clock is accepted: what waited for it goes on\n";
    assert_eq!(asked("clock accept", "\"done\"", 0, "", talk), "\"clock_accept\"");
    let stderr = "error: the node's answer cannot be read: expected value at line 1 column 1\n\
                  hint: is the command line of another version than the running node?\n";
    asked("feed show", "?", 2, "", stderr);
}

#[test]
fn an_exported_envelope_is_written_as_it_is() {
    let mut part = Part::new("ctl.sock");
    part.serve(|stream| {
        lines(&stream).next().unwrap().unwrap();
        say(&stream, "{\"envelope\":{\"id\":\"a:b:c\",\"cose\":\"0oRY\"}}\n");
    });
    let talk = "a:b:c: 3 bytes of COSE_Sign1 in x.cose\n";
    part.shell.says("event export 72ddb00c --cose x.cose", "", 0, "", talk);
    let path: PathBuf = part.shell.path().join("x.cose");
    assert_eq!(fs::read(path).unwrap(), [0xd2, 0x84, 0x58]);
}
