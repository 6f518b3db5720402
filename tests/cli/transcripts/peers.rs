//! Transcripts of `peer rename`, `peer diff`, and of invitations for one peer.

use std::fs;

use intelmesh::Timestamp;

use super::{invitation, two_nodes};
use crate::shell::Shell;

/// cert-at with the peer cert-ee.
fn paired() -> Shell {
    let shell = two_nodes();
    let invitation = invitation(&shell, "ee");
    shell.done(&format!("peer add -C at --yes --tlp-max GREEN {}", invitation.trim()));
    shell
}

#[test]
fn a_renamed_peer_keeps_its_old_name_as_alias() {
    let shell = paired();
    let said = |old: &str, new: &str| {
        format!(
            "Peer {old} is now {new}: at/peers/{new}.toml\n\
             Its old name stays as an alias: events that name it are for the same peer.\n"
        )
    };
    shell.says("peer rename cert-ee cert-eesti -C at", "", 0, "", &said("cert-ee", "cert-eesti"));
    let aliases = |name: &str| {
        let text = fs::read_to_string(shell.path().join(format!("at/peers/{name}.toml"))).unwrap();
        text.lines().find(|line| line.starts_with("aliases")).map(str::to_owned)
    };
    assert_eq!(aliases("cert-eesti").as_deref(), Some("aliases = [\"cert-ee\"]"));
    assert!(!shell.path().join("at/peers/cert-ee.toml").exists());
    assert_eq!(shell.run("check -C at", "").code, Some(0));
    shell.says("peer rename cert-eesti cert-ee -C at", "", 0, "", &said("cert-eesti", "cert-ee"));
    assert_eq!(aliases("cert-ee").as_deref(), Some("aliases = [\"cert-eesti\"]"));
    for (line, error) in [
        ("peer rename cert-lv x -C at", "error: no peer \"cert-lv\"\nhint: intelmesh peer list\n"),
        ("peer rename cert-ee cert-ee -C at", "error: cert-ee has this name already\n"),
        ("peer rename cert-ee cert-at -C at", "error: \"cert-at\" is a name of this node\n"),
    ] {
        shell.says(line, "", 1, "", error);
    }
    fs::copy(shell.path().join("at/peers/cert-ee.toml"), shell.path().join("at/peers/cert-lv.toml")).unwrap();
    let taken = shell.run("peer rename cert-ee cert-lv -C at", "");
    let error = "error: \"cert-lv\" is a peer already: at/peers/cert-lv.toml\nhint: ";
    assert!(taken.code == Some(1) && taken.stderr.contains(error), "{}", taken.stderr);
    assert!(shell.path().join("at/peers/cert-ee.toml").exists());
}

#[test]
fn a_difference_names_each_setting_of_both_sides() {
    let shell = paired();
    let changed = "- peers/cert-ee.toml\n+ the defaults\nshare.tlp_max\n  - GREEN\n  + AMBER\n";
    shell.says("peer diff cert-ee -C at", "", 1, changed, "");
    fs::create_dir(shell.path().join("new")).unwrap();
    let text = fs::read_to_string(shell.path().join("at/peers/cert-ee.toml")).unwrap();
    let new = text.replace("relay = true", "relay = false\nwhere = 'meta.type == \"x\"'");
    fs::write(shell.path().join("new/cert-ee.toml"), new).unwrap();
    let changed = "- peers/cert-ee.toml\n+ new/cert-ee.toml\nreceive.relay\n  - true\n  + false\n\
                   receive.where\n  - none\n  + meta.type == \"x\"\n";
    shell.says("peer diff cert-ee new/cert-ee.toml -C at", "", 1, changed, "");
    let json = shell.run("peer diff cert-ee new/cert-ee.toml -C at --json", "");
    assert!(json.stdout.starts_with("{\"schema\":\"intelmesh.peer-diff/1\","), "{}", json.stdout);
    let same = "peers/cert-ee.toml and peers/cert-ee.toml are the same\n";
    shell.says("peer diff cert-ee cert-ee -C at", "", 0, same, "");
    let unknown = "error: no peer \"cert-lv\"\nhint: intelmesh peer list\n";
    shell.says("peer diff cert-ee cert-lv -C at", "", 1, "", unknown);
}

/// A peer behind the same firewall reaches us elsewhere, and its operator is on leave.
#[test]
fn an_invitation_has_the_addresses_and_days_that_are_asked_for() {
    let shell = two_nodes();
    let address = "/dns4/inside.example.org/tcp/4801";
    let line = shell.done(&format!("invite -C at --days 30 --address {address} --json"));
    let facts: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(facts["addresses"], serde_json::json!([address]));
    let expires = Timestamp::parse_rfc3339(facts["expires"].as_str().unwrap()).unwrap();
    let days = expires.since_ms(intelmesh::testing::clock::now().wall) / 86_400_000;
    assert!((29..=30).contains(&days), "{facts}");
    shell.done(&format!("peer add -C ee --yes {}", facts["invitation"].as_str().unwrap()));
    let added = fs::read_to_string(shell.path().join("ee/peers/cert-at.toml")).unwrap();
    assert!(added.contains(&format!("addresses = [\"{address}\"]")), "{added}");
    let days = "error: invalid value '91' for '--days <DAYS>': expected a whole number from 1 to 90\n\
                hint: intelmesh invite --help\n";
    shell.says("invite -C at --days 91", "", 2, "", days);
    let address =
        "error: \"here\" is not an address like /ip4/192.0.2.1/tcp/4801 or /dns4/mesh.example.org/tcp/4801\n";
    shell.says("invite -C at --address here", "", 2, "", address);
}
