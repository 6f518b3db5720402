//! Transcripts of every verb that needs no running node: arguments, stdin, exact stdout, stderr and exit code.

mod backups;
mod clients;
mod formats;
mod mistakes;
mod peers;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::shell::Shell;

const AT: &str = "init at --name cert-at --listen /ip4/127.0.0.1/tcp/1";

/// Two nodes that do not know each other.
fn two_nodes() -> Shell {
    let shell = Shell::new();
    shell.done(AT);
    shell.done("init ee --name cert-ee --listen /ip4/127.0.0.1/tcp/1");
    shell
}

fn invitation(shell: &Shell, dir: &str) -> String {
    shell.done(&format!("invite -C {dir}"))
}

#[test]
fn init_makes_a_node_once() {
    let shell = Shell::new();
    let made = "cert-at is made in at: its keys are in keys/ (back them up), its peers go into peers/\n\
                key WORDS\n    WORDS\n\
                defaults: default_tlp = \"GREEN\" for events without a label; for peers tlp_max = \"AMBER\", relay = true\n\
                for the safe, on paper: this line lets anybody end the use of this node's key, and do nothing else\n\
                REVOCATION\n\
                next: intelmesh run -C at, then exchange invitations: intelmesh invite -C at\n";
    shell.says(AT, "", 0, "at\n", made);
    for key in ["node.pem", "seal.pem"] {
        let mode = fs::metadata(shell.path().join("at/keys").join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let before = fs::read(shell.path().join("at/intelmesh.toml")).unwrap();
    let exists = "error: at is a node already\n\
                  hint: choose another directory, or go on with this one: intelmesh run\n";
    shell.says("init at --name other", "", 2, "", exists);
    shell.says("-C at init --name other", "", 2, "", exists);
    assert_eq!(fs::read(shell.path().join("at/intelmesh.toml")).unwrap(), before);
}

#[test]
fn what_cannot_be_understood_exits_2_and_says_what_would() {
    let shell = Shell::new();
    for (line, stderr) in [
        ("--frob", "error: unexpected argument '--frob' found\nhint: intelmesh --help\n"),
        ("status --frob", "error: unexpected argument '--frob' found\nhint: intelmesh status --help\n"),
        (
            "init x",
            "error: the following required arguments were not provided: --name <NAME>\n\
             hint: intelmesh init --name <NAME> <DIR>\n",
        ),
        ("init --name x", "error: where? init needs a directory\nhint: intelmesh init DIR --name NAME\n"),
        (
            "init x --name Cert",
            "error: invalid value 'Cert' for '--name <NAME>': \"Cert\" is not a valid name: use 1 to 32 of a-z, 0-9 and \"-\", \
             and do not start with \"-\"\nhint: intelmesh init --help\n",
        ),
        (
            "init x --name x --listen here",
            "error: \"here\" is not an address like /ip4/192.0.2.1/tcp/4801 or /dns4/mesh.example.org/tcp/4801\n",
        ),
        (
            "submit --tlp PURPLE",
            "error: invalid value 'PURPLE' for '--tlp <LABEL>': \"PURPLE\" is not a known \
             label: use CLEAR, GREEN, AMBER, AMBER+STRICT \
             or RED\nhint: intelmesh submit --help\n",
        ),
        (
            "feed rewind cert-ee --to yesterday",
            "error: invalid value 'yesterday' for '--to <PLACE>': expected a seq, an RFC 3339 time or earliest\n\
             hint: intelmesh feed rewind --help\n",
        ),
    ] {
        shell.says(line, "", 2, "", stderr);
    }
    assert!(fs::read_dir(shell.path()).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn without_a_node_each_verb_says_so() {
    let shell = two_nodes();
    for verb in [
        "status",
        "status --json",
        "status --check",
        "submit",
        "tail",
        "event show 72ddb00c",
        "event export 72ddb00c --cose x",
        "event verify 72ddb00c",
        "clock accept",
        "feed show",
        "feed rewind cert-ee --to earliest",
        "feed repair cert-ee",
        "event trace 72ddb00c",
        "event withdraw 72ddb00c",
        "event replace 72ddb00c x",
        "event list",
        "submit --link same-incident=72ddb00c",
        "event waiting",
        "event release cert-ee",
        "event drop cert-ee",
        "consumer show soc",
        "consumer remove soc",
        "consumer rewind soc",
        "status --ack door_rejects",
        "reload",
        "peer explain cert-ee 72ddb00c",
        "aside retry pipeline",
    ] {
        shell.says(
            &format!("{verb} -C at"),
            "",
            2,
            "",
            "error: no node runs in at\nhint: intelmesh run -C at, or: systemctl status intelmesh\n",
        );
    }
    let stderr = "error: no node runs in .\n\
                  hint: name the node's directory: -C DIR, or INTELMESH_DIR\n";
    shell.says("status", "", 2, "", stderr);
    let stderr = "error: ./intelmesh.toml: no such file\n\
         hint: name the node's directory: -C DIR, or INTELMESH_DIR; a new node: intelmesh init DIR --name NAME\n";
    for verb in ["run", "invite", "check", "peer list", "key show"] {
        shell.says(verb, "", 2, "", stderr);
    }
}

#[test]
fn an_invitation_is_one_line_and_says_where_it_leads() {
    let shell = two_nodes();
    let stderr = "cert-at, valid until TIME. Send the line by a way that both trust; these words are for comparing:\n  WORDS\n  WORDS\n";
    shell.says("invite -C at", "", 0, "INVITATION\n", stderr);
    shell.says("invite at", "", 0, "INVITATION\n", stderr);
    shell.done("init hidden --name cert-at");
    let warning = format!(
        "warning: this invitation has no address: its reader can trust us, but not connect to us\n\
         hint: advertise = [\"/dns4/mesh.example.org/tcp/4801\"] in intelmesh.toml\n{stderr}"
    );
    shell.says("invite -C hidden", "", 0, "INVITATION\n", &warning);
}

const WHO: &str = "name         cert-at\n\
                   federation   intelmesh\n\
                   key          KEY\n\
                   their words  WORDS\n             WORDS\n\
                   our words    WORDS\n             WORDS (cert-ee)\n\
                   addresses    /ip4/127.0.0.1/tcp/1\n\
                   valid until  TIME\n";
const REFUSED: &str = "/ip4/127.0.0.1/tcp/1: Connection refused (os error 111)\n";
const COMPARE: &str = "next: compare the words with cert-at on the phone: intelmesh peer verify cert-at\n";
const NEXT: &str = "next: send cert-at our invitation, if it has not added us yet:\nINVITATION\n\
                    then: intelmesh status -C ee\n";

#[test]
fn a_peer_is_added_merged_shown_paused_and_removed() {
    let shell = two_nodes();
    let given = invitation(&shell, "at");
    let added = "cert-at added in ee/peers/cert-at.toml; tlp_max = \"AMBER\", relay = true\n";
    let stdout = "ee/peers/cert-at.toml\n";
    let next = format!("{COMPARE}{NEXT}");
    shell.says("peer add - --yes -C ee", &given, 0, stdout, &format!("{WHO}{added}{REFUSED}{next}"));
    let merged = "cert-at known already: merged in ee/peers/cert-at.toml; nothing is new\n";
    shell.says("peer add - --yes -C ee", &given, 0, stdout, &format!("{WHO}{merged}{REFUSED}{next}"));
    let merged =
        "cert-at known already: merged in ee/peers/cert-at.toml; tlp_max = \"GREEN\" (was \"AMBER\")\n";
    let line = "peer add - --yes --tlp-max GREEN -C ee";
    shell.says(line, &given, 0, stdout, &format!("{WHO}{merged}{REFUSED}{next}"));
    let listed = "PEER     state    connected  words         tlp_max  relay  addresses\n\
                  cert-at  trusted  -          NOT VERIFIED  GREEN    yes    /ip4/127.0.0.1/tcp/1\n";
    shell.says("peer list -C ee", "", 0, listed, "");
    shell.says("peer pause cert-at -C ee", "", 0, "", "cert-at is paused; its feed position is kept\n");
    let listed = "PEER     state   connected  words         tlp_max  relay  addresses\n\
                  cert-at  paused  -          NOT VERIFIED  GREEN    yes    /ip4/127.0.0.1/tcp/1\n";
    shell.says("peer list -C ee", "", 0, listed, "");
    shell.says("peer resume cert-at -C ee", "", 0, "", "cert-at is resumed\n");
    let shown = "cert-at\n  \
                   key        KEY\n  \
                   words      WORDS\n             WORDS (not verified)\n  \
                   state      trusted\n  \
                   paired     added TIME by WHO\n  \
                   addresses  /ip4/127.0.0.1/tcp/1\n  \
                   to them    tlp_max GREEN\n  \
                   from them  relays others\n  \
                   file       peers/cert-at.toml\n  \
                   statement  none: its identity key serves all uses\n";
    shell.says(
        "peer show cert-at -C ee",
        "",
        0,
        &shown.replace("WHO", &intelmesh::testing::audit::who()),
        "no node runs here, so nothing is known of its feeds\n",
    );
    let failed = "cert-at /ip4/127.0.0.1/tcp/1 failed: Connection refused (os error 111)\n";
    shell.says("peer check cert-at -C ee", "", 1, failed, "");
    let agreed = fs::read(shell.path().join("ee/peers/cert-at.toml")).unwrap();
    let said = shell.run("peer remove cert-at -C ee", "");
    let removed = "Removed peer cert-at. Events already accepted from it are kept, and so is its feed position.\n\
                   Its file is kept: ee/peers/removed/cert-at.toml-";
    assert!(said.code == Some(0) && said.stderr.starts_with(removed), "{}", said.stderr);
    let kept: Vec<_> = fs::read_dir(shell.path().join("ee/peers/removed")).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(kept[0].path()).unwrap(), agreed, "the agreement is not lost");
    let unknown = "error: no peer \"cert-at\"\nhint: intelmesh peer list\n";
    for verb in ["remove", "pause", "resume", "show", "check"] {
        shell.says(&format!("peer {verb} cert-at -C ee"), "", 1, "", unknown);
    }
    shell.says("peer list -C ee", "", 0, "", "no peers yet: intelmesh peer add INVITATION\n");
}

#[test]
fn flags_of_peer_add_are_in_the_file() {
    let shell = two_nodes();
    let given = invitation(&shell, "at");
    let who = WHO.replace("/ip4/127.0.0.1/tcp/1", "not used: never dialled");
    let added = "cert-at added in ee/peers/cert-at.toml; tlp_max = \"GREEN\", relay = false\n";
    let line = "peer add - --yes --tlp-max tlp:green --no-relay --no-connect -C ee";
    shell.says(line, &given, 0, "ee/peers/cert-at.toml\n", &format!("{who}{added}{COMPARE}{NEXT}"));
    let file = fs::read_to_string(shell.path().join("ee/peers/cert-at.toml")).unwrap();
    for line in ["addresses = []", "tlp_max = \"GREEN\"", "relay = false"] {
        assert!(file.lines().any(|have| have == line), "{line} in {file}");
    }
    let line = "cert-at: not connected, and it cannot be dialled: its file has no addresses\n";
    shell.says("peer check -C ee", "", 1, line, "");
}

#[test]
fn an_invitation_that_may_not_be_added_exits_1() {
    let shell = two_nodes();
    let given = invitation(&shell, "at");
    let nobody = "error: cert-at was not added: nobody to ask, stdin is the invitation and there is no terminal\n\
                  hint: compare the fingerprint's words with the peer, then: peer add … --yes\n";
    shell.says("peer add - -C ee", &given, 2, "", &format!("{WHO}{nobody}"));
    let asked = "Do both read the same ten words, theirs and ours? Then add it [y/N]:\n";
    let nobody = "error: cert-at was not added: nobody to ask, stdin has ended\n\
                  hint: compare the fingerprint's words with the peer, then: peer add … --yes\n";
    let line = format!("peer add {} -C ee", given.trim());
    shell.says(&line, "", 2, "", &format!("{WHO}{asked}{nobody}"));
    let no = "error: cert-at was not added\n";
    shell.says(&line, "n\n", 1, "", &format!("{WHO}{asked}{no}"));
    let own = "error: this is our own invitation\nhint: send it to the peer, and add theirs here\n";
    shell.says("peer add - --yes -C at", &given, 1, "", own);
    let damaged = "error: the invitation is damaged: its checksum does not fit\n\
                   hint: copy all of what intelmesh invite printed\n";
    shell.says("peer add - --yes -C ee", &given.replacen("qy", "qq", 1), 1, "", damaged);
    let mut later = std::process::Command::new("faketime");
    later.args([
        "-f",
        "+8d",
        env!("CARGO_BIN_EXE_intelmesh"),
        "peer",
        "add",
        "--yes",
        "-C",
        "ee",
        given.trim(),
    ]);
    let late = later.current_dir(shell.path()).output().expect("faketime is installed");
    let said = String::from_utf8(late.stderr).unwrap();
    assert_eq!(late.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: the invitation expired at "), "{said}");
    assert!(said.ends_with("\nhint: ask for a new one: intelmesh invite\n"), "{said}");
    let none = "error: there is no invitation in this text: one begins with \"intelmesh1\"\n\
                hint: give the line that intelmesh invite printed, or the name of a file that holds it\n";
    shell.says("peer add hello --yes -C ee", "", 1, "", none);
    shell.done("init twin --name cert-ee --listen /ip4/127.0.0.1/tcp/1");
    let name = "error: \"cert-ee\" is our own name, with another key\n\
                hint: one name is one node: one of the two must be made with another --name\n";
    shell.says("peer add - --yes -C ee", &invitation(&shell, "twin"), 1, "", name);
    let file = shell.path().join("at/intelmesh.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("federation = \"others\"\n{}", text.replace("\nfederation", "\n# federation")))
        .unwrap();
    let federation = "error: cert-at is of the federation \"others\", we are of \"intelmesh\"\n\
                      hint: both must have the same federation in intelmesh.toml\n";
    shell.says("peer add - --yes -C ee", &invitation(&shell, "at"), 1, "", federation);
    assert!(!shell.path().join("ee/peers/cert-at.toml").exists());
}

/// As a mail delivers it: from a file, from standard input, and as a shell splits it into arguments.
#[test]
fn an_invitation_survives_a_mail_wherever_it_is_given() {
    let shell = two_nodes();
    let given = invitation(&shell, "at");
    let letters: Vec<char> = given.trim().chars().collect();
    let wrapped: Vec<String> = letters.chunks(70).map(|line| line.iter().collect()).collect();
    let quoted: Vec<String> = wrapped.iter().map(|line| format!("> {line}=")).collect();
    let mail = format!("Hi Ann,\n\nhere it is.\n\n{}\n\nBest regards\nBob\n", quoted.join("\r\n"));
    fs::write(shell.path().join("mail.txt"), [mail.as_bytes(), b"\xff\xfe"].concat()).unwrap();
    shell.done("peer add mail.txt --yes -C ee");
    shell.done("peer remove cert-at -C ee");
    let said = shell.run("peer add - --yes -C ee", &mail);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    shell.done("peer remove cert-at -C ee");
    // `peer add $(cat wrapped)`
    shell.done(&format!("peer add --yes -C ee {}", wrapped.join(" ")));
    shell.done("init other --name other --listen /ip4/127.0.0.1/tcp/1");
    let both = format!("{mail}\n{}", invitation(&shell, "other"));
    let two = "error: there are two different invitations in this text\n\
               hint: give the one that you mean alone\n";
    shell.says("peer add - --yes -C ee", &both, 1, "", two);
}

/// The terminal is asked though standard input is the invitation (`script` makes one).
#[test]
fn the_terminal_is_asked_where_stdin_is_the_invitation() {
    let shell = two_nodes();
    fs::write(shell.path().join("mail.txt"), invitation(&shell, "at")).unwrap();
    for (answer, code) in [("n", 1), ("y", 0)] {
        let line = format!("{} peer add - -C ee < mail.txt", env!("CARGO_BIN_EXE_intelmesh"));
        let mut script = std::process::Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]).current_dir(shell.path());
        let mut child = script
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("script(1) is installed (bsdutils)");
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), format!("{answer}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains("our words") && said.contains("Do both read the same ten words"), "{said}");
    }
    let file = fs::read_to_string(shell.path().join("ee/peers/cert-at.toml")).unwrap();
    assert!(file.lines().any(|line| line == "verified = true"), "{file}");
}

/// An address that nobody could use: nothing is changed, whether the peer is new or known.
#[test]
fn an_invitation_with_an_unusable_address_changes_nothing() {
    use intelmesh::testing::{INVITATION_VALID_MS, Invitation};
    use intelmesh::{ProjectName, PublisherName};
    let shell = two_nodes();
    let key = intelmesh::testing::fixture::key(7);
    let invited_at = |addresses: &[&str]| {
        let invitation = Invitation {
            name: PublisherName::parse("cert-xx").unwrap(),
            federation: ProjectName::parse("intelmesh").unwrap(),
            key: key.verifying_key(),
            seal: [9; 32],
            addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
            expires: intelmesh::testing::clock::now().wall.plus_ms(INVITATION_VALID_MS),
        };
        invitation.make(&key).unwrap()
    };
    for bad in [
        "hello",
        "/ip4/1.2.3.4/udp/1/quic-v1",
        "/dns4/x\"]\nrevoked = true\n#/tcp/1",
        "/dns4/\u{1b}[2Jx/tcp/1",
        "/ip4/0.0.0.0/tcp/4801",
        "/dns4/mesh.example.org/tcp/0",
    ] {
        let said = shell.run("peer add - --yes -C ee", &invited_at(&["/ip4/192.0.2.1/tcp/1", bad]));
        assert_eq!(said.code, Some(1), "{bad}: {}", said.stderr);
        assert!(said.stderr.contains("has an address that cannot be used"), "{bad}: {}", said.stderr);
        assert!(
            !said.stderr.contains('\u{1b}') && said.stderr.lines().count() == 2,
            "{bad}: {}",
            said.stderr
        );
        assert_eq!(fs::read_dir(shell.path().join("ee/peers")).unwrap().count(), 0, "{bad}");
    }
    let good = shell.run("peer add - --yes -C ee", &invited_at(&["/ip4/127.0.0.1/tcp/1"]));
    assert_eq!(good.code, Some(0), "{}", good.stderr);
    let before = fs::read(shell.path().join("ee/peers/cert-xx.toml")).unwrap();
    let said = shell.run("peer add - --yes -C ee", &invited_at(&["hello"]));
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert_eq!(fs::read(shell.path().join("ee/peers/cert-xx.toml")).unwrap(), before);
    shell.done("check -C ee");
}

#[test]
fn another_key_for_a_known_name_is_refused() {
    let shell = two_nodes();
    shell.done(&format!("peer add {} --yes -C ee", invitation(&shell, "at").trim()));
    let before = fs::read(shell.path().join("ee/peers/cert-at.toml")).unwrap();
    shell.done("init other --name cert-at --listen /ip4/127.0.0.1/tcp/1");
    let other = "error: \"cert-at\" has another key in peers/cert-at.toml\n\
                 hint: a new key is a new pairing: make sure that it is theirs, intelmesh peer remove, then add again\n";
    shell.says("peer add - --yes -C ee", &invitation(&shell, "other"), 1, "", other);
    assert_eq!(fs::read(shell.path().join("ee/peers/cert-at.toml")).unwrap(), before);
}

/// The hint of `key revoke cert-at` was `key revoke --yes`, which ends this node's own key for ever.
#[test]
fn revoke_hint_names_the_peer() {
    let shell = two_nodes();
    let given = invitation(&shell, "at");
    assert_eq!(shell.run("peer add - --yes -C ee", &given).code, Some(0));
    let asked = "Nothing new that cert-at signs will be taken, by whatever way it comes. Go on [y/N]?\n\
                 error: cert-at was not revoked: nobody to ask, stdin has ended\n\
                 hint: say it with --yes: intelmesh key revoke cert-at --yes\n";
    shell.says("key revoke cert-at -C ee", "", 2, "", asked);
}

#[test]
fn keys_are_shown_without_their_secrets() {
    let shell = two_nodes();
    let stdout = "cert-at\n  \
                    key        KEY\n  \
                    words      WORDS\n             WORDS\n  \
                    key id     ID\n  \
                    file       at/keys/node.pem\n  \
                    seal       SEAL\n  \
                    seal file  at/keys/seal.pem\n";
    shell.says("key show -C at", "", 0, stdout, "");
}

#[test]
fn every_reading_verb_has_json_that_begins_with_its_schema() {
    let shell = two_nodes();
    shell.done(&format!("peer add {} --yes -C ee", invitation(&shell, "at").trim()));
    for (line, schema) in [
        ("peer list", "intelmesh.peers/1"),
        ("peer show cert-at", "intelmesh.peer/1"),
        ("key show", "intelmesh.keys/1"),
        ("check", "intelmesh.check/1"),
        ("invite", "intelmesh.invitation/1"),
    ] {
        let text = shell.done(&format!("{line} --json -C ee"));
        assert!(text.starts_with(&format!("{{\"schema\":\"{schema}\",")), "{line}: {text}");
        assert_eq!(text.lines().count(), 1, "{line}");
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}

#[test]
fn a_file_that_is_no_envelope_does_not_verify() {
    let shell = two_nodes();
    fs::write(shell.path().join("x.cose"), b"\x01\x02\x03").unwrap();
    let said = shell.run("event verify x.cose -C at", "");
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""));
    assert!(!said.stdout.is_empty() && !said.stdout.starts_with("ok"), "{}", said.stdout);
    let stderr = "error: nofile: no such file, and no id of an event\n";
    shell.says("event verify nofile -C at", "", 2, "", stderr);
}

#[test]
fn help_and_version_are_answers_and_a_closed_pipe_is_no_error() {
    let shell = Shell::new();
    let help = shell.done("peer add --help");
    assert!(help.contains("--tlp-max") && help.contains("Examples:"), "{help}");
    assert!(shell.done("--version").starts_with("intelmesh "));
    assert!(shell.done("completions bash").contains("_intelmesh()"));
    let line = format!("{} completions bash | head -c 1", env!("CARGO_BIN_EXE_intelmesh"));
    let script = format!("set -o pipefail; {line} > /dev/null");
    let piped = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(piped.status.success(), "{piped:?}");
}
