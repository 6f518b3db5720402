//! Slips of operators in arguments, directories and files, and the words that name what was meant.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::{invitation, two_nodes};

/// A flag with two letters swapped is a slip like any other, and the worst is one of a label.
#[test]
fn a_mistyped_flag_or_value_names_what_was_meant() {
    let shell = two_nodes();
    let similar = |flag: &str, near: &str| {
        format!("error: unexpected argument '{flag}' found\nhint: a similar argument exists: '{near}'\n")
    };
    for (line, stderr) in [
        ("submit --tpl RED -C at", similar("--tpl", "--tlp")),
        ("submit --sael -C at", similar("--sael", "--seal")),
        ("status --chekc -C at", similar("--chekc", "--check")),
        ("peer add x --tlp_max RED", similar("--tlp_max", "--tlp-max")),
        ("submit --quiet", "error: unexpected argument '--quiet' found\nhint: intelmesh submit --help\n".to_owned()),
        (
            "tail --count many",
            "error: invalid value 'many' for '--count <N>': expected a whole number from 0 to 18446744073709551615\n\
             hint: intelmesh tail --help\n"
                .to_owned(),
        ),
        (
            "tail --idle -1",
            "error: invalid value '-1' for '--idle <SECONDS>': expected a number of seconds above 0\n\
             hint: intelmesh tail --help\n"
                .to_owned(),
        ),
        (
            "event trace 72ddb00c --depth 65",
            "error: invalid value '65' for '--depth <N>': expected a whole number from 1 to 64\n\
             hint: intelmesh event trace --help\n"
                .to_owned(),
        ),
    ] {
        shell.says(line, "", 2, "", &stderr);
    }
    let edit = |from: &str, to: &str| {
        let file = shell.path().join("at/intelmesh.toml");
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
    };
    edit("default_tlp = \"GREEN\"", "default_tlp = \"AMBR\"");
    let said = shell.run("check -C at", "");
    assert!(said.stderr.contains("\nhint: did you mean \"AMBER\"?\n"), "{}", said.stderr);
    edit("default_tlp = \"AMBR\"", "socket_group = \"nosuchgroup\"");
    let said = shell.run("check -C at", "");
    assert_eq!(said.code, Some(1), "`run` refuses it too: {}", said.stderr);
    assert!(said.stderr.contains("no group \"nosuchgroup\" on this machine\nhint: "), "{}", said.stderr);
    edit("socket_group = \"nosuchgroup\"", "[[submit]]\nfrom = \"intelmq-tpc\"");
    let said = shell.run("check -C at", "");
    assert!(said.stderr.contains("\nhint: did you mean \"intelmq-tcp\"?\n"), "{}", said.stderr);
    shell.says(
        "consumer list -C ee",
        "",
        0,
        "",
        "no node runs here, and none has written positions down yet\n\
         no consumers: nobody has read from run/out.sock under a name\n",
    );
    fs::write(shell.path().join("file"), "").unwrap();
    let stderr = "error: file/node: a file is in the way\nhint: choose another directory: intelmesh init DIR --name NAME\n";
    shell.says("init file/node --name cert-at", "", 2, "", stderr);
}

/// `-C` counts before the verb's own DIR, and both before the environment, which counts before where one stands.
#[test]
fn the_directory_is_named_by_flag_argument_or_environment() {
    let shell = two_nodes();
    let asked = |env: &str, args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_intelmesh"));
        let said = command.args(args).current_dir(shell.path()).env("INTELMESH_DIR", env).output().unwrap();
        let text = if said.status.success() { said.stdout } else { said.stderr };
        String::from_utf8(text).unwrap().lines().next().unwrap_or_default().to_owned()
    };
    for (env, args, named) in [
        ("at", &["key", "show"][..], "cert-at"),
        ("at", &["key", "show", "-C", "ee"], "cert-ee"),
        ("at", &["-C", "ee", "key", "show"], "cert-ee"),
        ("", &["key", "show"], "error: ./intelmesh.toml: no such file"),
        ("nosuch", &["key", "show"], "error: nosuch/intelmesh.toml: no such file"),
        ("at", &["status", "ee"], "error: no node runs in ee"),
        ("at", &["status", "ee", "-C", "at"], "error: no node runs in at"),
        ("at/intelmesh.toml", &["key", "show"], "cert-at"),
    ] {
        assert_eq!(asked(env, args), named, "INTELMESH_DIR={env} {args:?}");
    }
}

/// A filter with a mistyped name is valid, and admits nothing: only a warning tells.
#[test]
fn check_warns_of_names_that_intelmq_does_not_have() {
    let shell = two_nodes();
    shell.done(&format!("peer add {} --yes -C ee", invitation(&shell, "at").trim()));
    let peer = shell.path().join("ee/peers/cert-at.toml");
    let text = fs::read_to_string(&peer).unwrap();
    let share =
        r#"where = 'event["source.geolocaton.cc"] == "EE" || classified(event, ["phising", "spam"])'"#;
    let receive = r#"where = '!("source.colour" in event) && event["classification.type"] != "fraud2"'"#;
    let text = text.replace("[share]\n", &format!("[share]\n{share}\n"));
    let text = text.replace("[receive]\n", &format!("[receive]\n{receive}\n"));
    fs::write(&peer, &text).unwrap();
    let line = |word: &str| 1 + text.lines().position(|line| line.contains(word)).unwrap();
    let (share, receive) = (line("geolocaton"), line("colour"));
    let stderr = format!(
        "warning: peers/cert-at.toml:{share}: IntelMQ has no field \"source.geolocaton.cc\"\n\
         hint: did you mean \"source.geolocation.cc\"?\n\
         warning: peers/cert-at.toml:{share}: IntelMQ has no classification \"phising\"\n\
         hint: did you mean \"phishing\"?\n\
         warning: peers/cert-at.toml:{receive}: IntelMQ has no field \"source.colour\"\n\
         hint: IntelMQ's fields stand in its harmonization.conf\n\
         warning: peers/cert-at.toml:{receive}: IntelMQ has no classification \"fraud2\"\n\
         hint: did you mean \"fraud\"?\n"
    );
    shell.says("check -C ee", "", 0, "ok: intelmesh.toml, keys and 1 peer; 4 warnings\n", &stderr);
    // Fields of other formats, and of one's own below `extra`, are not IntelMQ's to know.
    let other = r#"where = 'has(event.Source) && event["extra.x"] == 1 && event["Category"] == "a"'"#;
    fs::write(
        &peer,
        text.replace(text.lines().nth(share - 1).unwrap(), other)
            .replace(text.lines().nth(receive - 1).unwrap(), ""),
    )
    .unwrap();
    shell.says("check -C ee", "", 0, "ok: intelmesh.toml, keys and 1 peer\n", "");
}

#[test]
fn check_names_everything_at_once_and_the_line_that_mends_it() {
    let shell = two_nodes();
    shell.says("check -C at", "", 0, "ok: intelmesh.toml, keys and 0 peers\n", "");
    shell.done("init hidden --name hidden");
    let warning = "warning: intelmesh.toml:19: invitations will have no address: \"listen\" has none that others could use\n\
                   hint: advertise = [\"/dns4/mesh.example.org/tcp/4801\"]\n";
    shell.says("check hidden", "", 0, "ok: intelmesh.toml, keys and 0 peers; 1 warning\n", warning);
    shell.done(&format!("peer add {} --yes -C ee", invitation(&shell, "at").trim()));
    let peer = shell.path().join("ee/peers/cert-at.toml");
    let text = fs::read_to_string(&peer).unwrap().replace("tlp_max", "tlp-max");
    let line = 1 + text.lines().position(|line| line.starts_with("tlp-max")).unwrap();
    fs::write(&peer, text).unwrap();
    let open = |path: &str, mode| {
        fs::set_permissions(shell.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    open("ee/peers/cert-at.toml", 0o666);
    open("ee/keys/node.pem", 0o644);
    open("ee/keys", 0o755);
    let stderr = format!(
        "error: ee/keys/node.pem: others may read or write it (mode 0644)\n\
         hint: chmod 600 ee/keys/node.pem\n\
         warning: ee/keys: others may look into it (mode 0755)\n\
         hint: chmod 700 ee/keys\n\
         error: peers/cert-at.toml:{line}: unknown key \"tlp-max\"\n\
         hint: did you mean \"tlp_max\"?\n\
         error: ee/peers/cert-at.toml: everybody may write it (mode 0666)\n\
         hint: chmod o-w ee/peers/cert-at.toml\n"
    );
    shell.says("check -C ee", "", 1, "3 errors, 1 warning\n", &stderr);
    fs::write(shell.path().join("at/intelmesh.toml"), "name = \"cert-at\"\nlisten = 3\nfrob = 1\n").unwrap();
    let said = shell.run("check -C at", "");
    assert_eq!((said.code, said.stdout.as_str()), (Some(1), "2 errors, 0 warnings\n"));
    assert!(said.stderr.starts_with("error: intelmesh.toml:2: "), "{}", said.stderr);
}
