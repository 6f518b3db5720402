//! A node with an HTTP door, and the least HTTP client: one request on each connection, nothing hidden.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use support::Node;
use support::node::free_port;

const WITHIN: Duration = Duration::from_secs(60);

/// A hub with clients.
pub struct Web {
    pub node: Node,
    pub port: u16,
    tokens: BTreeMap<String, String>,
    scheme: &'static str,
}

pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Web {
    pub fn start(clients: &[(&str, &str)]) -> Self {
        Self::start_with(clients, "http", |_| String::new())
    }

    /// The same with a certificate of its own for localhost.
    pub fn start_with_tls(clients: &[(&str, &str)]) -> Self {
        Self::start_with(clients, "https", |node| {
            let (cert, key) = (node.dir().join("cert.pem"), node.dir().join("key.pem"));
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
                .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
                .arg("-out")
                .arg(&cert)
                .arg("-keyout")
                .arg(&key)
                .output()
                .expect("openssl runs");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n".to_owned()
        })
    }

    fn start_with(
        clients: &[(&str, &str)],
        scheme: &'static str,
        more: impl FnOnce(&Node) -> String,
    ) -> Self {
        let (mut node, port) = (Node::init("hub"), free_port());
        let more = more(&node);
        node.edit("intelmesh.toml", |text| format!("{text}\n[web]\nlisten = \"127.0.0.1:{port}\"\n{more}"));
        let mut web = Self { node, port, tokens: BTreeMap::new(), scheme };
        for (name, tlp) in clients {
            web.add(name, tlp);
        }
        web.node.start();
        web
    }

    pub fn add(&mut self, name: &str, tlp: &str) {
        let token = self.node.cli(&["client", "add", name, "--tlp-max", tlp]).trim().to_owned();
        self.tokens.insert(name.to_owned(), token);
    }

    pub fn url(&self) -> String {
        let host = if self.scheme == "https" { "localhost" } else { "127.0.0.1" };
        format!("{}://{host}:{}", self.scheme, self.port)
    }

    pub fn cert(&self) -> PathBuf {
        self.node.dir().join("cert.pem")
    }

    pub fn token(&self, client: &str) -> &str {
        &self.tokens[client]
    }

    pub fn bearer(&self, client: &str) -> String {
        format!("Bearer {}", self.token(client))
    }

    pub fn get(&self, client: &str, path: &str) -> Reply {
        self.ask(client, path, &[])
    }

    pub fn ask(&self, client: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let bearer = self.bearer(client);
        let all: Vec<_> =
            std::iter::once(("Authorization", bearer.as_str())).chain(headers.iter().copied()).collect();
        self.send("GET", path, &all, b"")
    }

    pub fn post(&self, client: &str, kind: &str, body: &[u8]) -> Reply {
        self.send(
            "POST",
            "/v1/events",
            &[("Authorization", &self.bearer(client)), ("Content-Type", kind)],
            body,
        )
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send_to(&format!("127.0.0.1:{}", self.port), method, path, headers, body)
    }

    pub fn send_to(
        &self,
        host: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let mut stream = self.connect();
        write_head(&mut stream, host, method, path, headers, body.len());
        // The door may refuse the head, and end the connection before it has read the body.
        let _ = stream.write_all(body);
        read_reply(&mut BufReader::new(stream))
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the door is open");
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        stream
    }

    /// Sends a request, and goes away before it has read the answer.
    pub fn lose_reply(&self, client: &str, path: &str) {
        let mut stream = self.connect();
        let host = format!("127.0.0.1:{}", self.port);
        write_head(&mut stream, &host, "GET", path, &[("Authorization", &self.bearer(client))], 0);
        let mut first = [0; 1];
        stream.read_exact(&mut first).expect("the answer begins");
    }

    pub fn stream(&self, client: &str, path: &str, headers: &[(&str, &str)]) -> Stream {
        let mut stream = self.connect();
        let bearer = self.bearer(client);
        let own = [("Authorization", bearer.as_str()), ("Accept", "text/event-stream")];
        let all: Vec<_> = own.iter().chain(headers).copied().collect();
        write_head(&mut stream, &format!("127.0.0.1:{}", self.port), "GET", path, &all, 0);
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        assert_eq!(status, 200);
        Stream { reader, headers }
    }

    /// The body as curl gets it.
    pub fn curl(&self, client: &str, args: &[&str], path: &str) -> String {
        let said = Command::new("curl")
            .args(["-sS", "--fail-with-body", "-H", &format!("Authorization: {}", self.bearer(client))])
            .args(args)
            .arg(format!("{}{path}", self.url()))
            .output()
            .expect("curl runs");
        assert!(
            said.status.success(),
            "{}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        String::from_utf8(said.stdout).unwrap()
    }
}

fn write_head(
    stream: &mut TcpStream,
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: usize,
) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    if body > 0 {
        head += &format!("Content-Length: {body}\r\n");
    }
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).expect("the door reads");
}

fn read_head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("the door answers");
    let status =
        line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).expect("a header");
        let Some((name, value)) = line.trim_end().split_once(": ") else { return (status, headers) };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
}

fn read_reply(reader: &mut impl BufRead) -> Reply {
    let (status, headers) = read_head(reader);
    let mut reply = Reply { status, headers, body: Vec::new() };
    match reply.header("content-length").parse::<u64>() {
        Ok(length) => drop(reader.take(length).read_to_end(&mut reply.body).expect("the body")),
        Err(_) => drop(reader.read_to_end(&mut reply.body)),
    }
    reply
}

impl Reply {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn lines(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// The link to the next page.
    pub fn next(&self) -> String {
        let link = self.header("link");
        let next = link.strip_prefix('<').and_then(|rest| rest.strip_suffix(">; rel=\"next\""));
        next.unwrap_or_else(|| panic!("no next in {link:?}: {} {}", self.status, self.text())).to_owned()
    }
}

/// Server-sent events as they come.
pub struct Stream {
    reader: BufReader<TcpStream>,
    headers: Vec<(String, String)>,
}

pub struct SentEvent {
    pub id: String,
    pub number: u64,
}

impl Stream {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value)
    }

    /// The next event; comments and the framing of pieces are passed over.
    pub fn next_event(&mut self) -> SentEvent {
        let (mut id, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            assert!(self.reader.read_line(&mut line).expect("the stream goes on") > 0, "the stream ended");
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.trim_end().to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(text).unwrap();
                return SentEvent { id, number: event["payload"]["source.port"].as_u64().unwrap() };
            }
        }
    }

    /// Whether it ends without another event.
    pub fn ends(&mut self) -> bool {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).is_ok() && !rest.contains("data: ")
    }
}
