//! The questions to n6's REST interface: the messages that changed in a part of time, as lines of JSON, newest first and
//! without pages. An answer that breaks off is taken not at all.

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::door::{N6Source, ServerUrl};
use crate::local::http::HttpServer;
use crate::local::submit::asked::{AskFault, ask, read_secret};

/// n6 wants a bound on the time of observations too. It learns of most within days.
const OBSERVED_BEFORE_S: i64 = 30 * 24 * 60 * 60;

/// A part of time in seconds: `from` is in it, `until` is not; `None`: the present.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestWindow {
    pub from: i64,
    pub until: Option<i64>,
}

pub(super) struct N6Rest(HttpServer);

impl N6Rest {
    /// Reads the key, which may have changed.
    pub(crate) fn of(url: &ServerUrl, source: &N6Source) -> Result<Self, AskFault> {
        let key = read_secret("password_file", &source.password_file)?;
        let authorization = Some(Zeroizing::new(format!("Bearer {}", key.as_str())));
        let (url, ca_file) = (url.clone(), source.ca_file.clone());
        Ok(Self(HttpServer { url, ca_file, identity: None, authorization }))
    }

    /// Returns the messages of a resource (`inside`, `threats`) that changed in the window.
    ///
    /// # Errors
    /// [`HttpFault::TooLarge`](crate::local::http::HttpFault::TooLarge) if they are too many for one answer.
    pub(crate) async fn messages(&self, resource: &str, window: &RestWindow) -> Result<Vec<Bytes>, AskFault> {
        let RestWindow { from, until } = *window;
        let until = until.map(|until| format!("&modified.until={}", moment(until))).unwrap_or_default();
        let (observed, from) = (moment(from - OBSERVED_BEFORE_S), moment(from));
        let path = format!("report/{resource}.sjson?time.min={observed}&modified.min={from}{until}");
        let body = Bytes::from(ask(&self.0, &path, None).await?.body);
        if !(body.is_empty() || body.ends_with(b"\n") || body.ends_with(b"}")) {
            let what = "breaks off in the middle of a line".to_owned();
            return Err(AskFault::Unusable { server: self.0.url.to_string(), what });
        }
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        Ok(lines.map(|line| body.slice_ref(line)).collect())
    }
}

fn moment(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
