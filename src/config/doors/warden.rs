//! The keys of a Warden server, which doors of both ways have. Nothing is read or connected to here.

use super::{DoorReading, DoorSection};
use crate::config::reading::{ConfigReport, TomlPosition};
use crate::door::{ServerUrl, WardenServer};
use crate::format::foreign::is_node_name;

/// Keys of doors to and from a server.
pub(super) const SERVER_KEYS: &[&str] =
    &["url", "client", "secret_file", "cert_file", "key_file", "ca_file", "node"];
/// Those of a door from a server.
pub(super) const SOURCE_KEYS: &[&str] =
    &["url", "client", "secret_file", "cert_file", "key_file", "ca_file", "node", "poll"];

impl DoorReading<'_> {
    pub(super) fn warden_server(
        &self,
        at: &DoorSection<'_, '_>,
        report: &mut ConfigReport,
    ) -> Option<WardenServer> {
        let (line, table) = (at.line, &at.value);
        let url = self.server_url(at, report);
        let client = table.choice("client", "the name of a client", report, |text| {
            (!text.is_empty()).then(|| text.to_owned())
        });
        let mut path = |key| table.text(key, report).map(|at| self.dir.join(at.value));
        let (secret_file, ca_file) = (path("secret_file"), path("ca_file"));
        let (cert_file, key_file) = (path("cert_file"), path("key_file"));
        if client.is_none() && secret_file.is_none() {
            let hint =
                "client = \"org.example.mesh\", or secret_file = \"FILE\": how the server knows this node";
            report.missing(line, "client", hint);
        }
        let identity = match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => Some((cert_file, key_file)),
            (None, None) => None,
            (Some(_), None) => {
                report.missing(line, "key_file", "key_file = \"FILE.pem\": the key of cert_file");
                None
            }
            (None, Some(_)) => {
                report.missing(line, "cert_file", "cert_file = \"FILE.pem\": the certificate of key_file");
                None
            }
        };
        let wanted = "a name like \"org.example.mesh\"";
        let node = table.choice("node", wanted, report, |text| is_node_name(text).then(|| text.to_owned()));
        Some(WardenServer { url: url?, client, secret_file, identity, ca_file, node })
    }

    fn server_url(&self, at: &DoorSection<'_, '_>, report: &mut ConfigReport) -> Option<ServerUrl> {
        let Some(typed) = at.value.text("url", report) else {
            report.missing(at.line, "url", "url = \"https://warden.example.org/warden3\": the server");
            return None;
        };
        let url = ServerUrl::parse(typed.value);
        if url.is_none() {
            // Not shown: there may be a secret in it.
            let value = typed.value.split([':', '/']).next().unwrap_or_default();
            let wanted = "the beginning of https://HOST[:PORT][/PATH] (http:// only to this machine)";
            report.refuse("url", &TomlPosition { line: typed.line, value }, wanted);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config::NodeConfig;
    use crate::door::{ConsumerTarget, DoorSettings, SubmitSource};
    use crate::identity::PublisherName;

    fn read(text: &str) -> Result<DoorSettings, Vec<String>> {
        let text = format!("name = \"cert-at\"\n{text}");
        let read = NodeConfig::parse(Path::new("d"), &text);
        read.map(|config| config.doors).map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
    }

    const FROM: &str = "[[submit]]\nfrom = \"warden\"\n";
    const TO: &str = "[[consumer]]\nname = \"hub\"\nto = \"warden\"\n";
    const URL: &str = "url = \"https://w.example/warden3\"\n";

    #[test]
    fn doors_to_a_server_are_read_with_their_defaults() {
        let text = format!("{FROM}{URL}secret_file = \"s\"\n{TO}{URL}client = \"org.example.a\"\n");
        let doors = read(&text).unwrap();
        let SubmitSource::Warden(source) = &doors.submits[0].from else { panic!("{doors:?}") };
        let ConsumerTarget::Warden(server) = &doors.consumers[0].to else { panic!("{doors:?}") };
        let publisher = PublisherName::parse("cert-at").unwrap();
        assert_eq!(source.poll, Duration::from_secs(30));
        assert_eq!(source.server.node_name(&publisher), "at.cert.intelmesh");
        assert_eq!(source.server.secret_file.as_deref(), Some(Path::new("d/s")));
        assert_eq!(server.node_name(&publisher), "org.example.a");
        assert_eq!(doors.consumers[0].format().map(|format| format.as_str()), Some("idea"));
    }

    #[test]
    fn slips_have_their_line_and_show_no_secret() {
        let with = |door: &str, more: &str| format!("{door}{URL}client = \"a\"\n{more}\n");
        for (text, want) in [
            (FROM.to_owned(), "intelmesh.toml:2: \"url\" is missing"),
            (format!("{FROM}{URL}"), "intelmesh.toml:2: \"client\" is missing"),
            (
                format!("{FROM}client = \"a\"\nurl = \"https://u:pw@w.example/\"\n"),
                "intelmesh.toml:5: \"url\": \"https\" is not ",
            ),
            (
                format!("{FROM}client = \"a\"\nurl = \"http://w.example/\"\n"),
                "intelmesh.toml:5: \"url\": \"http\" is not ",
            ),
            (with(FROM, "cert_file = \"c\""), "intelmesh.toml:2: \"key_file\" is missing"),
            (with(FROM, "poll = \"0s\""), "intelmesh.toml:6: \"poll\": \"0s\" is not "),
            (with(TO, "format = \"n6\""), "intelmesh.toml:7: \"format\": \"n6\" is not "),
            (with(TO, "form = \"ail\""), "intelmesh.toml:7: \"form\": \"ail\" is not "),
            (with(TO, "poll = \"1s\""), "intelmesh.toml:7: unknown key \"poll\""),
            (
                with(FROM, "") + &with(TO, "own = true"),
                "intelmesh.toml:7: door hub sends back to the server what door warden reads there",
            ),
        ] {
            let said = read(&text).expect_err(&text);
            assert!(said.iter().any(|line| line.starts_with(want)), "{text}: {said:#?}");
        }
        assert!(
            read(&(with(FROM, "") + &with(TO, "own = true\nfilter = 'meta.format != \"idea\"'"))).is_ok()
        );
    }
}
