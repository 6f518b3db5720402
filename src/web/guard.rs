//! What is asked of every request before any work is done for it: the size of its head, the host that it means, its token,
//! and a place among the requests of its client.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::WebState;
use super::consumer::PendingPosition;
use super::problem::Problem;
use crate::clock;
use crate::limits::{WEB_HEAD_BYTES_MAX, WEB_URI_BYTES_MAX};

/// Programs of this machine that watch the node need no token for it.
const HEALTH_PATH: &str = "/healthz";

/// One connection, as its requests see it.
#[derive(Clone)]
pub(super) struct ConnectionState {
    /// The address of this node that the client connected to.
    pub local: IpAddr,
    owed: Arc<Mutex<Option<PendingPosition>>>,
}

impl ConnectionState {
    pub(crate) fn new(local: IpAddr) -> Self {
        // A socket for both families shows addresses of IPv4 as mapped ones.
        Self { local: local.to_canonical(), owed: Arc::default() }
    }

    /// Notes a position that moves once the client has ended this connection in order.
    pub(crate) fn owe(&self, position: PendingPosition) {
        *self.owed.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
    }

    pub(crate) fn take_owed(&self) -> Option<PendingPosition> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The place of a request among those of its client, and its connection.
#[derive(Clone)]
pub(super) struct RequestPlace {
    pub connection: ConnectionState,
    _permit: Arc<OwnedSemaphorePermit>,
}

pub(super) async fn guard(State(web): State<Arc<WebState>>, mut request: Request, next: Next) -> Response {
    match admit(&web, &mut request) {
        // Most handlers let go of the request before they work for it.
        Ok(_place) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Returns the place that the request has until it is answered; a request about health alone needs none.
fn admit(web: &Arc<WebState>, request: &mut Request) -> Result<Option<RequestPlace>, Problem> {
    check_head(request)?;
    let connection = request.extensions().get::<ConnectionState>().cloned();
    let connection = connection.ok_or_else(|| Problem::bad("the connection has no address"))?;
    check_host(web, request, connection.local)?;
    if request.uri().path() == HEALTH_PATH && connection.local.is_loopback() {
        return Ok(None);
    }
    let token = bearer(request.headers()).ok_or_else(Problem::unauthorized)?;
    let client = web.clients.of_token(token, clock::now()).ok_or_else(Problem::unauthorized)?;
    let permit = client.activity.request().ok_or_else(|| {
        Problem::rate_limited(format!("too many requests of \"{}\" at a time", client.name), 1)
    })?;
    let place = RequestPlace { connection, _permit: Arc::new(permit) };
    request.extensions_mut().insert(place.clone());
    request.extensions_mut().insert(client);
    Ok(Some(place))
}

fn check_head(request: &Request) -> Result<(), Problem> {
    let uri = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri > WEB_URI_BYTES_MAX {
        let detail = format!("a path and query of {uri} bytes: expected at most {WEB_URI_BYTES_MAX}");
        return Err(Problem::new(StatusCode::URI_TOO_LONG, "too_large", detail));
    }
    let head: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if head > WEB_HEAD_BYTES_MAX {
        let detail = format!("{head} bytes of headers: expected at most {WEB_HEAD_BYTES_MAX}");
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", detail));
    }
    Ok(())
}

/// Refuses a request that means another host: a page of a stranger's site may lead a browser here (DNS rebinding).
fn check_host(web: &WebState, request: &Request, local: IpAddr) -> Result<(), Problem> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = given.next().and_then(|value| value.to_str().ok());
    let is_ours = |host: &str| {
        let authority: Option<Authority> = host.parse().ok();
        authority.is_some_and(|authority| web.hosts.has(authority.host(), local))
    };
    let in_uri = request.uri().authority().map(Authority::as_str);
    let ours = given.next().is_none() && host.is_some_and(is_ours) && in_uri.is_none_or(is_ours);
    if ours {
        return Ok(());
    }
    let detail = format!("host \"{:.80}\" is not this node's", host.unwrap_or_default());
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "bad_request", detail)
        .hint("use the address of listen, localhost, or a name of [web] names"))
}

/// The names by which requests may mean this node.
#[derive(Clone, Debug)]
pub(super) struct HostNames {
    pub listen: IpAddr,
    pub names: Vec<String>,
}

impl HostNames {
    fn has(&self, host: &str, local: IpAddr) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<IpAddr>() {
            Ok(address) => address == self.listen || address == local,
            Err(_) => {
                let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
                host == "localhost" || self.names.contains(&host)
            }
        }
    }
}

/// Returns the token of the request (RFC 6750).
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    let one = given.next().is_none() && scheme.eq_ignore_ascii_case("bearer");
    one.then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_hosts() {
        let names =
            HostNames { listen: "0.0.0.0".parse().unwrap(), names: vec!["hub.example.org".to_owned()] };
        let local = "192.0.2.1".parse().unwrap();
        for (host, want) in [
            ("192.0.2.1", true),
            ("localhost", true),
            ("LOCALHOST", true),
            ("hub.example.org.", true),
            ("Hub.Example.org", true),
            ("192.0.2.2", false),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("", false),
        ] {
            assert_eq!(names.has(host, local), want, "{host}");
        }
        assert!(names.has("[::1]", "::1".parse().unwrap()));
    }

    #[test]
    fn a_token_is_a_bearer_token_given_once() {
        let with = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, axum::http::HeaderValue::from_static(value));
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["Bearer t"]).as_deref(), Some("t"));
        assert_eq!(with(&["bearer  t "]).as_deref(), Some("t"));
        for wrong in [&["Basic t"][..], &["Bearer"], &["Bearer "], &["t"], &[], &["Bearer t", "Bearer t"]] {
            assert_eq!(with(wrong), None, "{wrong:?}");
        }
    }
}
