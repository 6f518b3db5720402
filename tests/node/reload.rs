//! Nothing is read only once: what changes in `intelmesh.toml` acts at a reload, and names of hosts are asked anew at
//! each dial. Of what cannot change while the node runs, the answer says so.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::made;
use support::node::free_port;
use support::{Consumer, Node, Redis, Submitter, wait_until};

const SOON: Duration = Duration::from_secs(30);

fn published_label(node: &Node, submitter: &mut Submitter, number: usize) -> Value {
    let answer = submitter.ask(&made(number, 300));
    let id = answer["id"].as_str().unwrap_or_else(|| panic!("{answer}"));
    let shown: Value = serde_json::from_str(&node.cli(&["event", "show", id, "--json"])).unwrap();
    shown["tlp"].clone()
}

#[test]
fn labels_and_doors_change_while_the_node_runs() {
    let redis = Redis::start();
    let mut node = Node::init("cert-at");
    node.start();
    // A connection that stands: the new label counts from its next line on.
    let mut submitter = Submitter::connect(&node).unwrap();
    assert_eq!(published_label(&node, &mut submitter, 1), "GREEN");
    node.configure("", "default_tlp", "\"CLEAR\"");
    let url = redis.url(0);
    let out = "[[consumer]]\nname = \"pipe\"\nto = \"intelmq-redis\"\nqueue = \"out\"\nown = true\nfrom = \"earliest\"\n";
    node.add_door(&format!("{out}url = \"{url}\"\n"));
    let said = node.cli(&["reload"]);
    assert_eq!(said, "in force now: default_tlp, door pipe\n");
    assert_eq!(published_label(&node, &mut submitter, 2), "CLEAR");
    let mut bot = redis.client(0);
    bot.wait_for_length("out", 2);

    // Another queue: the door goes on from its position.
    node.edit("intelmesh.toml", |text| text.replace("queue = \"out\"", "queue = \"other\""));
    assert_eq!(node.cli(&["reload"]), "in force now: door pipe\n");
    published_label(&node, &mut submitter, 3);
    wait_until("it arrives in the other queue", SOON, || bot.length("other") >= 1);
    assert_eq!(bot.length("out"), 2);

    // Its door is taken out: the position stays until it is removed.
    node.edit("intelmesh.toml", |text| text[..text.find("[[consumer]]").unwrap()].to_owned());
    assert_eq!(node.cli(&["reload"]), "in force now: door pipe\n");
    assert_eq!(node.door("pipe"), Value::Null);
    node.cli(&["consumer", "remove", "pipe"]);
    wait_until("it is gone", SOON, || node.consumer("pipe") == Value::Null);
    assert_eq!(node.cli(&["reload"]), "nothing has changed\n");
}

/// A door whose port somebody else has does not stop the node, and opens once it is free.
#[test]
fn a_door_waits_for_its_port_after_a_reload() {
    let mut node = Node::init("cert-at");
    node.set_env("INTELMESH_TEST_HEALTH_DIVISOR", "15");
    node.start();
    let port = free_port();
    let held = TcpListener::bind(("127.0.0.1", port)).unwrap();
    node.add_door(&format!("[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n"));
    node.cli(&["reload"]);
    wait_until("status names it", SOON, || node.complains("door_down"));
    assert!(node.door("intelmq-tcp")["down"]["what"].as_str().unwrap().contains("cannot listen on"));
    drop(held);
    wait_until("the port is free", SOON, || !node.complains("door_down"));
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    // Its key changes: the same port, at once.
    node.edit("intelmesh.toml", |text| text + "tlp = \"AMBER\"\n");
    assert_eq!(node.cli(&["reload"]), "in force now: door intelmq-tcp\n");
    wait_until("it listens again", SOON, || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
}

/// The list stands in a file of its own, which others may write: no reload is asked for.
#[test]
fn a_list_of_a_doors_filter_acts_when_its_file_changes() {
    let redis = Redis::start();
    let mut node = Node::init("cert-at");
    let list = node.dir().join("lists/asns.txt");
    fs::write(&list, "64496\n").unwrap();
    let (url, filter) = (redis.url(0), "'asn_in(event, \"asns.txt\")'");
    node.add_door(&format!(
        "[[consumer]]\nname = \"pipe\"\nto = \"intelmq-redis\"\nqueue = \"out\"\nown = true\nurl = \"{url}\"\nfilter = {filter}\n"
    ));
    node.start();
    let event = |asn: u32| format!("{{\"source.asn\":{asn},\"source.ip\":\"192.0.2.1\"}}");
    let mut bot = redis.client(0);
    node.publish(&[event(64496)]);
    bot.wait_for_length("out", 1);
    fs::write(&list, "64496\n64499\n").unwrap();
    wait_until("the list is read", SOON, || node.log().contains("lists of filters read again"));
    node.publish(&[event(64499), event(64500)]);
    bot.wait_for_length("out", 2);
    fs::write(&list, "nothing of the kind\n").unwrap();
    wait_until("it is told", SOON, || config_bad(&node).contains("door pipe"));
    node.publish(&[event(64496)]);
    bot.wait_for_length("out", 3);
    fs::write(&list, "64496\n").unwrap();
    wait_until("it ends", SOON, || config_bad(&node).is_empty());
}

fn config_bad(node: &Node) -> String {
    node.status()["health"].as_array().into_iter().flatten().fold(String::new(), |all, health| {
        if health["code"] == "config_bad" { all + &health.to_string() } else { all }
    })
}

/// What could not be put in force is not forgotten: health names it, and the next reload tries it again.
#[test]
fn door_that_could_not_open_is_tried_again() {
    let mut node = Node::init("cert-at");
    node.start();
    let in_the_way = node.dir().join("aside/late.jsonl");
    fs::create_dir_all(&in_the_way).unwrap();
    let port = free_port();
    node.add_door(&format!(
        "[[submit]]\nname = \"late\"\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n"
    ));
    for _ in 0..2 {
        let said = node.say(&["reload"], "");
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.stdout.contains("not in force: door late: "), "{said:?}");
        assert!(!said.stdout.contains("in force now"), "{said:?}");
        wait_until("health names it", SOON, || config_bad(&node).contains("door late is not open"));
    }
    assert!(node.log().contains("not in force: door late"), "{}", node.log());
    fs::remove_dir(&in_the_way).unwrap();
    assert_eq!(node.cli(&["reload"]), "in force now: door late\n");
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    wait_until("health has nothing more of it", SOON, || config_bad(&node).is_empty());
    assert_eq!(node.cli(&["reload"]), "nothing has changed\n");
}

/// Two doors at one queue would take what the other has in flight, and two at one file would count apart.
#[test]
fn door_that_is_opened_anew_goes_on_where_it_was() {
    let redis = Redis::start();
    let mut node = Node::init("cert-at");
    let url = redis.url(0);
    let label = |nth: usize| if nth.is_multiple_of(2) { "AMBER" } else { "GREEN" };
    node.add_door(&format!(
        "[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"in\"\ntlp = \"{}\"\n",
        label(1)
    ));
    node.start();
    let mut bot = redis.client(0);
    bot.push("in", "no JSON");
    wait_until("it is set aside", SOON, || node.door("intelmq-redis")["aside"]["lines"] == 1);
    for nth in 0..10 {
        (0..100).for_each(|number| bot.push("in", made(100 * nth + number, 300)));
        node.edit("intelmesh.toml", |text| {
            text.replace(&format!("\ntlp = \"{}\"", label(nth + 1)), &format!("\ntlp = \"{}\"", label(nth)))
        });
        assert_eq!(node.cli(&["reload"]), "in force now: door intelmq-redis\n");
    }
    bot.push("in", "no JSON again");
    let counted = |node: &Node| node.door("intelmq-redis");
    wait_until("all is taken", SOON, || counted(&node)["submit"]["accepted"] == 1_000);
    wait_until("it is set aside", SOON, || counted(&node)["aside"]["lines"] == 2);
    let door = counted(&node);
    assert_eq!((&door["submit"]["duplicates"], &door["submit"]["rejects"]), (&0.into(), &2.into()), "{door}");
    let warned: Vec<String> =
        node.log().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect();
    assert_eq!(warned.len(), 2, "what was set aside, and nothing else: {warned:#?}");
}

/// A sender connects at any moment: the port goes from the old door to the new one.
#[test]
fn port_of_a_door_stays_open_over_a_reload() {
    let mut node = Node::init("cert-at");
    let port = free_port();
    node.add_door(&format!(
        "[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\ntlp = \"GREEN\"\n"
    ));
    node.start();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let mut tries = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                std::net::TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
                support::pace(Duration::from_millis(2));
                tries += 1;
            }
            tries
        });
        for (from, to) in [("GREEN", "AMBER"), ("AMBER", "CLEAR"), ("CLEAR", "GREEN")] {
            node.edit("intelmesh.toml", |text| {
                text.replace(&format!("\ntlp = \"{from}\""), &format!("\ntlp = \"{to}\""))
            });
            node.cli(&["reload"]);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(sender.join().unwrap() > 3);
    });
    assert!(!node.log().contains("cannot listen"), "{}", node.log());
}

/// A file of a door that takes long to read holds up that door, and not the node.
#[test]
fn slow_files_of_a_door_hold_up_nothing_else() {
    let mut node = Node::init("cert-at");
    node.start();
    let slow = node.dir().join("aside/late.jsonl");
    fs::create_dir_all(slow.parent().unwrap()).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&slow).status().unwrap().success());
    let port = free_port();
    node.add_door(&format!(
        "[[submit]]\nname = \"late\"\nfrom = \"intelmq-tcp\"\nlisten = \"127.0.0.1:{port}\"\n"
    ));
    let mut asking = std::os::unix::net::UnixStream::connect(node.dir().join("run/ctl.sock")).unwrap();
    asking.write_all(b"\"reload\"\n").unwrap();
    node.publish(&[made(1, 300)]);
    assert_eq!(node.door("late"), Value::Null);
    // Its other end lets go: it can be read now, and is no file of lines.
    drop(fs::File::options().write(true).open(&slow).unwrap());
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut asking, &mut answer).unwrap();
    assert!(answer.contains("door late: "), "{answer}");
}

#[test]
fn what_needs_a_restart_is_named_and_a_bad_file_changes_nothing() {
    let mut node = Node::init("cert-at");
    node.start();
    let before = fs::read_to_string(node.dir().join("intelmesh.toml")).unwrap();
    node.edit("intelmesh.toml", |text| format!("socket_group = \"0\"\nlog = \"error\"\n{text}"));
    let said = node.cli(&["reload"]);
    assert_eq!(said, "in force now: log\nat the next start: socket_group\n");
    node.publish(&[made(1, 300)]);
    assert!(!node.log().contains("read again"), "it acts before the line about it: {}", node.log());
    let bad = before.replace("default_tlp = \"GREEN\"", "default_tpl = \"RED\"");
    node.edit("intelmesh.toml", |_| format!("bogus = 1\n{bad}"));
    let refused = node.say(&["reload"], "");
    assert_eq!(refused.code, 1, "{refused:?}");
    let faults = refused.stderr.lines().filter(|line| line.starts_with("error: intelmesh.toml:"));
    assert_eq!(faults.count(), 2, "each fault has its line: {refused:?}");
    assert!(refused.stderr.contains("unknown key \"default_tpl\""), "{refused:?}");
    let answer = node.submit(&[made(2, 300)]).remove(0);
    assert!(answer["id"].is_string(), "{answer}");
    // SIGHUP does the same, and the log has the answer.
    node.edit("intelmesh.toml", |_| before.replace("default_tlp = \"GREEN\"", "default_tlp = \"CLEAR\""));
    node.signal(rustix::process::Signal::HUP);
    wait_until("the log says what changed", SOON, || {
        node.log().contains("intelmesh.toml read again changed=\"log default_tlp\"")
    });
}

#[test]
fn retention_changes_while_the_node_runs() {
    let mut node = Node::init("cert-at");
    node.configure("journal", "keep_bytes", "\"8MB\"");
    node.start();
    let lines: Vec<String> = (0..3_000).map(|number| made(number, 1_500)).collect();
    node.publish(&lines);
    assert_eq!(node.status()["journal"]["first_seq"], 1);
    node.configure("journal", "keep_bytes", "\"2MB\"");
    assert_eq!(node.cli(&["reload"]), "in force now: journal\n");
    node.publish(&lines[..10]);
    wait_until("the oldest go", SOON, || node.status()["journal"]["first_seq"].as_u64() > Some(1));
    let mut all = Consumer::open(&node, &json!({"from": "earliest", "own": true}));
    assert!(!all.take(10).is_empty());
}

/// The name of a peer cannot be resolved when the node starts, and can later: no restart is needed.
#[test]
fn a_name_that_is_known_later_is_dialled_then() {
    let place = tempfile::TempDir::new().unwrap();
    let hosts = place.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let (mut a, mut b) = (Node::init("cert-at"), Node::init("cert-bb"));
    support::pair(&a, &b);
    let address = format!("[\"/dns4/mesh.cert-bb.test/tcp/{}\"]", b.port());
    a.configure_peer("cert-bb", "", "addresses", &address);
    b.configure_peer("cert-at", "", "addresses", "[]");
    let bind = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    a.set_prefix(&["unshare", "--mount", "sh", "-c", &bind, "sh"]);
    a.set_env("INTELMESH_TEST_HEALTH_DIVISOR", "15");
    a.start();
    b.start();
    wait_until("status says that the name is the trouble", SOON, || {
        let health = a.status()["health"].to_string();
        health.contains("the name mesh.cert-bb.test cannot be resolved")
    });
    // In place: the file that is mounted is this one.
    let mut held = fs::File::options().append(true).open(&hosts).unwrap();
    held.write_all(b"127.0.0.1 mesh.cert-bb.test\n").unwrap();
    wait_until("it is connected", Duration::from_secs(75), || a.connected("cert-bb"));
}
