use super::*;

fn routes() -> Routes<&'static str> {
    Routes::otherwise("bulk")
        .path("/health", "health")
        .method("PURGE", "admin")
        .host("a.example", "a")
        .host("[::1]", "six")
        .http2("two")
}

/// What is asked for, in one piece.
fn whole(request: &str) -> &'static str {
    routes().tell(request.as_bytes()).copied().expect("enough to know by")
}

/// A path is for itself and what is below it, and for nothing that only begins like it.
#[test]
fn paths() {
    for target in ["/health", "/health?x=1", "/health/", "/health/db", "/health#x"] {
        assert_eq!(whole(&format!("GET {target} HTTP/1.1\r\n")), "health", "{target}");
        assert_eq!(routes().of("GET", target, None), &"health", "{target}");
    }
    for target in ["/healthy", "/heal", "/", "/Health", "/x/health", "*", "health"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: b\r\n\r\n");
        assert_eq!(whole(&request), "bulk", "{target}");
        assert_eq!(routes().of("GET", target, Some(b"b")), &"bulk", "{target}");
    }
    let all = Routes::otherwise("none").path("/", "all");
    assert_eq!(all.of("GET", "/", None), &"all");
    assert_eq!(all.of("GET", "/x", None), &"all");
    assert_eq!(all.of("GET", "/?x", None), &"all");
    assert_eq!(all.of("OPTIONS", "*", None), &"none");
}

/// Hosts are told in any case, with or without a port, in a header or in the target.
#[test]
fn hosts() {
    for host in ["a.example", "A.EXAMPLE", "a.example:8080", "a.example.", " a.example \t"] {
        let request = format!("GET / HTTP/1.1\r\nAccept: */*\r\nhOsT:{host}\r\n");
        assert_eq!(whole(&request), "a", "{host}");
        assert_eq!(routes().of("GET", "/", Some(host.trim().as_bytes())), &"a", "{host}");
    }
    for host in ["b.a.example", "a.example.com", "a", "", ":80", "[::2]:80"] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(whole(&request), "bulk", "{host}");
    }
    assert_eq!(whole("GET / HTTP/1.1\r\nHost: [::1]:8080\r\n"), "six");
    assert_eq!(whole("CONNECT a.example:443 HTTP/1.1\r\n"), "a");
    assert_eq!(whole("GET http://u@a.example:80/x HTTP/1.1\r\nHost: b\r\n\r\n"), "a");
    assert_eq!(whole("GET http://b/health HTTP/1.1\r\nHost: a.example\r\n\r\n"), "health");
    assert_eq!(whole("GET http://b HTTP/1.1\r\nHost: a.example\r\n\r\n"), "bulk");
    assert_eq!(routes().of("GET", "http://A.example", Some(b"b")), &"a");
    assert_eq!(whole("GET / HTTP/1.1\r\nHost: b\r\nHost: a.example\r\n\r\n"), "bulk");
}

/// The first rule that applies decides, whichever is known first.
#[test]
fn rules_in_order() {
    let routes = Routes::otherwise("bulk").host("a", "host").path("/x", "path");
    assert_eq!(routes.tell(b"GET /x HTTP/1.1\r\n"), None);
    assert_eq!(routes.tell(b"GET /x HTTP/1.1\r\nHost: a\r\n"), Some(&"host"));
    assert_eq!(routes.tell(b"GET /x HTTP/1.1\r\nHost: b\r\n"), Some(&"path"));
    assert_eq!(routes.tell(b"GET /x HTTP/1.1\r\n\r\n"), Some(&"path"));
    assert_eq!(whole("PURGE / HTTP/1.1\r\n"), "admin");
    assert_eq!(whole("purge / HTTP/1.1\r\n\r\n"), "bulk");
}

/// However a request is cut, it is told the same, once; and never differently before.
#[test]
fn pieces_tell_the_same() {
    let requests: [(&[u8], &str); 9] = [
        (b"GET /health HTTP/1.1\r\nHost: a.example\r\n\r\n", "health"),
        (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "a"),
        (b"\r\n\r\nGET / HTTP/1.0\nhost: a.example\n\n", "a"),
        (b"PRINT / HTTP/1.1\r\nHost: a.example\r\n\r\n", "a"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04", "two"),
        (b"PRI * HTTP/2.0\r\n\r\nSX\r\n\r\n", "bulk"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "bulk"),
        (b"GET /\r\n\r\n", "bulk"),
        (b"GET / HTTP/1.1\r\n\r\n", "bulk"),
    ];
    for (request, expected) in requests {
        let routes = routes();
        let told: Vec<_> =
            (0..=request.len()).filter_map(|len| routes.tell(&request[..len])).collect();
        assert!(!told.is_empty(), "{}", request.escape_ascii());
        assert!(told.iter().all(|told| **told == expected), "{}: {told:?}", request.escape_ascii());
        let first = (0..).find(|&len| routes.tell(&request[..len]).is_some()).expect("told");
        assert_eq!(told.len(), request.len() - first + 1, "{}", request.escape_ascii());
    }
}

/// Garbage is known by its first byte that no request has, and by its length.
#[test]
fn garbage_does_not_wait() {
    let long_method = [b'A'; 33];
    let garbage: [&[u8]; 7] =
        [b"\0", b"\x16", b" ", b"GET\t", b"GET /\0", b"GET / HTTP/3\r\n", &long_method];
    for garbage in garbage {
        assert_eq!(routes().tell(garbage), Some(&"bulk"), "{}", garbage.escape_ascii());
    }
    let mut request = b"GET /".to_vec();
    request.resize(4095, b'x');
    assert_eq!(routes().tell(&request), None);
    request.push(b'x');
    assert_eq!(routes().tell(&request), Some(&"bulk"));
    assert_eq!(routes().max_bytes(5).tell(b"\r\n\r\n\r\n"), Some(&"bulk"));
    assert_eq!(routes().max_bytes(25).tell(b"GET / HTTP/1.1\r\nHost: a.e"), Some(&"bulk"));
}

/// Whatever comes, it is told by the greatest length, and nothing panics or is told differently
/// when more of it comes.
#[test]
fn any_bytes_are_told() {
    use proptest::prelude::*;
    let pieces: [&'static [u8]; 14] = [
        b"GET ",
        b"/health",
        b" HTTP/1.1\r\n",
        b"Host: ",
        b"a.example",
        b"\r\n",
        b"\n",
        b":",
        b"[",
        b"@",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"http://",
        b" ",
        b"\xff",
    ];
    let pieces = prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..12);
    proptest!(|(pieces in pieces)| {
        let bytes = pieces.concat();
        let routes = routes().max_bytes(bytes.len());
        prop_assert!(routes.tell(&bytes).is_some());
        let mut told = None;
        for len in 0..bytes.len() {
            let now = routes.tell(&bytes[..len]);
            prop_assert!(told.is_none() || now == told, "{} {told:?} {now:?}", bytes.escape_ascii());
            told = now;
        }
    });
}

/// Rules that could never apply are refused.
#[test]
fn rules_that_never_apply() {
    let refused = |make: fn() -> Routes<u8>| std::panic::catch_unwind(make).is_err();
    assert!(refused(|| Routes::otherwise(0).path("health", 1)));
    assert!(refused(|| Routes::otherwise(0).host("a.example:80", 1)));
    assert!(refused(|| Routes::otherwise(0).host("", 1)));
}

/// What was told by a part of the bytes is told by all of them, however they were cut.
#[test]
fn what_is_told_stays_true() {
    let routes = Routes::otherwise("bulk").method("GET", "get").path("/x", "path");
    for bytes in ["GET ", "GET  HTTP/1.1\r\n", "GET \0", "GET /\r\n", "GET / HTTP/2.0\r\n"] {
        assert_eq!(routes.tell(bytes.as_bytes()), Some(&"get"), "{bytes:?}");
    }
    let routes = routes.host("a.example", "a");
    for end in ["", "\r\n", "\r\nHost: a.example\r\n\r\n"] {
        let bytes = format!("POST / HTTP/1.0\x02{end}");
        assert_eq!(routes.tell(bytes.as_bytes()), Some(&"bulk"), "{bytes:?}");
    }
}
