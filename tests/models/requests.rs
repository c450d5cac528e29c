//! The first bytes of connections, as they arrive: what was told of a part stays true of the
//! whole, and is what is told of the request when it has been parsed.

use evenloop::net::http::Routes;

use super::program::words;

#[derive(Clone, Debug)]
pub(crate) struct Program {
    rules: Vec<Rule>,
    max_bytes: usize,
    sent: Sent,
}

#[derive(Clone, Copy, Debug)]
enum Rule {
    Path(&'static str),
    Host(&'static str),
    Method(&'static str),
    Http2,
}

#[derive(Clone, Debug)]
enum Sent {
    Bytes(Vec<u8>),
    Request { method: &'static str, target: String, hosts: Vec<String>, lines: Vec<String> },
}

const RULES: [Rule; 8] = [
    Rule::Path("/health"),
    Rule::Path("/"),
    Rule::Path("/a/b/"),
    Rule::Host("a.example"),
    Rule::Host("[::1]"),
    Rule::Method("GET"),
    Rule::Method("CONNECT"),
    Rule::Http2,
];

const METHODS: [&str; 6] = ["GET", "POST", "CONNECT", "OPTIONS", "PRI", "M-SEARCH"];

const TARGETS: [&str; 12] = [
    "/",
    "/health",
    "/health?x=1",
    "/healthy",
    "/a/b",
    "/a/b/c#d",
    "*",
    "http://a.example/health",
    "http://user@A.Example.:80?q",
    "a.example:443",
    "x",
    "://",
];

const HOSTS: [&str; 8] =
    ["a.example", "A.EXAMPLE:80", "a.example.", "b", "[::1]:8080", "[::1", "", "a@a.example"];

const LINES: [&str; 6] =
    ["Accept: */*", "X-Host: a.example", "Hos: a.example", ":", "no colon", "hosts:a.example"];

/// Pieces of which requests, and what only looks like one, are made.
const PIECES: [&str; 16] = [
    "GET ",
    "CONNECT ",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "PRI * HTTP/2",
    "/health",
    "/",
    "http://a.example",
    " HTTP/1.1\r\n",
    " HTTP/1.1\n",
    " HTTP/9",
    "Host: a.example\r\n",
    "hOsT:",
    "\r\n",
    "\n",
    "\r",
    " ",
];

pub(crate) fn decode(bytes: &[u8]) -> Program {
    let mut words = words(bytes);
    let [kind, first, second, max] = words.next().unwrap_or_default();
    let rule = |n: u8| RULES[usize::from(n) % RULES.len()];
    let rules = [first, first >> 3, second, second >> 3].map(rule);
    let rules = rules[..usize::from(kind >> 2) % 5].to_vec();
    // Few, so that the limit matters, or more than any of these.
    let max_bytes = if max < 128 { usize::from(max) } else { 1 << 16 };
    let sent = match kind % 4 {
        0 => Sent::Bytes(bytes.iter().skip(4).take(512).copied().collect()),
        1 => Sent::Bytes(words.take(40).flat_map(pieces).take(2_048).collect()),
        _ => request(words.next().unwrap_or_default(), words),
    };
    Program { rules, max_bytes, sent }
}

fn pieces([a, b, c, byte]: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in [a, b, c] {
        // Half of the time none.
        if let Some(piece) = PIECES.get(usize::from(piece) % 32) {
            bytes.extend_from_slice(piece.as_bytes());
        }
    }
    bytes.push(byte);
    bytes
}

fn request([method, target, more, _]: [u8; 4], words: impl Iterator<Item = [u8; 4]>) -> Sent {
    let mut target = TARGETS[usize::from(target) % TARGETS.len()].to_owned();
    target.push_str(&"x".repeat(usize::from(more) % 8));
    let (mut hosts, mut lines) = (Vec::new(), Vec::new());
    for [kind, which, ..] in words.take(6) {
        match kind % 2 {
            0 => hosts.push(HOSTS[usize::from(which) % HOSTS.len()].to_owned()),
            _ => lines.push(LINES[usize::from(which) % LINES.len()].to_owned()),
        }
    }
    Sent::Request { method: METHODS[usize::from(method) % METHODS.len()], target, hosts, lines }
}

pub(crate) fn run(program: &Program) {
    let mut routes = Routes::otherwise(usize::MAX).max_bytes(program.max_bytes);
    for (number, rule) in program.rules.iter().enumerate() {
        routes = match rule {
            Rule::Path(path) => routes.path(path, number),
            Rule::Host(host) => routes.host(host, number),
            Rule::Method(method) => routes.method(method, number),
            Rule::Http2 => routes.http2(number),
        };
    }
    match &program.sent {
        Sent::Bytes(bytes) => {
            arrive(&routes, bytes, program.max_bytes);
        }
        Sent::Request { method, target, hosts, lines } => {
            let (before, after) = lines.split_at(lines.len() / 2);
            let mut bytes = format!("{method} {target} HTTP/1.1\r\n");
            before.iter().for_each(|line| bytes.push_str(&format!("{line}\r\n")));
            hosts.iter().for_each(|host| bytes.push_str(&format!("Host: {host}\r\n")));
            after.iter().for_each(|line| bytes.push_str(&format!("{line}\r\n")));
            bytes.push_str("\r\n");
            let told = arrive(&routes, bytes.as_bytes(), program.max_bytes);
            if bytes.len() <= program.max_bytes {
                let parsed = routes.of(method, target, hosts.first().map(|host| host.as_bytes()));
                assert_eq!(told, Some(*parsed), "parsed, it is another's");
            }
        }
    }
}

/// Asks after each byte; returns what was told at last.
fn arrive(routes: &Routes<usize>, bytes: &[u8], max_bytes: usize) -> Option<usize> {
    let mut told = None;
    for len in 0..=bytes.len() {
        let now = routes.tell(&bytes[..len]).copied();
        assert!(told.is_none() || told == now, "{told:?} after fewer bytes, {now:?} after {len}");
        assert!(now.is_some() || len < max_bytes, "it is not known by {len} bytes");
        told = now;
    }
    told
}
