//! Who asks.

use std::borrow::Cow;

/// What the tenants are known by: their numbers, below this.
pub(crate) const TENANTS: u32 = 50;
/// The header that says who asks, and how much of a request is looked at for it.
const HEADER: &str = "x-tenant";
pub(crate) const HEAD_MAX: usize = 1024;

/// Names the partition of who asks, as soon as the head of the request tells.
///
/// Strangers are one more tenant, all together: names that anyone can make up make no shares.
pub(crate) fn partition_of(head: &[u8]) -> Option<Cow<'static, str>> {
    let mut rest = head;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let line = &rest[..end];
        if let Some(value) = value_of(HEADER, line) {
            return Some(partition(value));
        }
        if line.is_empty() {
            return Some("strangers".into());
        }
        rest = &rest[end + 2..];
    }
    None
}

fn partition(number: &str) -> Cow<'static, str> {
    match number.parse::<u32>() {
        Ok(number @ 0..TENANTS) => format!("tenant {number}").into(),
        _ => "strangers".into(),
    }
}

/// Returns what a line says, if it is that of the header.
fn value_of<'a>(header: &str, line: &'a [u8]) -> Option<&'a str> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.eq_ignore_ascii_case(header).then(|| value.trim())
}
