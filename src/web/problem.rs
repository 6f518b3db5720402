//! Errors of the HTTP door as RFC 9457 `application/problem+json`, each with a `code` of CONTRACT.md §3. The words are
//! made here; which request deserves which is decided by its handler.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::format::{SubmitCode, SubmitError};

/// One error, ready to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    detail: String,
    hint: Option<&'static str>,
    /// The oldest cursor that can be read from.
    oldest: Option<String>,
    retry_after_s: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, code, detail, hint: None, oldest: None, retry_after_s: None }
    }

    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "expected a token of a client of this node")
            .hint("send Authorization: Bearer TOKEN; intelmesh client add NAME makes one")
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The cursor cannot be continued without a gap or a repetition.
    pub(crate) fn cursor_gone(detail: impl Into<String>, oldest: String) -> Self {
        let gone = Self::new(StatusCode::GONE, "cursor_gone", detail)
            .hint("begin again at `oldest`, or at `after=earliest`");
        Self { oldest: Some(oldest), ..gone }
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    pub(crate) fn rate_limited(detail: impl Into<String>, retry_after_s: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail).retry_after(retry_after_s)
    }

    pub(crate) fn stopping() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the node is stopping").retry_after(5)
    }

    pub(crate) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "busy", detail).retry_after(1)
    }

    /// The store could not answer: nothing that the client can correct.
    pub(crate) fn unreadable(cause: &dyn std::fmt::Display) -> Self {
        tracing::warn!(%cause, "a page could not be read for a client");
        let detail = "the journal could not be read: the log of the node has the cause";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(5)
    }

    pub(crate) fn hint(self, hint: &'static str) -> Self {
        Self { hint: Some(hint), ..self }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }
}

/// One event that was posted alone and refused: the whole request has failed.
impl From<&SubmitError> for Problem {
    fn from(error: &SubmitError) -> Self {
        let (status, retry) = match error.code {
            SubmitCode::Forbidden => (StatusCode::FORBIDDEN, None),
            SubmitCode::IdConflict => (StatusCode::CONFLICT, None),
            SubmitCode::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, None),
            code if code.retry() => (StatusCode::SERVICE_UNAVAILABLE, Some(5)),
            _ => (StatusCode::BAD_REQUEST, None),
        };
        let refused = Self::new(status, error.code.as_str(), error.message.clone());
        Self { hint: error.hint, retry_after_s: retry, ..refused }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = serde_json::json!({
            "type": format!("urn:intelmesh:problem:{}", self.code.replace('_', "-")),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
            "code": self.code,
        });
        if let Some(hint) = self.hint {
            body["hint"] = hint.into();
        }
        if let Some(oldest) = self.oldest {
            body["oldest"] = oldest.into();
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
