//! The packaged layout with accounts of their own: the node, the pipeline and the administrator are three, and each can
//! do its work. Needs root.
mod deb;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::events::made;
use support::{Node, Said, binary, trust, wait_until};
use tempfile::TempDir;

use crate::layout::{GROUP, NODE, PIPELINE, Packaged, own, owner, said};

const SOON: Duration = Duration::from_secs(30);

/// An administrator adds a peer and rotates keys as root, also with a closed umask; the node goes on, and starts again.
#[test]
fn what_root_writes_the_nodes_account_can_read() {
    let mut packaged = Packaged::new("cert-at", false);
    let other = Node::init("cert-ee");
    packaged.start();
    // The kernel gives the files of a process that must not be dumped to root.
    let memory = PathBuf::from(format!("/proc/{}/mem", packaged.node.pid()));
    assert_eq!(owner(&memory).0, 0, "no core file of it holds keys, nor may its account read its memory");
    let mut add = Command::new("sh");
    let line = format!(
        "umask 077; exec {} peer add -C {} --yes {}",
        binary().display(),
        packaged.node.dir().display(),
        other.invite()
    );
    add.args(["-c", &line]);
    let added = said(add, "");
    assert_eq!(added.code, 0, "{added:?}");
    let file = packaged.node.dir().join("peers/cert-ee.toml");
    assert_eq!(owner(&file), (0, NODE, 0o640));
    assert_eq!(owner(&packaged.state().join("audit.jsonl")), (NODE, NODE, 0o600));
    wait_until("the node has read it", SOON, || packaged.node.peer("cert-ee")["state"] == "trusted");
    // A file that the node cannot write is told as long as that lasts.
    own(&packaged.state().join("audit.jsonl"), 0, 0, 0o600);
    wait_until("status names it", SOON, || {
        packaged.node.status()["health"].to_string().contains("audit.jsonl:1: cannot be written")
    });
    own(&packaged.state().join("audit.jsonl"), NODE, NODE, 0o600);
    wait_until("the warning ends", SOON, || !packaged.node.complains("config_bad"));

    let rotated = packaged.node.say(&["key", "rotate", "--yes"], "");
    assert_eq!(rotated.code, 0, "{rotated:?}");
    assert!(!rotated.stderr.contains("was not told"), "{rotated:?}");
    for key in fs::read_dir(packaged.node.dir().join("keys")).unwrap().flatten() {
        assert_eq!(owner(&key.path()), (NODE, NODE, 0o600), "{}", key.path().display());
    }
    let checked = packaged.node.say(&["check"], "");
    assert_eq!(checked.code, 0, "{checked:?}");
    packaged.node.restart();
    for verb in ["pause", "resume", "remove"] {
        packaged.node.cli(&["peer", verb, "cert-ee"]);
    }
    let log = packaged.node.log();
    let mut denied = log.lines().filter(|line| line.contains("Permission denied"));
    assert!(denied.all(|line| line.contains("audit.jsonl:1: ") && line.contains("health=")), "{log}");
    assert!(!packaged.node.complains("config_bad"), "{}", packaged.node.status()["health"]);
}

/// Root may read everything: `check` says what the node's account may not, and the line that gives it.
#[test]
fn check_as_root_sees_what_the_nodes_account_sees() {
    let packaged = Packaged::new("cert-at", false);
    let other = Node::init("cert-ee");
    trust(&packaged.node, &other, false);
    let file = packaged.node.dir().join("peers/cert-ee.toml");
    own(&file, 0, 0, 0o600);
    own(&packaged.node.dir().join("keys/node.pem"), 0, 0, 0o600);
    let lists = packaged.node.dir().join("lists");
    own(&lists, 0, 0, 0o700);
    let audit = packaged.state().join("audit.jsonl");
    own(&audit, 0, 0, 0o600);
    let checked = packaged.node.say(&["check"], "");
    assert_eq!(checked.code, 1, "{checked:?}");
    for words in [
        format!("{}: the account {NODE} cannot read it", file.display()),
        format!(
            "{}: the account {NODE} cannot write it\nhint: chown {NODE}:{NODE} {}",
            audit.display(),
            audit.display()
        ),
        "node.pem: Permission denied".to_owned(),
    ] {
        assert!(checked.stderr.contains(&words), "{words} in {}", checked.stderr);
    }
    // The lines that it prints are the cure.
    for hint in checked.stderr.lines().filter_map(|line| line.strip_prefix("hint: ch")) {
        let done = Command::new("sh").args(["-c", &format!("ch{hint}")]).status().unwrap();
        assert!(done.success(), "ch{hint}");
    }
    assert_eq!(owner(&lists), (0, NODE, 0o750), "a directory that nobody may enter is of no use");
    own(&packaged.node.dir().join("keys/node.pem"), NODE, NODE, 0o600);
    let checked = packaged.node.say(&["check"], "");
    assert_eq!(checked.code, 0, "{checked:?}");
}

/// Neither root nor the node's: its own permissions say nothing of the node's, and are no reason to change owners.
#[test]
fn check_by_a_third_account_corrects_nothing() {
    let packaged = Packaged::new("cert-at", false);
    let group = format!("--groups={NODE}");
    let checked = packaged.pipeline(&["check"], "", &group);
    assert_eq!(checked.code, 1, "{checked:?}");
    let words = format!(
        "/keys belongs to the account {NODE}, and this is {PIPELINE}: keys and permissions were not checked\n\
         hint: runuser -u {NODE} -- intelmesh check -C "
    );
    assert!(checked.stderr.contains(&words), "{checked:?}");
    assert!(!checked.stderr.contains("chown"), "{checked:?}");
    let shown = packaged.pipeline(&["key", "show"], "", &group);
    assert!(
        shown.stderr.contains("Permission denied (os error 13)\nhint: run this as the account"),
        "{shown:?}"
    );
}

/// The node's account may give its sockets to a group that it is in; members of it use the command line.
#[test]
fn accounts_of_the_pipeline_use_the_command_line() {
    let mut packaged = Packaged::new("cert-at", true);
    packaged.start();
    assert_eq!(owner(&packaged.run()), (NODE, GROUP, 0o710));
    assert_eq!(owner(&packaged.run().join("in.sock")), (NODE, GROUP, 0o660));
    let member = format!("--groups={GROUP}");
    let submitted = packaged.pipeline(&["submit"], &made(1, 300), &member);
    assert_eq!(submitted.code, 0, "{submitted:?}");
    let handed = packaged.pipeline(&["tail", "--own", "--from", "earliest", "--count", "1"], "", &member);
    assert!(handed.stdout.starts_with("{\"seq\":1,"), "{handed:?}");
    let status = packaged.pipeline(&["status", "--check"], "", &member);
    assert_eq!((status.code, status.stdout.starts_with("ok: 0 of 0")), (0, true), "{status:?}");
    // Whoever monitors the node does not decide for it.
    for verb in [
        &["clock", "accept"][..],
        &["reload"],
        &["status", "--ack", "door_rejects"],
        &["consumer", "remove", "soc"],
        &["feed", "repair", "cert-ee"],
        &["event", "drop", "cert-ee"],
    ] {
        let refused = packaged.pipeline(verb, "", &member);
        assert_eq!(refused.code, 2, "{verb:?}: {refused:?}");
        let words = "error: this account may read and submit, and not decide for the node\nhint: run this as";
        assert!(refused.stderr.starts_with(words), "{verb:?}: {refused:?}");
    }
    assert_eq!(packaged.node.cli(&["reload"]), "nothing has changed\n", "root may");
    for verb in [&["consumer", "list"][..], &["feed", "show"], &["event", "waiting"]] {
        let shown = packaged.pipeline(verb, "", &member);
        assert_eq!(shown.code, 0, "{verb:?}: {shown:?}");
    }
    let stranger = packaged.pipeline(&["status", "--check"], "", "--clear-groups");
    assert_eq!(stranger.code, 2, "{stranger:?}");
    assert!(stranger.stderr.contains("hint: run this as the node's account, or as a member of socket_group"));
}

/// Started as root by mistake: what it would write the node's account could not read.
#[test]
fn root_does_not_run_the_node_of_another_account() {
    let packaged = Packaged::new("cert-at", false);
    let refused = packaged.node.say(&["run"], "");
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.stderr.contains(&format!("belongs to the account {NODE}, and this is root")),
        "{refused:?}"
    );
    assert!(refused.stderr.contains(&format!("runuser -u {NODE} --")), "{refused:?}");
    assert!(fs::read_dir(packaged.state()).unwrap().next().is_none(), "nothing was made");
}

/// The unit as it is shipped, but for where the program lies.
fn unit(place: &Path) -> PathBuf {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/intelmesh.service");
    let text = fs::read_to_string(shipped).unwrap();
    let file = place.join("intelmesh.service");
    fs::write(&file, text.replace("/usr/bin/intelmesh", &binary().display().to_string())).unwrap();
    file
}

fn systemd(args: &[&str], unit: &Path) -> Said {
    let mut command = Command::new("systemd-analyze");
    command.args(args).arg(unit);
    said(command, "")
}

#[test]
fn the_unit_is_valid_and_closed_and_lets_the_sockets_have_a_group() {
    let place = TempDir::new().unwrap();
    let unit = unit(place.path());
    let verified = systemd(&["verify", "--man=no"], &unit);
    assert_eq!((verified.code, verified.stderr.as_str()), (0, ""), "{verified:?}");
    let secure = systemd(&["security", "--offline=true", "--threshold=14"], &unit);
    assert_eq!(secure.code, 0, "{}", secure.stdout);
    // `chown` to a group of the account's own needs no privilege, but the call, and the group must not be mapped away.
    let text = fs::read_to_string(unit).unwrap();
    let denied = text.find("SystemCallFilter=~@privileged").expect("privileged calls are denied");
    let allowed = text.find("\nSystemCallFilter=@chown\n").expect("and chown is allowed");
    assert!(denied < allowed, "the later line wins");
    assert!(!text.contains("PrivateUsers=yes"));
}
