//! The HTTP interface of a Warden 3 server: `getInfo`, `getEvents` and `sendEvents`, as a client that it knows. An answer
//! is read to the end: which messages the server has, which it never takes, and which it may take later. When to ask, and
//! what is done with a message, is decided in `submit::warden` and `deliver::warden`.

use std::path::PathBuf;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;
use zeroize::Zeroizing;

use super::framing::one_line;
use super::http::{HttpAnswer, HttpFault, HttpServer, escaped};
use super::secret;
use super::tls::TlsIdentity;
use crate::door::WardenServer;

/// Characters of a server's message that are shown.
const MESSAGE_CHARS_MAX: usize = 200;

/// Stands for the place before the first message: a server counts from its end if the number is below 1.
const BEFORE_ALL: &str = "-1000000000";

/// Why the server did not do what it was asked. The next try may work.
#[derive(Debug, Error)]
pub(crate) enum WardenFault {
    #[error(transparent)]
    Http(#[from] HttpFault),
    #[error("the cursor in cursors/ cannot be read: {0}")]
    Cursor(std::io::Error),
    #[error("secret_file {}: {error}", file.display())]
    Secret { file: PathBuf, error: std::io::Error },
    #[error("{method}: the server answers {status}: {message}{hint}", hint = hint_of(*status))]
    Says { method: &'static str, status: u16, message: String },
    #[error("{method}: expected an answer of Warden 3, not {found}")]
    Nonsense { method: &'static str, found: String },
}

fn hint_of(status: u16) -> &'static str {
    match status {
        401 | 403 => " (are `client`, `secret_file` and the certificate those that the server has?)",
        404 => " (is `url` that of the server, without the name of a method?)",
        _ => "",
    }
}

/// Bounds of a server.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WardenInfo {
    pub send_events_limit: Option<usize>,
}

/// Messages of one answer, oldest id first.
#[derive(Debug)]
pub(crate) struct WardenPage {
    /// The id of the last message; without messages it is the newest id of the server.
    pub last_id: u64,
    pub messages: Vec<Bytes>,
}

#[derive(Deserialize)]
struct TypedPage<'a> {
    lastid: u64,
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// What the server did with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MessageFate {
    Stored,
    /// It never takes it, for this reason.
    Refused(String),
    /// It did not take it now.
    Later,
}

#[derive(Debug)]
pub(crate) struct SendReport {
    pub fates: Vec<MessageFate>,
    /// More are not to be sent at once.
    pub limit: Option<usize>,
    /// Why some are to be sent later.
    pub why_later: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TypedReport {
    saved: Option<usize>,
    errors: Vec<TypedFault>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TypedFault {
    error: u16,
    message: String,
    /// The messages that it is about, by their place in the request; `None`: all.
    events: Option<Vec<usize>>,
    send_events_limit: Option<usize>,
}

/// How this node logs in. The server wants the secret or the name, never both.
#[derive(Clone, Debug)]
enum WardenLogin {
    SecretFile(PathBuf),
    Name(String),
}

#[derive(Clone)]
pub(crate) struct WardenClient {
    http: HttpServer,
    login: WardenLogin,
}

impl WardenClient {
    pub(crate) fn new(server: &WardenServer) -> Self {
        let identity = server.identity.clone();
        let identity = identity.map(|(cert_file, key_file)| TlsIdentity { cert_file, key_file });
        let login = match &server.secret_file {
            Some(file) => WardenLogin::SecretFile(file.clone()),
            None => WardenLogin::Name(server.client.clone().unwrap_or_default()),
        };
        let http = HttpServer {
            url: server.url.clone(),
            ca_file: server.ca_file.clone(),
            identity,
            authorization: None,
        };
        Self { http, login }
    }

    /// Asks for the bounds of the server, which also shows that it knows this client.
    pub(crate) async fn info(&self) -> Result<WardenInfo, WardenFault> {
        let method = "getInfo";
        let answer = self.call(method, "", None).await?;
        parsed(method, &answer)
    }

    /// Asks for the newest id.
    pub(crate) async fn newest_id(&self) -> Result<u64, WardenFault> {
        Ok(self.page("0", 1).await?.last_id)
    }

    /// Asks for at most `count` messages after the id `after`. After 1 and 0 these are all that the server has: one that is empty
    /// says 1, and its first message has the id 1.
    pub(crate) async fn messages_after(&self, after: u64, count: usize) -> Result<WardenPage, WardenFault> {
        if after <= 1 {
            return self.page(BEFORE_ALL, count).await;
        }
        let page = self.page(&after.to_string(), count).await?;
        if !page.messages.is_empty() && page.last_id <= after {
            let found = format!("messages after id {after} that end with id {}", page.last_id);
            return Err(WardenFault::Nonsense { method: "getEvents", found });
        }
        Ok(page)
    }

    async fn page(&self, id: &str, count: usize) -> Result<WardenPage, WardenFault> {
        let method = "getEvents";
        let answer = self.call(method, &format!("&id={id}&count={count}"), None).await?;
        let page: TypedPage<'_> = parsed(method, &answer)?;
        let messages = page.events.iter().map(|event| one_line(event.get().as_bytes().to_vec())).collect();
        Ok(WardenPage { last_id: page.lastid, messages })
    }

    /// Sends messages, each one JSON object.
    ///
    /// # Errors
    /// [`WardenFault`] if the server may have some or all of them, or has none.
    pub(crate) async fn send(&self, messages: &[&[u8]]) -> Result<SendReport, WardenFault> {
        let method = "sendEvents";
        let mut body = vec![b'['];
        for (at, message) in messages.iter().enumerate() {
            body.extend_from_slice(if at == 0 { b"" } else { b"," });
            body.extend_from_slice(message);
        }
        body.push(b']');
        let not_text = |_| WardenFault::Nonsense { method, found: "a message that is not UTF-8".to_owned() };
        let body = String::from_utf8(body).map_err(not_text)?;
        let answer = self.call_any(method, "", Some(body)).await?;
        let report: TypedReport = match serde_json::from_slice(&answer.body) {
            Ok(report) => report,
            Err(_) if answer.status != 200 => return Err(says(method, answer.status, "")),
            Err(fault) => return Err(WardenFault::Nonsense { method, found: fault.to_string() }),
        };
        if report.errors.is_empty() && (answer.status != 200 || report.saved != Some(messages.len())) {
            let message = format!("saved {:?} of {}", report.saved, messages.len());
            return Err(says(method, answer.status, &message));
        }
        Ok(sorted_out(report, messages.len()))
    }

    async fn call(
        &self,
        method: &'static str,
        query: &str,
        body: Option<String>,
    ) -> Result<Vec<u8>, WardenFault> {
        let answer = self.call_any(method, query, body).await?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let report: TypedReport = serde_json::from_slice(&answer.body).unwrap_or_default();
        let message = report.errors.into_iter().next().unwrap_or_default().message;
        Err(says(method, answer.status, &message))
    }

    async fn call_any(
        &self,
        method: &'static str,
        query: &str,
        body: Option<String>,
    ) -> Result<HttpAnswer, WardenFault> {
        let login = match &self.login {
            WardenLogin::Name(name) => Zeroizing::new(format!("client={}", escaped(name))),
            WardenLogin::SecretFile(file) => {
                let read = secret::read(file);
                let secret = read.map_err(|error| WardenFault::Secret { file: file.clone(), error })?;
                Zeroizing::new(format!("secret={}", escaped(&secret)))
            }
        };
        let target = Zeroizing::new(format!("{}/{method}?{}{query}", self.http.url.path, *login));
        Ok(self.http.ask(&target, body).await?)
    }
}

fn says(method: &'static str, status: u16, message: &str) -> WardenFault {
    let message = if message.is_empty() { "no reason" } else { message };
    WardenFault::Says { method, status, message: message.chars().take(MESSAGE_CHARS_MAX).collect() }
}

fn parsed<'a, T: Deserialize<'a>>(method: &'static str, body: &'a [u8]) -> Result<T, WardenFault> {
    serde_json::from_slice(body).map_err(|fault| WardenFault::Nonsense { method, found: fault.to_string() })
}

/// Returns what became of each of `count` messages: those that no error names are stored.
fn sorted_out(report: TypedReport, count: usize) -> SendReport {
    let mut sorted = SendReport { fates: vec![MessageFate::Stored; count], limit: None, why_later: None };
    for fault in report.errors {
        let message: String = fault.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let message = format!("{} {message}", fault.error);
        // Too long, of another client, not by the schema: that is about a message, and stays so.
        let is_about_message = matches!(fault.error, 413 | 422 | 460);
        let is_refused = is_about_message && (fault.events.is_some() || count == 1);
        if fault.error == 507 {
            sorted.limit = fault.send_events_limit.or(Some(count / 2)).map(|limit| limit.max(1));
        } else if is_about_message && !is_refused {
            // One of them: alone it says which.
            sorted.limit = Some(1);
        }
        for at in fault.events.unwrap_or_else(|| (0..count).collect()) {
            if let Some(fate) = sorted.fates.get_mut(at) {
                *fate = if is_refused { MessageFate::Refused(message.clone()) } else { MessageFate::Later };
            }
        }
        if !is_refused {
            sorted.why_later = Some(message);
        }
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_sorted_out_by_their_indexes() {
        use MessageFate::{Later, Stored};
        let refused = |text: &str| MessageFate::Refused(text.to_owned());
        for (text, fates, limit) in [
            (r#"{"saved":3}"#, vec![Stored, Stored, Stored], None),
            (
                r#"{"errors":[{"error":460,"message":"ID","events":[1]}]}"#,
                vec![Stored, refused("460 ID"), Stored],
                None,
            ),
            (
                r#"{"errors":[{"error":507,"message":"many","send_events_limit":1,"events":[1,2]}]}"#,
                vec![Stored, Later, Later],
                Some(1),
            ),
            (r#"{"errors":[{"error":500,"message":"DB"}]}"#, vec![Later, Later, Later], None),
            (r#"{"errors":[{"error":403,"message":"who?"}]}"#, vec![Later, Later, Later], None),
            (r#"{"errors":[{"error":413,"message":"long"}]}"#, vec![Later, Later, Later], Some(1)),
            (r#"{"errors":[{"error":460,"events":[7]}]}"#, vec![Stored, Stored, Stored], None),
        ] {
            let sorted = sorted_out(serde_json::from_str(text).unwrap(), 3);
            assert_eq!((sorted.fates, sorted.limit), (fates, limit), "{text}");
        }
    }
}
