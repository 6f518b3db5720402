//! A Redis of a test's own, and its queues as IntelMQ's pipeline uses them: pushed at the left, popped at the
//! right. It deliberately knows just the commands that tests need.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::node::free_port;
use crate::wait::wait_for;

const READY: Duration = Duration::from_secs(20);

/// `redis-server` without persistence; killed when dropped.
pub struct RedisServer {
    port: u16,
    child: Child,
    _home: TempDir,
}

impl RedisServer {
    pub fn start() -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .arg("--dir")
            .arg(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this test needs redis-server: run `./tests/run tools`");
        let server = Self { port, child, _home: home };
        wait_for("Redis answers", READY, || TcpStream::connect(("127.0.0.1", port)).ok());
        server
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A connection to one of its databases.
    pub fn queues(&self, database: u32) -> Queues {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("Redis can be connected to");
        let mut queues = Queues { stream: BufReader::new(stream) };
        queues.ask(&[b"SELECT", database.to_string().as_bytes()]);
        queues
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to Redis.
pub struct Queues {
    stream: BufReader<TcpStream>,
}

/// What Redis answers to the commands that are used here.
enum Answer {
    Nothing,
    Number(i64),
    Bytes(Vec<u8>),
}

impl Queues {
    /// Puts a message at the end of a queue.
    pub fn push(&mut self, queue: &str, message: impl AsRef<[u8]>) {
        self.ask(&[b"LPUSH", queue.as_bytes(), message.as_ref()]);
    }

    /// Puts many messages at the end of a queue, in their order.
    pub fn push_all(&mut self, queue: &str, messages: &[String]) {
        for some in messages.chunks(500) {
            let mut words: Vec<&[u8]> = vec![b"LPUSH", queue.as_bytes()];
            words.extend(some.iter().map(String::as_bytes));
            self.ask(&words);
        }
    }

    /// Takes the message at the head of a queue.
    pub fn pop(&mut self, queue: &str) -> Option<Vec<u8>> {
        match self.ask(&[b"RPOP", queue.as_bytes()]) {
            Answer::Bytes(bytes) => Some(bytes),
            Answer::Nothing | Answer::Number(_) => None,
        }
    }

    pub fn len(&mut self, queue: &str) -> usize {
        match self.ask(&[b"LLEN", queue.as_bytes()]) {
            Answer::Number(length) => usize::try_from(length).expect("a length"),
            Answer::Nothing | Answer::Bytes(_) => panic!("LLEN answers with a number"),
        }
    }

    pub fn clear(&mut self, queue: &str) {
        self.ask(&[b"DEL", queue.as_bytes()]);
    }

    fn ask(&mut self, words: &[&[u8]]) -> Answer {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&command).expect("Redis takes a command");
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("Redis answers");
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" => Answer::Nothing,
            ":" => Answer::Number(rest.parse().expect("a number")),
            "$" => match rest.parse::<usize>() {
                Ok(length) => {
                    let mut bytes = vec![0; length + 2];
                    self.stream.read_exact(&mut bytes).expect("Redis answers in full");
                    bytes.truncate(length);
                    Answer::Bytes(bytes)
                }
                Err(_) => Answer::Nothing,
            },
            _ => panic!("Redis says {line:?}"),
        }
    }
}
