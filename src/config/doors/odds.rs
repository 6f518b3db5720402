//! Doors that get in each other's way although each is right by itself: two on one port, two that take from one queue,
//! one that hands its events to another door of this node. It connects to nothing: it compares only the text of the
//! file.

use std::net::{IpAddr, SocketAddr};

use crate::config::problem::ConfigFault;
use crate::door::{ConsumerSettings, ConsumerTarget, RedisQueue, SubmitSettings, SubmitSource, TcpTarget};

/// A door and the line of its section.
pub(super) type Placed<T> = (usize, T);

/// Returns the conflicts, each with the line of the later door. `listen` are the node's own addresses.
pub(super) fn at_odds(
    submits: &[Placed<SubmitSettings>],
    consumers: &[Placed<ConsumerSettings>],
    listen: &[String],
) -> Vec<(usize, ConfigFault)> {
    let mut found = Vec::new();
    for (index, (line, door)) in submits.iter().enumerate() {
        if let SubmitSource::IntelmqTcp(place) = &door.from
            && listen.iter().any(|address| takes_port(address, place.listen))
        {
            let (what, hint) =
                ("listens on the port that `listen` gives to peers", "give the door a port of its own");
            found.push((
                *line,
                ConfigFault::AtOdds { door: door.name.to_string(), what: what.to_owned(), hint },
            ));
        }
        if let Some((_, other)) = submits[..index].iter().find(|(_, other)| share(&door.from, &other.from)) {
            let (verb, hint) = match door.from {
                SubmitSource::IntelmqTcp(_) => ("listens on the port of", "give one of them another port"),
                _ => ("takes from the queue of", "a queue has one reader: give one of them another queue"),
            };
            let what = format!("{verb} door {}", other.name);
            found.push((*line, ConfigFault::AtOdds { door: door.name.to_string(), what, hint }));
        }
    }
    for (line, door) in consumers {
        if let Some((_, submit)) = submits.iter().find(|(_, submit)| sends_back(door, &submit.from)) {
            let what = format!("sends back to the server what door {} reads there", submit.name);
            let hint = "leave out what came from there: filter = 'meta.format != \"idea\"', or own = false";
            found.push((*line, ConfigFault::AtOdds { door: door.name.to_string(), what, hint }));
        }
        let back =
            submits.iter().find(|(_, submit)| !submit.adds.republish && returns(&door.to, &submit.from));
        if let Some((_, submit)) = back {
            let what = format!("hands its events to door {} of this node", submit.name);
            let hint =
                "they would be taken back, and no bot would get them: give one of them another queue or port";
            found.push((*line, ConfigFault::AtOdds { door: door.name.to_string(), what, hint }));
        }
    }
    found
}

fn share(one: &SubmitSource, other: &SubmitSource) -> bool {
    match (one, other) {
        (SubmitSource::IntelmqTcp(one), SubmitSource::IntelmqTcp(other)) => collide(one.listen, other.listen),
        (SubmitSource::IntelmqRedis(one), SubmitSource::IntelmqRedis(other)) => is_same_queue(one, other),
        (SubmitSource::Spool(one), SubmitSource::Spool(other)) => one.dir == other.dir,
        _ => false,
    }
}

/// Returns whether events that go out there come in here again.
fn returns(out: &ConsumerTarget, back: &SubmitSource) -> bool {
    match (out, back) {
        (ConsumerTarget::IntelmqTcp(TcpTarget { connect, .. }), SubmitSource::IntelmqTcp(place)) => {
            let Some((host, port)) = connect.rsplit_once(':') else { return false };
            let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
            let here = host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback());
            let same = ip == Some(place.listen.ip())
                || (here && (place.listen.ip().is_loopback() || is_any(place.listen)));
            port.parse() == Ok(place.listen.port()) && same
        }
        (ConsumerTarget::IntelmqRedis { queue: out, .. }, SubmitSource::IntelmqRedis(back)) => {
            is_same_queue(out, back)
        }
        (ConsumerTarget::Spool(out), SubmitSource::Spool(back)) => out.dir == back.dir,
        _ => false,
    }
}

/// Returns whether messages of a server go back to it: this node published them.
fn sends_back(out: &ConsumerSettings, back: &SubmitSource) -> bool {
    match (&out.to, back) {
        (ConsumerTarget::Warden(to), SubmitSource::Warden(from)) => {
            out.own && out.filter.is_none() && to.url == from.server.url
        }
        _ => false,
    }
}

fn is_any(address: SocketAddr) -> bool {
    address.ip().is_unspecified()
}

/// Returns whether only one of both can be listened on.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port() && one.port() != 0 && (one.ip() == other.ip() || is_any(one) || is_any(other))
}

/// Returns whether the node listens to peers at the address of this door.
fn takes_port(address: &str, door: SocketAddr) -> bool {
    let mut parts = address.split('/').skip(1);
    let (Some("ip4" | "ip6"), Some(ip), Some("tcp"), Some(port)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let (Ok(ip), Ok(port)) = (ip.parse(), port.parse()) else { return false };
    collide(SocketAddr::new(ip, port), door)
}

fn is_same_queue(one: &RedisQueue, other: &RedisQueue) -> bool {
    one.queue == other.queue && server_of(&one.url) == server_of(&other.url)
}

/// Which server and database an URL names, without who logs in.
fn server_of(url: &str) -> String {
    let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    if scheme.contains("unix") {
        let db = query.split('&').find_map(|part| part.strip_prefix("db=")).unwrap_or("0");
        return format!("unix:{} {db}", place.trim_start_matches("//"));
    }
    let place = place.trim_start_matches('/').split('#').next().unwrap_or_default();
    let (server, db) = place.split_once('/').unwrap_or((place, ""));
    let server = server.rsplit_once('@').map_or(server, |(_, server)| server).to_ascii_lowercase();
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (&*server, "6379"),
    };
    let host = if matches!(host, "localhost" | "[::1]") { "127.0.0.1" } else { host };
    format!("{host}:{port} {}", if db.is_empty() { "0" } else { db })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::NodeConfig;

    fn problems(doors: &str) -> Vec<String> {
        let text = format!("name = \"cert-at\"\n{doors}");
        match NodeConfig::parse(Path::new("d"), &text) {
            Ok(_) => Vec::new(),
            Err(errors) => {
                errors.0.iter().map(|problem| format!("{problem} ({})", problem.hint().is_some())).collect()
            }
        }
    }

    fn tcp(listen: &str) -> String {
        format!("[[submit]]\nfrom = \"intelmq-tcp\"\nlisten = \"{listen}\"\nallow = [\"192.0.2.0/24\"]\n")
    }

    fn take(url: &str, queue: &str) -> String {
        format!("[[submit]]\nfrom = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"{queue}\"\n")
    }

    fn push(url: &str, queue: &str) -> String {
        format!(
            "[[consumer]]\nname = \"out\"\nto = \"intelmq-redis\"\nurl = \"{url}\"\nqueue = \"{queue}\"\n"
        )
    }

    fn connect(to: &str) -> String {
        format!("[[consumer]]\nname = \"out\"\nto = \"intelmq-tcp\"\nconnect = \"{to}\"\n")
    }

    #[test]
    fn doors_at_odds_are_named_with_the_later_line() {
        let here = "redis://127.0.0.1:6379/2";
        for (doors, want) in [
            (
                tcp("127.0.0.1:5000") + &tcp("127.0.0.1:5000"),
                "intelmesh.toml:6: door intelmq-tcp-2 listens on the port of door intelmq-tcp (true)",
            ),
            (
                tcp("0.0.0.0:5000") + &tcp("127.0.0.1:5000"),
                "intelmesh.toml:6: door intelmq-tcp-2 listens on the port of door intelmq-tcp (true)",
            ),
            (
                tcp("127.0.0.1:4801"),
                "intelmesh.toml:2: door intelmq-tcp listens on the port that `listen` gives to peers (true)",
            ),
            (
                take(here, "q") + &take("redis://:secret@localhost/2", "q"),
                "intelmesh.toml:6: door intelmq-redis-2 takes from the queue of door intelmq-redis (true)",
            ),
            (
                take("unix:///run/r.sock?db=2", "q") + &push("redis+unix:///run/r.sock?pass=x&db=2", "q"),
                "intelmesh.toml:6: door out hands its events to door intelmq-redis of this node (true)",
            ),
            (
                push(here, "q") + &take(here, "q"),
                "intelmesh.toml:2: door out hands its events to door intelmq-redis of this node (true)",
            ),
            (
                tcp("127.0.0.1:5000") + &connect("localhost:5000"),
                "intelmesh.toml:6: door out hands its events to door intelmq-tcp of this node (true)",
            ),
        ] {
            assert_eq!(problems(&doors), [want], "{doors}");
        }
    }

    #[test]
    fn doors_that_share_nothing_are_let_be() {
        let here = "redis://127.0.0.1:6379/2";
        for doors in [
            tcp("127.0.0.1:5000") + &tcp("127.0.0.2:5000") + &connect("127.0.0.1:5001") + &take(here, "q"),
            take(here, "q") + &push(here, "r") + &take("redis://127.0.0.1:6379/3", "q"),
            take(here, "q") + &take("redis://127.0.0.1:6380/2", "q"),
            take(here, "q") + "republish = true\n" + &push(here, "q"),
            connect("192.0.2.1:5000") + &tcp("127.0.0.1:5000"),
        ] {
            assert_eq!(problems(&doors), Vec::<String>::new(), "{doors}");
        }
    }
}
