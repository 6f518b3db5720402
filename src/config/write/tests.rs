//! What the command line writes, read back. Atomicity is the file system's and not tested here.

use super::*;
use crate::config::{NodeConfig, PeerFile, PeerFiles};

fn key(seed: u8) -> VerifyingKey {
    crate::fixture::key(seed).verifying_key()
}

fn new_peer(seed: u8, address: &str) -> NewPeer {
    NewPeer {
        name: PublisherName::parse("cert-ee").unwrap(),
        key: key(seed),
        seal: Some(format!("x25519:{}CQk", "CQkJ".repeat(10))),
        addresses: vec![address.to_owned()],
        publisher_only: false,
        tlp_max: None,
        relay: None,
        added: Timestamp(1_700_000_000_000),
        added_by: "alice".to_owned(),
        pending: false,
    }
}

fn node(dir: &Path) -> NodeConfig {
    let name = PublisherName::parse("cert-at").unwrap();
    let new = NewNode { name, federation: None, listen: vec![], advertise: vec![], places: None };
    new_node(dir, &new).unwrap();
    NodeConfig::load(dir).unwrap()
}

#[test]
fn what_init_writes_reads_back_as_the_defaults_and_takes_more_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = node(dir.path());
    assert_eq!(config.default_tlp, Tlp::Green);
    assert!(dir.path().join("peers").is_dir());
    let file = dir.path().join(NODE_FILE);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().any(|line| line == "default_tlp = \"GREEN\""));
    let more = text.replace("default_tlp = \"GREEN\"", "default_tlp = \"AMBER\"\nsocket_group = \"x\"")
        + "[journal]\nkeep_bytes = \"2MB\"\n";
    std::fs::write(&file, more).unwrap();
    let config = NodeConfig::load(dir.path()).unwrap();
    assert_eq!((config.default_tlp, config.journal.keep_bytes), (Tlp::Amber, 2_000_000));
}

#[test]
fn every_default_in_a_comment_is_the_real_one() {
    let dir = tempfile::tempdir().unwrap();
    let plain = node(dir.path());
    let file = dir.path().join(NODE_FILE);
    let text = std::fs::read_to_string(&file).unwrap();
    let is_key = |line: &str| {
        let body = line.strip_prefix("# ").unwrap_or("");
        let example = body.starts_with("advertise") || body.starts_with("socket_group");
        let word = body.split([' ', ']']).next().unwrap_or("");
        !example
            && (body.starts_with('[')
                || (body.contains(" = ") && word.chars().all(|c| c.is_lowercase() || c == '_')))
    };
    let lines = text.lines().map(|line| if is_key(line) { &line[2..] } else { line });
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let said = NodeConfig::load(dir.path()).unwrap();
    assert_eq!(
        (said.journal, &said.federation, &said.project),
        (plain.journal, &plain.federation, &plain.project)
    );
    assert_eq!(said.paths.run, plain.paths.run);
    assert!(plain.doors.submits.is_empty());
    assert_eq!(said.doors.submits[0].adds.strip, Some(crate::format::StripRule::intelmq_defaults()));
}

#[test]
fn a_node_is_never_made_over_another() {
    let dir = tempfile::tempdir().unwrap();
    node(dir.path());
    assert!(matches!(check_new(dir.path()), Err(WriteError::NodeExists(_))));
}

#[test]
fn a_peer_is_added_then_merged_and_comments_stay() {
    let dir = tempfile::tempdir().unwrap();
    let config = node(dir.path());
    let peers = &config.paths.peers;
    let (file, written) = add_peer(peers, &[], &new_peer(2, "/ip4/192.0.2.1/tcp/1")).unwrap();
    assert_eq!(written, ConfigWrite::Added);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().any(|line| line.starts_with("addresses = [")), "{text}");
    let typed = text.replace("tlp_max = \"AMBER\"", "tlp_max = \"GREEN\" # agreed in May");
    std::fs::write(&file, typed).unwrap();
    let mut again = new_peer(2, "/ip4/192.0.2.2/tcp/1");
    let known = PeerFiles::load(&config, &key(1));
    assert_eq!(add_peer(peers, &known.peers, &again).unwrap().1, ConfigWrite::Merged);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("tlp_max = \"GREEN\" # agreed in May"), "{text}");
    assert!(text.contains("addresses = [\"/ip4/192.0.2.1/tcp/1\", \"/ip4/192.0.2.2/tcp/1\"]"), "{text}");
    again.tlp_max = Some(Tlp::Red);
    add_peer(peers, &known.peers, &again).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("tlp_max = \"RED\" # agreed in May"), "{text}");
    let read = PeerFile::parse(Path::new("peers/cert-ee.toml"), &text).unwrap();
    assert_eq!((read.addresses.len(), read.peer.share.tlp_max), (2, Tlp::Red));
}

#[test]
fn another_key_for_a_known_name_and_another_name_for_a_known_key_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = node(dir.path());
    let peers = &config.paths.peers;
    let (file, _) = add_peer(peers, &[], &new_peer(2, "/ip4/192.0.2.1/tcp/1")).unwrap();
    let before = std::fs::read_to_string(&file).unwrap();
    let known = PeerFiles::load(&config, &key(1)).peers;
    assert_eq!(known.len(), 1);
    let other = add_peer(peers, &known, &new_peer(3, "/ip4/192.0.2.1/tcp/1"));
    assert!(matches!(other, Err(WriteError::OtherKey { .. })));
    let renamed = NewPeer { name: PublisherName::parse("x").unwrap(), ..new_peer(2, "/ip4/192.0.2.1/tcp/1") };
    assert!(matches!(add_peer(peers, &known, &renamed), Err(WriteError::KnownAs(_))));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

/// Neither sees the other's file before it writes its own.
#[test]
fn of_two_that_add_one_name_at_once_one_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let peers = place.path().join("peers");
    for round in 0..20 {
        let start = std::sync::Barrier::new(2);
        let add = |seed: u8| {
            start.wait();
            add_peer(&peers, &[], &new_peer(seed, "/ip4/192.0.2.1/tcp/4801"))
        };
        let results = std::thread::scope(|scope| {
            let both = [1, 2].map(|seed| (seed, scope.spawn(move || add(seed))));
            both.map(|(seed, adding)| (seed, adding.join().unwrap()))
        });
        let added: Vec<u8> =
            results.iter().filter(|(_, result)| result.is_ok()).map(|(seed, _)| *seed).collect();
        assert_eq!(added.len(), 1, "round {round}: {results:?}");
        let file = peers.join(format!("{}.toml", new_peer(1, "").name));
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            text.contains(&public_key_text(&key(added[0]))),
            "round {round}: the key that was added is in the file"
        );
        std::fs::remove_file(file).unwrap();
    }
}

#[test]
fn pausing_changes_one_key_even_where_it_was_never_typed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("cert-ee.toml");
    let key_line = format!("key = \"{}\" # theirs\n", public_key_text(&key(2)));
    std::fs::write(&file, format!("{key_line}\n# from us\n[share]\ntlp_max = \"RED\"\n")).unwrap();
    for paused in [true, false] {
        set_paused(&file, paused).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let read = PeerFile::parse(Path::new("cert-ee.toml"), &text).unwrap();
        assert_eq!((read.peer.paused, read.peer.share.tlp_max), (paused, Tlp::Red));
        assert!(text.starts_with(&key_line) && text.contains("# from us\n[share]"), "{text}");
    }
}
