//! The start of an HTTP request, as far as it has arrived.

/// A part of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<T> {
    Is(T),
    /// The request has none.
    None,
    /// More bytes will tell.
    ToCome,
}

impl<T> Part<T> {
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Part<U> {
        match self {
            Self::Is(value) => Part::Is(f(value)),
            Self::None => Part::None,
            Self::ToCome => Part::ToCome,
        }
    }
}

/// What is known of a connection by its first bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Start<'a> {
    pub(super) method: Part<&'a [u8]>,
    /// The path and the query.
    pub(super) target: Part<&'a [u8]>,
    /// As it was sent, with a port perhaps.
    pub(super) host: Part<&'a [u8]>,
    pub(super) http2: Part<bool>,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No method that is known is half as long.
const METHOD_MAX: usize = 32;

impl<'a> Start<'a> {
    /// Nothing of it is a request.
    const GARBAGE: Self =
        Self { method: Part::None, target: Part::None, host: Part::None, http2: Part::Is(false) };

    /// Looks at what has arrived; `full` says that there will be no more.
    pub(super) fn of(bytes: &'a [u8], full: bool) -> Self {
        // Said of what is not there yet.
        let to_come = |http2| match full {
            true => Self::GARBAGE,
            false => Self { method: Part::ToCome, target: Part::ToCome, host: Part::ToCome, http2 },
        };
        if bytes.starts_with(PREFACE) {
            return Self { http2: Part::Is(true), ..Self::GARBAGE };
        }
        if PREFACE.starts_with(bytes) {
            return to_come(Part::ToCome);
        }
        // A server passes over empty lines that a client sent after an earlier body.
        let bytes = &bytes[bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count()..];
        let method_len = bytes.iter().take_while(|byte| is_token(**byte)).count();
        if method_len > METHOD_MAX {
            return Self::GARBAGE;
        }
        let method = match bytes.get(method_len) {
            None => return to_come(Part::Is(false)),
            Some(b' ') if method_len > 0 => &bytes[..method_len],
            Some(_) => return Self::GARBAGE,
        };
        let known = Self { method: Part::Is(method), ..to_come(Part::Is(false)) };
        // The method has been told by now, if what follows came later, and so it stays.
        let garbage = Self { method: Part::Is(method), ..Self::GARBAGE };
        let rest = &bytes[method_len + 1..];
        let Some((line, headers)) = split_line(rest) else {
            // Nothing but what can be seen is in a target or a version.
            let readable = rest.iter().all(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\r');
            return if readable { known } else { garbage };
        };
        let Some(target) = target_of(line) else { return garbage };
        let (authority, path) = parts(method, target);
        let host = match authority {
            Some(authority) => Part::Is(authority),
            None => match (find_host(headers), full) {
                (Part::ToCome, true) => Part::None,
                (host, _) => host,
            },
        };
        Self { target: Part::Is(path), host, ..known }
    }
}

/// Takes a line off, without its end.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let line = &bytes[..end];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &bytes[end + 1..]))
}

/// Takes the target out of a request line whose method is off already.
fn target_of(line: &[u8]) -> Option<&[u8]> {
    let space = line.iter().position(|&byte| byte == b' ')?;
    let (target, version) = (&line[..space], &line[space + 1..]);
    // All of the line, as it is asked of the part of it that has come.
    let clean = line.iter().all(|byte| *byte >= b' ' && *byte != 0x7f);
    (!target.is_empty() && clean && version.starts_with(b"HTTP/1.")).then_some(target)
}

/// Parts a target in the host, if it has one, and the path with its query.
pub(super) fn parts<'a>(method: &[u8], target: &'a [u8]) -> (Option<&'a [u8]>, &'a [u8]) {
    if method == b"CONNECT" {
        return (Some(target), b"");
    }
    if target.starts_with(b"/") || target == b"*" {
        return (None, target);
    }
    let Some(scheme) = target.windows(3).position(|three| three == b"://") else {
        return (None, target);
    };
    let rest = &target[scheme + 3..];
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    let path = &rest[end..];
    (Some(&rest[..end]), if path.is_empty() { b"/" } else { path })
}

/// Finds the first `Host` among header lines.
fn find_host(mut headers: &[u8]) -> Part<&[u8]> {
    loop {
        let Some((line, rest)) = split_line(headers) else { return Part::ToCome };
        if line.is_empty() {
            return Part::None;
        }
        if let Some(colon) = line.iter().position(|&byte| byte == b':') {
            if line[..colon].eq_ignore_ascii_case(b"host") {
                return Part::Is(line[colon + 1..].trim_ascii());
            }
        }
        headers = rest;
    }
}

/// Takes off what does not tell hosts apart: user, port, and the dot at the end.
pub(super) fn bare_host(host: &[u8]) -> &[u8] {
    let host = host.iter().rposition(|&byte| byte == b'@').map_or(host, |at| &host[at + 1..]);
    let end = match host.first() {
        Some(b'[') => host.iter().position(|&byte| byte == b']').map(|end| end + 1),
        _ => host.iter().position(|&byte| byte == b':'),
    };
    let host = &host[..end.unwrap_or(host.len())];
    host.strip_suffix(b".").unwrap_or(host)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
