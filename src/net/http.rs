//! Where HTTP requests belong: told by method, host and path, for connections and for requests.
//!
//! [`Routes`] says it of the first bytes of a connection, which are peeked, so that a connection is
//! served in the right partition from its first handle on; and of each request that has been
//! parsed, since the next one on a kept-alive connection may be of another kind.
//!
//! # Request by request
//!
//! In the service, ask [`Routes::of`] and move, in one of two ways:
//!
//! - `switch_to(routes.of(..)).await` moves the task of the connection for good. It stays where the
//!   last request was served, and waits for the next in that partition's turns: right if a
//!   connection mostly goes on as it began.
//! - `within(routes.of(..), answer).await` moves it for one request. Between requests it is where it
//!   was spawned: in a partition of its own for connections, say, in which no request is ever served,
//!   the next request is read without regard to how busy those are. Two moves a request.
//!
//! Protocols with many requests at a time on one connection (HTTP/2) spawn each instead:
//! `routes.of(..).spawn(answer).await`, since a move would take all of them along.
//!
//! ```
//! use evenloop::net::http::Routes;
//! use evenloop::net::{TcpListener, TcpStream};
//! use evenloop::{Partition, switch_to};
//! use http_body_util::{BodyExt, Empty, Full};
//! use hyper::body::{Bytes, Incoming};
//! use hyper::service::service_fn;
//! use hyper::{Request, Response, client, server};
//! use std::rc::Rc;
//!
//! # evenloop::block_on(async {
//! # let listener = TcpListener::bind("127.0.0.1:0").await?;
//! # let addr = listener.local_addr()?;
//! let routes = Rc::new(
//!     Routes::otherwise(Partition::named("bulk")).path("/health", Partition::named("health")),
//! );
//! evenloop::spawn(async move {
//!     let (stream, _) = listener.accept().await?;
//!     let service = service_fn(move |request: Request<Incoming>| {
//!         let routes = routes.clone();
//!         async move {
//!             let host = request.headers().get("host").map(|host| host.as_bytes());
//!             let partition =
//!                 routes.of(request.method().as_str(), &request.uri().to_string(), host);
//!             switch_to(partition).await;
//!             let whose = Partition::current().name();
//!             Ok::<_, std::io::Error>(Response::new(Full::<Bytes>::from(whose)))
//!         }
//!     });
//!     let http = server::conn::http1::Builder::new();
//!     http.serve_connection(stream, service).await.map_err(std::io::Error::other)
//! });
//!
//! let stream = TcpStream::connect(addr).await?;
//! let (mut http, connection) = client::conn::http1::handshake(stream).await?;
//! evenloop::spawn(connection);
//! for (path, whose) in [("/report", "bulk"), ("/health", "health"), ("/report", "bulk")] {
//!     let request = Request::get(path).body(Empty::<Bytes>::new())?;
//!     let answer = http.send_request(request).await?.into_body().collect().await?;
//!     assert_eq!(answer.to_bytes(), whose);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod request;

use request::{Part, Start};

/// Where requests belong: the first rule that applies decides.
///
/// Rules apply in the order in which they were added. What they name is up to you: a partition, a
/// name, a number. Asking allocates nothing and takes O(rules) and the length of what is looked at.
///
/// Paths are compared as they are sent, octet by octet: nothing is decoded, and `..` is not
/// resolved. So where a partition is a matter of fairness this says enough; whether a request is
/// allowed is for the service to decide.
///
/// # Examples
///
/// ```
/// use evenloop::net::http::Routes;
///
/// let routes = Routes::otherwise("bulk").path("/health", "health").host("a.example", "tenant a");
///
/// // By what has arrived so far; as soon as it is known.
/// assert_eq!(routes.tell(b"GET /hea"), None);
/// assert_eq!(routes.tell(b"GET /health HTTP/1.1\r\n"), Some(&"health"));
/// assert_eq!(routes.tell(b"GET / HTTP/1.1\r\nHost: A.Example:80\r\n"), Some(&"tenant a"));
/// assert_eq!(routes.tell(b"\x16\x03\x01\x02"), Some(&"bulk"));
///
/// // By a request.
/// assert_eq!(routes.of("GET", "/health?verbose", None), &"health");
/// assert_eq!(routes.of("GET", "/", Some(b"a.example")), &"tenant a");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it tells nothing by itself; ask `tell` or `of`"]
pub struct Routes<R> {
    rules: Vec<(Rule, R)>,
    otherwise: R,
    max_bytes: usize,
}

#[derive(Clone, Debug)]
enum Rule {
    Method(Box<str>),
    Path(Box<str>),
    Host(Box<str>),
    Http2,
}

/// Enough for the request lines and hosts there are; beyond it no host is waited for.
const MAX_BYTES: usize = 4 << 10;

impl<R> Routes<R> {
    /// Begins with where everything belongs that no rule applies to: garbage, TLS and requests
    /// without end as well.
    pub fn otherwise(otherwise: R) -> Self {
        Self { rules: Vec::new(), otherwise, max_bytes: MAX_BYTES }
    }

    /// Adds a rule for a path and all below it: `/health` is for `/health`, `/health?verbose` and
    /// `/health/db`, but not for `/healthy`. `/` is for all paths.
    ///
    /// # Panics
    ///
    /// If it does not begin with a slash.
    #[track_caller]
    pub fn path(self, path: &str, belongs: R) -> Self {
        assert!(path.starts_with('/'), "no path is ever `{path}`; begin it with a slash");
        let path = path.trim_end_matches('/');
        self.rule(Rule::Path(path.into()), belongs)
    }

    /// Adds a rule for a host, without a port: `a.example`, `192.0.2.1`, `[::1]`. Case, port and a
    /// dot at the end of what is asked for make no difference.
    ///
    /// # Panics
    ///
    /// If there is a port in it, or nothing.
    #[track_caller]
    pub fn host(self, host: &str, belongs: R) -> Self {
        let bare = request::bare_host(host.as_bytes());
        assert!(
            !host.is_empty() && bare == host.trim_end_matches('.').as_bytes(),
            "`{host}` is no host that can be asked for; give it without a port"
        );
        self.rule(Rule::Host(host.trim_end_matches('.').into()), belongs)
    }

    /// Adds a rule for a method, in the case it is written in: `POST`.
    pub fn method(self, method: &str, belongs: R) -> Self {
        self.rule(Rule::Method(method.into()), belongs)
    }

    /// Adds a rule for connections that begin with the preface of HTTP/2, whose requests cannot be
    /// told by their first bytes. Requests never are what it applies to.
    pub fn http2(self, belongs: R) -> Self {
        self.rule(Rule::Http2, belongs)
    }

    /// Sets by how many bytes [`tell`](Self::tell) knows at the latest; 4 KiB if it is not set. A
    /// host that comes after them is not found.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    fn rule(mut self, rule: Rule, belongs: R) -> Self {
        self.rules.push((rule, belongs));
        self
    }

    /// Says where a connection belongs by its first bytes, or `None` if that takes more of them.
    ///
    /// It is known as soon as one rule applies and none before it can: with rules for paths alone,
    /// that is when the request line is there. Of several `Host`s the first counts, and that of an
    /// absolute target before all of them.
    ///
    /// This is what a [`TcpStream::classify`](crate::net::TcpStream::classify) or an
    /// [`Acceptor`](crate::net::Acceptor) asks for; give those at least as many `max_bytes` as
    /// here, or connections that send more than that before their host are not told.
    pub fn tell(&self, start: &[u8]) -> Option<&R> {
        let full = start.len() >= self.max_bytes;
        let start = Start::of(&start[..start.len().min(self.max_bytes)], full);
        for (rule, belongs) in &self.rules {
            let applies = match rule {
                Rule::Method(method) => start.method.map(|sent| sent == method.as_bytes()),
                Rule::Path(path) => start.target.map(|target| is_below(target, path)),
                Rule::Host(host) => start.host.map(|sent| is_host(sent, host)),
                Rule::Http2 => start.http2,
            };
            match applies {
                Part::Is(true) => return Some(belongs),
                Part::Is(false) | Part::None => {}
                Part::ToCome => return None,
            }
        }
        // What is certain to be garbage or needs no more; else some rule waits for more.
        Some(&self.otherwise)
    }

    /// Says where a request belongs, by what a parser made of it: the method, the target as it was
    /// sent (a path, with or without a query, or a whole URI), and the value of `Host`, if there
    /// is one. For HTTP/2, `:path` and `:authority`.
    pub fn of(&self, method: &str, target: &str, host: Option<&[u8]>) -> &R {
        let (authority, path) = request::parts(method.as_bytes(), target.as_bytes());
        let host = authority.or(host);
        let applies = |rule: &Rule| match rule {
            Rule::Method(rule) => &**rule == method,
            Rule::Path(rule) => is_below(path, rule),
            Rule::Host(rule) => host.is_some_and(|host| is_host(host, rule)),
            Rule::Http2 => false,
        };
        let found = self.rules.iter().find(|(rule, _)| applies(rule));
        found.map_or(&self.otherwise, |(_, belongs)| belongs)
    }
}

/// Says whether `target` is `path`, which has no slash at its end, or something below it.
fn is_below(target: &[u8], path: &str) -> bool {
    let Some(rest) = target.strip_prefix(path.as_bytes()) else { return false };
    match rest.first() {
        // An empty `path` is that of `/`, and an empty target is no path.
        None => !target.is_empty(),
        Some(next) => matches!(next, b'/' | b'?' | b'#'),
    }
}

fn is_host(sent: &[u8], host: &str) -> bool {
    request::bare_host(sent).eq_ignore_ascii_case(host.as_bytes())
}

#[cfg(test)]
mod tests;
