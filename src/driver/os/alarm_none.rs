//! Sleeping as precisely as the poller itself can.

use std::time::Duration;

use mio::{Registry, Token};

/// Does nothing: the poller's own timeout has to do.
#[derive(Default)]
pub(super) struct Alarm;

impl Alarm {
    pub(super) fn set(&mut self, _: &Registry, _: Token, _: Option<Duration>) {}

    pub(super) fn rang(&mut self) {}
}
