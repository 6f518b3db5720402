//! A Redis of a test's own: the real `redis-server` on a port and a Unix socket of its own, with password or TLS
//! where asked for, and a small client that sends any bytes. It deliberately knows nothing of queues: what a
//! test puts in and finds is the test's.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::node::free_port;
use crate::wait::{wait_for, wait_until};

const READY: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(20);

/// A server and, while it runs, its process; killed when dropped. It keeps nothing on disk but at [`Redis::save`].
pub struct Redis {
    home: TempDir,
    port: u16,
    tls_port: Option<u16>,
    password: Option<String>,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Redis {
    /// A running server without password.
    pub fn start() -> Self {
        let mut redis = Self::new();
        redis.start_again();
        redis
    }

    /// One that does not run yet.
    pub fn new() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        Self { home, port: free_port(), tls_port: None, password: None, settings: Vec::new(), child: None }
    }

    /// A setting of `redis.conf` from its next start on.
    pub fn set(&mut self, line: &str) {
        self.settings.push(line.to_owned());
    }

    /// `requirepass`, from its next start on.
    pub fn set_password(&mut self, password: &str) {
        self.password = Some(password.to_owned());
    }

    /// A second port with TLS, whose certificate an authority of the test's own signed.
    pub fn set_tls(&mut self) {
        self.tls_port = Some(free_port());
        make_certificate(self.home.path());
    }

    /// Starts it, and waits until it answers.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "redis runs already");
        let path = |name: &str| self.home.path().join(name).display().to_string();
        let mut lines = vec![
            format!("port {}", self.port),
            "bind 127.0.0.1".to_owned(),
            format!("unixsocket {}", path("redis.sock")),
            format!("dir {}", self.home.path().display()),
            "save \"\"".to_owned(),
            "appendonly no".to_owned(),
            format!("logfile {}", path("log")),
        ];
        lines.extend(self.password.iter().map(|password| format!("requirepass {password}")));
        if let Some(port) = self.tls_port {
            let (cert, key, ca) = (path("cert.pem"), path("key.pem"), path("ca.pem"));
            lines.push(format!("tls-port {port}\ntls-cert-file {cert}\ntls-key-file {key}"));
            lines.push(format!("tls-ca-cert-file {ca}\ntls-auth-clients no"));
        }
        lines.extend(self.settings.iter().cloned());
        let config = self.home.path().join("redis.conf");
        fs::write(&config, lines.join("\n")).expect("a file can be written");
        let mut command = Command::new("redis-server");
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = command.spawn().expect("redis-server is installed (apt-get install redis-server)");
        self.child = Some(child);
        wait_until("redis answers", READY, || self.try_client(0).is_ok_and(|mut client| client.is_up()));
    }

    /// `kill -9`: whatever was not saved is gone.
    pub fn kill9(&mut self) {
        let mut child = self.child.take().expect("redis runs");
        child.kill().expect("redis can be killed");
        child.wait().expect("redis can be waited for");
    }

    /// Writes its data to disk, from where the next start takes them.
    pub fn save(&self) {
        self.client(0).say(&["SAVE"]);
    }

    /// Removes what [`Redis::save`] wrote.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.home.path().join("dump.rdb"));
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = self.child.as_ref().expect("redis runs").id();
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("redis can be signalled");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    fn login(&self) -> String {
        self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default()
    }

    /// `redis://…/DB`, with the password where there is one.
    pub fn url(&self, db: u32) -> String {
        format!("redis://{}127.0.0.1:{}/{db}", self.login(), self.port)
    }

    pub fn tls_url(&self, db: u32) -> String {
        format!("rediss://{}localhost:{}/{db}", self.login(), self.tls_port.expect("TLS was asked for"))
    }

    pub fn unix_url(&self, db: u32) -> String {
        let pass = self.password.as_ref().map(|password| format!("&pass={password}")).unwrap_or_default();
        format!("unix://{}?db={db}{pass}", self.home.path().join("redis.sock").display())
    }

    /// The certificate of the authority behind [`Redis::tls_url`].
    pub fn ca_file(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A client of one database.
    pub fn client(&self, db: u32) -> RedisClient {
        self.try_client(db).expect("redis can be reached")
    }

    fn try_client(&self, db: u32) -> io::Result<RedisClient> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER))?;
        let mut client = RedisClient { stream: BufReader::new(stream) };
        if let Some(password) = &self.password {
            client.command(&[b"AUTH", password.as_bytes()])?;
        }
        client.command(&[b"SELECT", db.to_string().as_bytes()])?;
        Ok(client)
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- redis\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}

/// What Redis answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Nil,
    Number(i64),
    Bytes(Vec<u8>),
    List(Vec<Reply>),
    Error(String),
}

impl Reply {
    pub fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("no text: {other:?}"),
        }
    }
}

/// One connection that sends commands and reads their answers.
pub struct RedisClient {
    stream: BufReader<TcpStream>,
}

impl RedisClient {
    fn is_up(&mut self) -> bool {
        self.command(&[b"PING"]).is_ok_and(|reply| reply == Reply::Bytes(b"PONG".to_vec()))
    }

    pub fn command(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            bytes.extend_from_slice(word);
            bytes.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&bytes)?;
        self.reply()
    }

    /// A command in text, which must not fail.
    pub fn say(&mut self, words: &[&str]) -> Reply {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        self.sure(&words)
    }

    fn sure(&mut self, words: &[&[u8]]) -> Reply {
        match self.command(words).expect("redis answers") {
            Reply::Error(error) => panic!("redis says {error}"),
            reply => reply,
        }
    }

    /// `LPUSH`, as IntelMQ sends.
    pub fn push(&mut self, queue: &str, element: impl AsRef<[u8]>) {
        self.sure(&[b"LPUSH", queue.as_bytes(), element.as_ref()]);
    }

    pub fn length(&mut self, queue: &str) -> u64 {
        match self.say(&["LLEN", queue]) {
            Reply::Number(length) => length.try_into().expect("a length"),
            other => panic!("no length: {other:?}"),
        }
    }

    /// All elements, in the order in which a bot would get them.
    pub fn elements(&mut self, queue: &str) -> Vec<String> {
        let Reply::List(list) = self.say(&["LRANGE", queue, "0", "-1"]) else { panic!("no list") };
        list.iter().rev().map(Reply::text).collect()
    }

    /// Takes the oldest element, as a bot does.
    pub fn pop(&mut self, queue: &str) -> Option<String> {
        match self.say(&["RPOP", queue]) {
            Reply::Nil => None,
            reply => Some(reply.text()),
        }
    }

    /// Waits until the queue holds so many.
    pub fn wait_for_length(&mut self, queue: &str, length: u64) {
        let what = format!("{length} in {queue}");
        wait_until(&what, Duration::from_secs(60), || self.length(queue) == length);
    }

    /// Takes elements as they come until there are `count` of them.
    pub fn take(&mut self, queue: &str, count: usize) -> Vec<String> {
        let what = format!("{count} from {queue}");
        let mut taken = Vec::new();
        wait_for(&what, Duration::from_secs(120), || {
            while let Some(element) = self.pop(queue) {
                taken.push(element);
            }
            (taken.len() >= count).then_some(())
        });
        taken
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            "+" => Reply::Bytes(rest.as_bytes().to_vec()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(number()?),
            "$" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes)?;
                    bytes.truncate(length);
                    Reply::Bytes(bytes)
                }
            },
            "*" => match usize::try_from(number()?) {
                Err(_) => Reply::Nil,
                Ok(count) => Reply::List((0..count).map(|_| self.reply()).collect::<io::Result<_>>()?),
            },
            _ => return Err(io::Error::other(format!("no answer of redis: {line:?}"))),
        })
    }
}

/// Makes an authority (`ca.pem`) and a certificate of its for `localhost` (`cert.pem`, `key.pem`).
pub(crate) fn make_certificate(dir: &Path) {
    let script = "set -e
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority \
  -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout key.pem -out request.pem
echo subjectAltName=DNS:localhost > extensions
openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem";
    let mut openssl = Command::new("sh");
    openssl.args(["-c", script]).current_dir(dir).stdin(Stdio::null());
    let made = openssl.output().expect("a shell runs");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
}
