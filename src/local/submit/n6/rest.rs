//! The questions to n6's REST interface: the messages that changed in a part of time, as lines of JSON, newest first and
//! without pages. An answer that breaks off is taken not at all.

use bytes::Bytes;
use reqwest::Client;
use zeroize::Zeroizing;

use crate::door::N6Source;
use crate::limits::HTTP_ANSWER_BYTES_MAX;
use crate::local::http::{self, HttpFault};
use crate::local::{secret, tls};

/// n6 wants a bound on the time of observations too. It learns of most within days.
const OBSERVED_BEFORE_S: i64 = 30 * 24 * 60 * 60;

/// A part of time in seconds: `from` is in it, `until` is not; `None`: the present.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestWindow {
    pub from: i64,
    pub until: Option<i64>,
}

pub(super) struct N6Rest {
    client: Client,
    base: String,
    key: Zeroizing<String>,
}

impl N6Rest {
    /// Reads the key and the trust, which may have changed.
    pub fn of(url: &str, source: &N6Source) -> Result<Self, HttpFault> {
        let file = &source.password_file;
        let key = secret::read(file).map_err(|error| HttpFault::SecretFile {
            key: "password_file",
            file: file.clone(),
            error,
        })?;
        let client = http::client(tls::trusting(source.ca_file.as_deref())?)?;
        Ok(Self { client, base: url.trim_end_matches('/').to_owned(), key })
    }

    /// Returns the messages of a resource (`inside`, `threats`) that changed in the window.
    ///
    /// # Errors
    /// [`HttpFault::TooLong`] if they are too many for one answer.
    pub async fn messages(&self, resource: &str, window: &RestWindow) -> Result<Vec<Bytes>, HttpFault> {
        let RestWindow { from, until } = *window;
        let until = until.map(|until| format!("&modified.until={}", moment(until))).unwrap_or_default();
        let (observed, from) = (moment(from - OBSERVED_BEFORE_S), moment(from));
        let url =
            format!("{}/report/{resource}.sjson?time.min={observed}&modified.min={from}{until}", self.base);
        let request = self.client.get(url).bearer_auth(self.key.as_str());
        let body = http::ask(&self.base, request, HTTP_ANSWER_BYTES_MAX).await?.body;
        if !(body.is_empty() || body.ends_with(b"\n") || body.ends_with(b"}")) {
            let what = "breaks off in the middle of a line".to_owned();
            return Err(HttpFault::Unusable { server: self.base.clone(), what });
        }
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        Ok(lines.map(|line| body.slice_ref(line)).collect())
    }
}

fn moment(seconds: i64) -> String {
    let moment = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
