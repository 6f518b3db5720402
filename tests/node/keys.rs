//! The life of keys in a running mesh: rotation, revocation, and what waits for the operator after one. The bytes of
//! statements are `envelope`'s tests.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use support::events::made;
use support::shape::{mesh, together};
use support::{Consumer, Node, copy_dir, wait_until};

const SOON: Duration = Duration::from_secs(30);
const QUIET: Duration = Duration::from_millis(700);

fn keys(node: &Node) -> Value {
    serde_json::from_str(&node.cli(&["key", "show", "--json"])).unwrap()
}

fn signing_key(node: &Node) -> String {
    let keys = keys(node);
    let in_use = |key: &&Value| key["use"] == "sign" && key["not_after"].is_null();
    keys["keys"].as_array().unwrap().iter().rfind(in_use).unwrap()["key"].as_str().unwrap().to_owned()
}

fn shown_key_id(node: &Node, id: &str) -> String {
    let event: Value = serde_json::from_str(&node.cli(&["event", "show", id, "--json"])).unwrap();
    event["key"].as_str().unwrap().to_owned()
}

fn revoked(node: &Node, peer: &str) -> bool {
    node.peer(peer)["state"] == "revoked"
}

/// How many events of `peer`'s feed wait at `node` for its operator.
fn waiting(node: &Node) -> u64 {
    let feeds: Value = serde_json::from_str(&node.cli(&["feed", "show", "--json"])).unwrap();
    let owed = feeds["feeds"].as_array().unwrap().iter().flat_map(|feed| feed["owed"].as_array().unwrap());
    owed.filter(|owed| owed["reason"] == "key_revoked").count() as u64
}

#[test]
fn five_nodes_rotate_and_revoke_while_one_is_away_and_nothing_is_lost_or_wrongly_taken() {
    let mut nodes = mesh(&["cert-at", "cert-ee", "cert-pl", "cert-lt", "cert-lv"]);
    nodes.iter().for_each(together);
    let events = |from: u32| (from..from + 10).map(|number| made(number as usize, 300)).collect::<Vec<_>>();
    let mut of_at = BTreeSet::new();
    of_at.extend(nodes[0].publish(&events(0)));
    wait_until("all have the first", SOON, || nodes[1..].iter().all(|node| node.accepted() == 10));
    nodes[4].stop();

    let before = shown_key_id(&nodes[0], of_at.first().unwrap());
    nodes[0].cli(&["key", "rotate", "--yes"]);
    let rotated = nodes[0].publish(&events(10));
    assert_ne!(shown_key_id(&nodes[0], &rotated[0]), before, "the new key signs at once");
    of_at.extend(rotated);
    wait_until("the others have what the new key signed", SOON, || {
        nodes[1..4].iter().all(|node| node.accepted() == 20)
    });
    let older = copy_dir_of_statement(&nodes[0]);
    nodes[0].cli(&["key", "rotate", "--yes"]);
    of_at.extend(nodes[0].publish(&events(20)));

    nodes[4].start();
    wait_until("who was away has all of it", SOON, || nodes[4].accepted() == 20);
    let mut consumer = Consumer::open(&nodes[4], &json!({"from": "earliest"}));
    let handed: BTreeSet<_> = consumer.take(30).iter().map(support::Handed::id).collect();
    assert_eq!(handed, of_at, "what each of the three keys signed, once");
    assert!(consumer.rest(QUIET).is_empty());
    for node in &nodes[1..] {
        assert_eq!(node.count("cert-at", "/received/rejected"), 0, "{}", node.name());
    }

    // Played again, the older statement changes nothing.
    let shown = nodes[1].say(&["key", "revoke", "--statement", older.to_str().unwrap(), "--yes"], "");
    assert_eq!(shown.code, 1, "a statement that revokes nothing is refused: {shown:?}");
    of_at.extend(nodes[0].publish(&events(30)));
    wait_until("the newest key still counts", SOON, || nodes[1..4].iter().all(|node| node.accepted() == 40));
    wait_until("also at who was away", SOON, || nodes[4].accepted() == 30);

    // What was applied of it can be seen, and only there: no peer file has changed.
    let applied: Value = serde_json::from_str(&nodes[1].cli(&["peer", "show", "cert-at", "--json"])).unwrap();
    assert_eq!(applied["statement"]["serial"], keys(&nodes[0])["serial"]);
    assert_eq!(
        applied["statement"]["keys"].as_array().unwrap()[..],
        keys(&nodes[0])["keys"].as_array().unwrap()[1..]
    );
    assert!(nodes[1].cli(&["peer", "show", "cert-at"]).contains(&signing_key(&nodes[0])));

    // One that is away hears of the revocation from others, when it is back.
    nodes[4].stop();
    nodes[0].cli(&["key", "revoke", "--yes"]);
    wait_until("everybody heard, and hung up", SOON, || {
        nodes[1..4].iter().all(|node| revoked(node, "cert-at") && !node.connected("cert-at"))
    });
    let applied: Value = serde_json::from_str(&nodes[1].cli(&["peer", "show", "cert-at", "--json"])).unwrap();
    assert_eq!(applied["peer"]["state"], "revoked");
    nodes[0].publish(&events(40));
    nodes[4].start();
    wait_until("who was away heard of it too", SOON, || revoked(&nodes[4], "cert-at"));
    nodes[1].publish(&events(50));
    wait_until("the others go on", SOON, || nodes[2..4].iter().all(|node| node.accepted() == 50));
    wait_until("also who was away", SOON, || nodes[4].accepted() == 10);
    assert!(nodes[1..4].iter().all(|node| node.accepted() <= 50), "nothing of the revoked key was taken");
    for node in &mut nodes[1..] {
        node.restart();
        assert!(revoked(node, "cert-at"), "it is sticky");
    }
}

fn copy_dir_of_statement(node: &Node) -> std::path::PathBuf {
    let copy = node.dir().join("statement.before");
    let bytes = std::fs::read(node.dir().join("keys/statement.cose")).unwrap();
    let line = format!("intelmesh-revocation:{}\n", data_encoding::BASE64URL_NOPAD.encode(&bytes));
    std::fs::write(&copy, line).unwrap();
    copy
}

#[test]
fn what_a_revoked_peer_signs_waits_for_the_operator_by_whatever_way_it_comes() {
    let nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    nodes.iter().for_each(together);
    let first = nodes[0].publish(&[made(0, 300)]);
    wait_until("it came", SOON, || nodes[2].accepted() == 1);

    nodes[2].cli(&["key", "revoke", "cert-at", "--yes"]);
    wait_until("it is revoked, and cut", SOON, || {
        revoked(&nodes[2], "cert-at") && !nodes[0].connected("cert-pl")
    });
    let late = nodes[0].publish(&(1..5).map(|number| made(number, 300)).collect::<Vec<_>>());
    wait_until("the relay offers them, and they wait", SOON, || waiting(&nodes[2]) == 4);
    let shown = nodes[2].cli(&["event", "waiting"]);
    let line = "cert-at: 4 events that its revoked key signed; take them: intelmesh event release cert-at; \
                or not: intelmesh event drop cert-at\n  through cert-ee: seq ";
    assert!(shown.starts_with(line), "{shown}");
    let mut consumer = Consumer::open(&nodes[2], &json!({"from": "earliest"}));
    let handed: Vec<_> = consumer.rest(QUIET).iter().map(support::Handed::id).collect();
    assert_eq!(handed, first, "what was held before stays, and nothing else is handed off");

    nodes[2].cli(&["event", "release", &late[1]]);
    assert_eq!(consumer.take_one().id(), late[1], "that one alone");
    wait_until("three wait on", SOON, || waiting(&nodes[2]) == 3);
    nodes[2].cli(&["event", "drop", &late[2]]);
    wait_until("two wait on", SOON, || waiting(&nodes[2]) == 2);
    nodes[2].cli(&["event", "release", "cert-at"]);
    let mut rest: Vec<_> = consumer.take(2).iter().map(support::Handed::id).collect();
    rest.sort();
    let mut expected = vec![late[0].clone(), late[3].clone()];
    expected.sort();
    assert_eq!(rest, expected);
    assert_eq!(nodes[2].say(&["event", "drop", "cert-at"], "").code, 1, "nothing waits any more");
    let none = nodes[2].say(&["event", "waiting"], "");
    assert_eq!((none.code, &*none.stdout, &*none.stderr), (0, "", "nothing waits for a decision\n"));
    let audit = std::fs::read_to_string(nodes[2].dir().join("audit.jsonl")).unwrap();
    for what in ["key_revoked", "event_released", "event_dropped"] {
        assert!(audit.contains(what), "{what}: {audit}");
    }
}

#[test]
fn what_a_compromised_signing_key_signed_waits_where_it_was_not_held_and_the_new_key_counts() {
    let mut nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    nodes.iter().for_each(together);
    nodes[0].cli(&["key", "rotate", "--yes"]);
    nodes[0].publish(&[made(0, 300)]);
    wait_until("it came", SOON, || nodes[2].accepted() == 1);
    nodes[2].stop();
    let old = nodes[0].publish(&[made(1, 300), made(2, 300)]);
    wait_until("one peer holds them", SOON, || nodes[1].accepted() == 3);
    nodes[0].cli(&["key", "rotate", "--compromised", "--yes"]);
    let new = nodes[0].publish(&[made(3, 300)]);
    nodes[2].start();
    wait_until("what the new key signed is taken", SOON, || nodes[2].accepted() == 1);
    wait_until("what the old one signed waits", SOON, || waiting(&nodes[2]) >= 2);
    let mut consumer = Consumer::open(&nodes[2], &json!({"from": "earliest"}));
    let handed: Vec<_> = consumer.rest(QUIET).iter().map(support::Handed::id).collect();
    assert_eq!(handed.len(), 2, "{handed:?}");
    assert!(handed.contains(&new[0]) && !handed.contains(&old[0]));
    assert_eq!(nodes[1].accepted(), 4, "who held it keeps it");
    nodes[2].cli(&["event", "release", "cert-at"]);
    let mut released: Vec<_> = consumer.take(2).iter().map(support::Handed::id).collect();
    released.sort();
    let mut expected = old;
    expected.sort();
    assert_eq!(released, expected);
}

#[test]
fn the_line_for_the_safe_revokes_the_key_of_its_maker_and_no_other() {
    let mut nodes = mesh(&["cert-at", "cert-ee", "cert-pl"]);
    nodes.iter().for_each(together);
    let home = tempfile::tempdir().unwrap();
    let made = support::binary();
    let made = std::process::Command::new(made)
        .args(["init", "twin", "--name", "cert-at"])
        .current_dir(home.path())
        .output()
        .unwrap();
    let text = String::from_utf8(made.stderr).unwrap();
    let line = text.lines().find(|line| line.starts_with("intelmesh-revocation:")).expect("init prints it");
    let refused = nodes[1].say(&["key", "revoke", "--statement", "-", "--yes"], line);
    assert_eq!(refused.code, 1, "another key of the same name: {refused:?}");
    assert!(!revoked(&nodes[1], "cert-at"));

    // The one of this very node, as its operator has it in the safe; its own machine is stolen.
    let own = nodes[0].revocation();
    nodes[0].kill9();
    let said = nodes[1].say(&["key", "revoke", "--statement", "-", "--yes"], &own);
    assert_eq!(said.code, 0, "{said:?}");
    wait_until("everybody hears of it", SOON, || nodes[1..].iter().all(|node| revoked(node, "cert-at")));
}

#[test]
fn a_node_whose_key_is_revoked_does_not_start_again() {
    let mut node = Node::init("cert-at");
    node.cli(&["key", "revoke", "--yes"]);
    node.start_unready();
    assert_eq!(node.wait_exit(), Some(2));
    assert!(node.log().contains("revoked"), "{}", node.log());
    let rotated = node.say(&["key", "rotate", "--yes"], "");
    assert_eq!(rotated.code, 2, "{rotated:?}");
}

#[test]
fn a_revocation_outlives_an_emptied_journal() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    nodes.iter().for_each(together);
    nodes[0].cli(&["key", "rotate", "--yes"]);
    let signed = nodes[0].publish(&[made(0, 300)]);
    wait_until("it came", SOON, || nodes[1].accepted() == 1);
    nodes[0].cli(&["key", "revoke", "--yes"]);
    wait_until("it is heard", SOON, || revoked(&nodes[1], "cert-at"));
    let copies = nodes[1].dir().join("statements");
    wait_until("it is written down", SOON, || {
        ["cert-at.before.cose", "cert-at.cose"].iter().all(|name| copies.join(name).is_file())
    });
    let shown = nodes[1].say(&["event", "verify", &signed[0]], "");
    assert_eq!(shown.code, 1, "{shown:?}");
    assert!(format!("{shown:?}").contains("key_revoked"), "{shown:?}");
    // Nobody is left who could say it again.
    nodes[0].kill9();
    nodes[1].stop();
    nodes[1].empty_journal();
    nodes[1].start();
    assert!(revoked(&nodes[1], "cert-at"), "from its first moment");
    std::fs::remove_dir_all(&copies).unwrap();
    nodes[1].restart();
    assert!(revoked(&nodes[1], "cert-at"), "and it is in the journal again");
}

#[test]
fn an_older_keys_directory_does_not_sign() {
    let mut nodes = mesh(&["cert-at", "cert-ee"]);
    nodes.iter().for_each(together);
    let backup = tempfile::tempdir().unwrap();
    copy_dir(&nodes[0].dir().join("keys"), &backup.path().join("keys"));
    nodes[0].cli(&["key", "rotate", "--yes"]);
    let said = keys(&nodes[0])["serial"].as_u64().unwrap();
    let copy = nodes[0].dir().join("statements/cert-at.cose");
    wait_until("it is written down", SOON, || copy.is_file());
    nodes[0].stop();
    let put_back = |node: &Node| {
        std::fs::remove_dir_all(node.dir().join("keys")).unwrap();
        copy_dir(&backup.path().join("keys"), &node.dir().join("keys"));
    };
    put_back(&nodes[0]);
    let checked = nodes[0].say(&["check"], "");
    assert!(checked.code != 0 && format!("{checked:?}").contains("intelmesh key rotate"), "{checked:?}");
    nodes[0].start_unready();
    assert_eq!(nodes[0].wait_exit(), Some(2));
    let log = nodes[0].log();
    assert!(log.contains("statement.cose") && log.contains("intelmesh key rotate"), "{log}");

    // The way out, without the newer keys: everybody takes what the next ones sign.
    nodes[0].cli(&["key", "rotate", "--yes"]);
    assert!(keys(&nodes[0])["serial"].as_u64().unwrap() > said);
    nodes[0].start();
    nodes[0].publish(&[made(0, 300)]);
    wait_until("it is taken", SOON, || nodes[1].accepted() == 1);
    assert_eq!(nodes[1].count("cert-at", "/received/rejected"), 0);

    // The whole directory of before knows of nothing newer, and starts; its peers tell it.
    nodes[0].stop();
    put_back(&nodes[0]);
    nodes[0].empty_journal();
    std::fs::remove_dir_all(nodes[0].dir().join("statements")).unwrap();
    let told = |node: &Node| node.log().matches("has said more of its keys since").count();
    let before = told(&nodes[0]);
    nodes[0].start();
    wait_until("a peer shows it what it said", SOON, || told(&nodes[0]) > before);
}

fn run(program: &str, args: &[&str]) -> String {
    let output = std::process::Command::new(program).args(args).output().expect(program);
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Gives the identity key a passphrase as OpenSSL writes it; the file with the passphrase.
fn passphrase_for(node: &Node) -> std::path::PathBuf {
    let (plain, sealed) = (node.dir().join("keys/node.pem"), node.dir().join("keys/node.enc"));
    let secret = node.dir().join("passphrase");
    std::fs::write(&secret, "correct horse\n").unwrap();
    run("chmod", &["600", secret.to_str().unwrap()]);
    let pass = format!("file:{}", secret.display());
    let (from, to) = (plain.to_str().unwrap(), sealed.to_str().unwrap());
    run("openssl", &["pkcs8", "-topk8", "-in", from, "-out", to, "-passout", &pass]);
    run("chmod", &["600", to]);
    std::fs::rename(&sealed, &plain).unwrap();
    secret
}

#[test]
fn keys_may_have_a_passphrase_as_openssl_writes_it() {
    let mut node = Node::init("cert-at");
    let plain = node.dir().join("keys/node.pem");
    let secret = passphrase_for(&node);

    let without = node.say(&["key", "show"], "");
    assert_eq!(without.code, 2, "{without:?}");
    assert!(without.stderr.contains("INTELMESH_PASSPHRASE_FILE"), "{}", without.stderr);
    let other = node.dir().join("other");
    std::fs::write(&other, "wrong\n").unwrap();
    run("chmod", &["600", other.to_str().unwrap()]);
    node.set_env("INTELMESH_PASSPHRASE_FILE", other.as_os_str());
    assert!(node.say(&["key", "show"], "").stderr.contains("does not open it"));
    node.set_env("INTELMESH_PASSPHRASE_FILE", "/nosuch");
    let missing = node.say(&["key", "show"], "").stderr;
    assert!(missing.contains("the file that holds it is not there: /nosuch"), "{missing}");
    assert!(
        missing.contains("hint: name the file that holds it with INTELMESH_PASSPHRASE_FILE"),
        "{missing}"
    );
    node.set_env("INTELMESH_PASSPHRASE_FILE", secret.as_os_str());
    node.start();
    node.publish(&[made(0, 300)]);
    assert!(!signing_key_or_identity(&node).is_empty());

    // The same through systemd's credentials: key and passphrase in a directory of its making.
    node.stop();
    let credentials = tempfile::tempdir().unwrap();
    copy_dir(&node.dir().join("keys"), &credentials.path().join("keys"));
    std::fs::copy(&plain, credentials.path().join("node.pem")).unwrap();
    std::fs::copy(&secret, credentials.path().join("intelmesh-passphrase")).unwrap();
    std::fs::remove_file(&plain).unwrap();
    node.unset_env("INTELMESH_PASSPHRASE_FILE");
    node.set_env("CREDENTIALS_DIRECTORY", credentials.path().as_os_str());
    node.start();
    node.publish(&[made(1, 300)]);
}

fn signing_key_or_identity(node: &Node) -> String {
    let keys = keys(node);
    if keys["serial"] == 0 { keys["key"].as_str().unwrap().to_owned() } else { signing_key(node) }
}

#[test]
fn keys_made_by_a_rotation_have_the_passphrase_of_the_identity_key() {
    let mut node = Node::init("cert-at");
    let secret = passphrase_for(&node);
    node.set_env("INTELMESH_PASSPHRASE_FILE", secret.as_os_str());
    node.cli(&["key", "rotate", "--yes"]);
    let pass = format!("file:{}", secret.display());
    let mut count = 0;
    for entry in std::fs::read_dir(node.dir().join("keys")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.to_str().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("sign-") && !name.starts_with("seal-") {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().next().is_some_and(|line| line.contains("ENCRYPTED")), "{name}");
        let shown = run("openssl", &["pkey", "-in", file, "-passin", &pass, "-noout", "-text"]);
        assert!(shown.contains("25519"), "{name}: {shown}");
        let wrong = std::process::Command::new("openssl")
            .args(["pkey", "-in", file, "-passin", "pass:wrong", "-noout"])
            .output();
        assert!(!wrong.unwrap().status.success(), "{name}");
    }
    assert_eq!(count, 2);
    node.start();
    let id = node.publish(&[made(0, 300)]).remove(0);
    assert_ne!(shown_key_id(&node, &id), keys(&node)["key_id"], "the new key signs");
    node.stop();
    node.unset_env("INTELMESH_PASSPHRASE_FILE");
    assert_eq!(node.say(&["key", "show"], "").code, 2);
}

#[test]
fn a_credential_that_anybody_may_read_is_refused() {
    let mut node = Node::init("cert-at");
    let secret = passphrase_for(&node);
    let key = node.dir().join("keys/node.pem");
    let credentials = tempfile::tempdir().unwrap();
    let (node_pem, passphrase) =
        (credentials.path().join("node.pem"), credentials.path().join("intelmesh-passphrase"));
    std::fs::copy(&key, &node_pem).unwrap();
    std::fs::copy(&secret, &passphrase).unwrap();
    node.set_env("CREDENTIALS_DIRECTORY", credentials.path().as_os_str());
    // The group's bits are the mask of systemd's access list.
    for (key_mode, passphrase_mode, loose) in
        [("440", "440", None), ("444", "440", Some(&node_pem)), ("440", "644", Some(&passphrase))]
    {
        run("chmod", &[key_mode, node_pem.to_str().unwrap()]);
        run("chmod", &[passphrase_mode, passphrase.to_str().unwrap()]);
        let said = node.say(&["key", "show"], "");
        match loose {
            None => assert_eq!(said.code, 0, "{said:?}"),
            Some(file) => {
                assert_eq!(said.code, 2, "{said:?}");
                let what = format!("{}: others may read or write it", file.display());
                assert!(said.stderr.contains(&what), "{said:?}");
            }
        }
    }

    // The file that is named is the one that is read, whatever credential has its name.
    run("chmod", &["400", passphrase.to_str().unwrap()]);
    std::fs::write(credentials.path().join("passphrase"), "wrong\n").unwrap();
    node.set_env("INTELMESH_PASSPHRASE_FILE", secret.as_os_str());
    assert_eq!(node.say(&["key", "show"], "").code, 0);
}
