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
