//! A small Warden 3 server in memory: `getInfo`, `getEvents` and `sendEvents` over HTTP, with low limits, so that paging
//! shows. Written from the behaviour of the real server: ids may be committed out of order, nothing is compared, and an
//! error names the events that it is about by their index. It deliberately has no TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// Messages of one answer, and of one request.
const GET_LIMIT: usize = 4;
const SEND_LIMIT: usize = 5;

#[derive(Default)]
struct Stored {
    /// By id, from 1; `None`: the id is taken, and the message is not there yet.
    messages: Vec<Option<Value>>,
    /// So many requests to store fail, or are done without an answer.
    failing: usize,
    mute: usize,
    refused: usize,
}

/// The server; it ends with the test.
pub struct Warden {
    port: u16,
    stored: Arc<Mutex<Stored>>,
}

impl Warden {
    /// The name that the only client has, and its secret.
    pub const CLIENT: &'static str = "org.example.node";
    pub const SECRET: &'static str = "s3c&ret";

    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let stored = Arc::<Mutex<Stored>>::default();
        let shared = Arc::clone(&stored);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let stored = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &stored));
            }
        });
        Self { port, stored }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/warden3", self.port)
    }

    fn stored<T>(&self, act: impl FnOnce(&mut Stored) -> T) -> T {
        act(&mut self.stored.lock().expect("no test panicked inside"))
    }

    /// Stores a message, as another client of the server does.
    pub fn put(&self, message: Value) {
        self.stored(|stored| stored.messages.push(Some(message)));
    }

    /// Takes the next id for a message that is committed later.
    pub fn take_id(&self) -> usize {
        self.stored(|stored| {
            stored.messages.push(None);
            stored.messages.len()
        })
    }

    pub fn commit(&self, id: usize, message: Value) {
        self.stored(|stored| stored.messages[id - 1] = Some(message));
    }

    /// Lets the next requests to store fail, and as many behind them be done without an answer.
    pub fn trouble(&self, failing: usize, mute: usize) {
        self.stored(|stored| (stored.failing, stored.mute) = (failing, mute));
    }

    pub fn messages(&self) -> Vec<Value> {
        self.stored(|stored| stored.messages.iter().flatten().cloned().collect())
    }

    /// How many messages it has refused.
    pub fn refused(&self) -> usize {
        self.stored(|stored| stored.refused)
    }
}

/// One request, one answer.
fn serve(stream: TcpStream, stored: &Mutex<Stored>) {
    let mut reader = BufReader::new(&stream);
    let (mut first, mut length) = (String::new(), 0);
    if reader.read_line(&mut first).is_err() {
        return;
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        if let Some((key, value)) = line.split_once(':')
            && key.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or_default();
        }
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let target = first.split(' ').nth(1).unwrap_or_default();
    let Some((status, answer)) = answer(target, &body, &mut stored.lock().expect("no panic inside")) else {
        return;
    };
    let text = answer.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
    let _ = (&stream).write_all((head + &text).as_bytes());
}

fn answer(target: &str, body: &[u8], stored: &mut Stored) -> Option<(u64, Value)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let given = |key: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned())
    };
    let fault =
        |code: u64, message: &str| Some((code, json!({"errors": [{"error": code, "message": message}]})));
    if given("secret").as_deref() != Some("s3c%26ret") || given("client").is_some() {
        return fault(403, "authenticate");
    }
    match path.strip_prefix("/warden3/") {
        Some("getInfo") => Some((200, json!({"version": "3", "send_events_limit": SEND_LIMIT}))),
        Some("getEvents") => {
            Some((200, page(given("id")?.parse().ok()?, given("count")?.parse().ok()?, stored)))
        }
        Some("sendEvents") => match serde_json::from_slice::<Vec<Value>>(body) {
            Ok(messages) => store(messages, stored),
            Err(_) => fault(400, "a list is expected"),
        },
        _ => fault(404, "no such method"),
    }
}

fn page(id: i64, count: usize, stored: &Stored) -> Value {
    let newest = stored.messages.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
    let after = if id <= 0 { (id + newest as i64).max(0) } else { id };
    let found = stored.messages.iter().enumerate().map(|(at, message)| (at + 1, message));
    let found =
        found.filter(|(id, _)| *id as i64 > after).filter_map(|(id, message)| Some((id, message.as_ref()?)));
    let page: Vec<(usize, &Value)> = found.take(count.min(GET_LIMIT)).collect();
    let last = page.last().map_or(newest.max(1), |(id, _)| *id);
    let messages: Vec<&Value> = page.into_iter().map(|(_, message)| message).collect();
    json!({"lastid": last, "events": messages})
}

fn store(messages: Vec<Value>, stored: &mut Stored) -> Option<(u64, Value)> {
    if stored.failing > 0 {
        stored.failing -= 1;
        return Some((500, json!({"errors": [{"error": 500, "message": "DB error"}]})));
    }
    let (mut errors, mut saved) = (Vec::new(), 0);
    for (at, message) in messages.into_iter().enumerate() {
        let node = message["Node"][0]["Name"].as_str().unwrap_or_default().to_lowercase();
        let (code, why) = if at >= SEND_LIMIT {
            (507, "too many in one batch")
        } else if !message["DetectTime"].is_string() {
            (460, "key \"DetectTime\"")
        } else if node != Warden::CLIENT {
            (422, "Node does not correspond with saving client")
        } else {
            saved += 1;
            stored.messages.push(Some(message));
            continue;
        };
        stored.refused += usize::from(code != 507);
        errors.push(json!({"error": code, "message": why, "events": [at], "send_events_limit": SEND_LIMIT}));
    }
    if stored.mute > 0 {
        stored.mute -= 1;
        return None;
    }
    let code = errors.first().and_then(|error| error["error"].as_u64());
    Some(code.map_or_else(|| (200, json!({"saved": saved})), |code| (code, json!({"errors": errors}))))
}
