//! `run/ctl.sock`: one request a connection, a line each way ([`crate::control`]), then the node closes. The daemon
//! handles requests and answers.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::control::{ControlRefusal, ControlReply, REQUEST_BYTES_MAX};
use crate::local::framing::SocketLine;
use crate::local::framing::line::LineReader;

/// Answers one request, in lines; with the account that asks, as the kernel gives it.
pub(crate) type ControlHandler =
    Arc<dyn Fn(String, Option<u32>) -> BoxFuture<'static, Vec<String>> + Send + Sync>;

pub(super) async fn serve(mut stream: UnixStream, handler: ControlHandler, stopping: CancellationToken) {
    let account = stream.peer_cred().ok().map(|asking| asking.uid());
    let (reading, mut writing) = stream.split();
    let mut lines = LineReader::new(reading, REQUEST_BYTES_MAX);
    let Some(Ok(Some(line))) = stopping.run_until_cancelled(lines.line()).await else { return };
    let request = match &line {
        SocketLine::Text(text) => std::str::from_utf8(text).ok(),
        SocketLine::TooLong => None,
    };
    let answers = match request {
        Some(request) => handler(request.to_owned(), account).await,
        None => refusal(),
    };
    for mut answer in answers {
        answer.push('\n');
        if writing.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn refusal() -> Vec<String> {
    let what = format!("a request is one line of UTF-8, of at most {REQUEST_BYTES_MAX} bytes");
    serde_json::to_string(&ControlReply::Refused(ControlRefusal::could_not(what))).into_iter().collect()
}
