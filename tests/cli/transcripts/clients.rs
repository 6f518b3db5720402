//! Transcripts of `client`: the token is shown once, and its hash alone is kept.

use std::fs;

use super::two_nodes;

#[test]
fn token_is_shown_once_and_never_kept() {
    let shell = two_nodes();
    let said = shell.run("client add soc -C at --tlp-max GREEN --read-only", "");
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let token = said.stdout.strip_suffix('\n').unwrap();
    assert!(token.starts_with("intelmesh_") && token.len() == "intelmesh_".len() + 43, "{token}");
    assert_eq!(
        said.stderr,
        "Added client soc: tlp_max = \"GREEN\", may not post; its file is at/clients/soc.toml\n\
         The line above is its token. It is not kept here, and is not shown again.\n"
    );
    for file in ["clients/soc.toml", "audit.jsonl"] {
        let text = fs::read_to_string(shell.path().join("at").join(file)).unwrap();
        assert!(!text.contains(token), "{file}: {text}");
    }
    shell.says("client list -C at", "", 0, "CLIENT  tlp_max  posts  where\nsoc     GREEN    no     -\n", "");
}

#[test]
fn clients_are_listed_and_removed_without_a_node() {
    let shell = two_nodes();
    shell.says("client list -C at", "", 0, "", "no clients yet: intelmesh client add NAME\n");
    shell.done("client add soc -C at");
    shell.says(
        "client add soc -C at",
        "",
        1,
        "",
        "error: client \"soc\" is there already: at/clients/soc.toml\n\
         hint: a new token for it: intelmesh client remove NAME, then add it again\n",
    );
    shell.says(
        "client list -C at --json",
        "",
        0,
        "{\"schema\":\"intelmesh.clients/1\",\"clients\":[{\"accept\":true,\"file\":\"clients/soc.toml\",\"name\":\"soc\",\
         \"tlp_max\":\"AMBER\"}],\"problems\":[]}\n",
        "",
    );
    let removed = shell.run("client remove soc -C at", "");
    assert!(
        removed.stderr.starts_with("Removed client soc. Its token is worth nothing any more.\n"),
        "{}",
        removed.stderr
    );
    shell.says(
        "client remove soc -C at",
        "",
        1,
        "",
        "error: no client \"soc\"\nhint: intelmesh client list\n",
    );
    fs::write(shell.path().join("at/clients/bad.toml"), "tokn_hash = \"x\"\n").unwrap();
    shell.says(
        "client list -C at",
        "",
        0,
        "",
        "no clients yet: intelmesh client add NAME\nwarning: clients/bad.toml:1: unknown key \"tokn_hash\"\n",
    );
}
