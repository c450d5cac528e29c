//! Pollers inside the root poller, so that a crowd of ready fds is one event to everybody else.
//!
//! The root poller is edge-triggered: it announces a child when something new happens in it, and
//! stays silent about what was left over. So a child is remembered as ready until it gave fewer
//! events than it was asked for.
//!
//! | child | announced | drained, fewer than asked | drained, as many as asked |
//! |-------|-----------|---------------------------|---------------------------|
//! | quiet | ready     | -                         | -                         |
//! | ready | ready     | quiet                     | ready                     |

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token};
use slab::Slab;

use super::super::registry::{Count, Registry};
use super::{CAPACITY, CHILD_FIRST, CHILDREN_MAX, Readied, poll};

/// The isolated pollers of a driver.
#[derive(Default)]
pub(super) struct Isolated {
    children: Slab<Child>,
    /// The children that may hold events, each once.
    ready: Vec<usize>,
    /// Scratch space, made with the first child.
    events: Option<Events>,
}

struct Child {
    poll: Poll,
    registry: Arc<Registry>,
    /// Whether it may hold events, and so is in `Isolated::ready`.
    maybe_ready: bool,
}

impl Isolated {
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    pub(super) fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn registry(&self, index: usize) -> Option<&Arc<Registry>> {
        self.children.get(index).map(|child| &child.registry)
    }

    /// Makes a child of `root`, or none where that is not to be had.
    pub(super) fn add(
        &mut self,
        root: &mio::Registry,
        sources: &Count,
    ) -> io::Result<Option<usize>> {
        if !nest::POSSIBLE || self.children.len() >= CHILDREN_MAX {
            return Ok(None);
        }
        let poll = Poll::new()?;
        let registry = Arc::new(Registry::os(poll.registry().try_clone()?, sources.clone()));
        let slot = self.children.vacant_entry();
        let index = slot.key();
        nest::register(root, &poll, Token(CHILD_FIRST - index))?;
        slot.insert(Child { poll, registry, maybe_ready: false });
        self.events.get_or_insert_with(|| Events::with_capacity(CAPACITY));
        Ok(Some(index))
    }

    pub(super) fn remove(&mut self, index: usize, root: &mio::Registry) {
        if let Some(child) = self.children.try_remove(index) {
            self.ready.retain(|ready| *ready != index);
            // Registries out there keep the child's epoll instance open, so closing our fd alone
            // would leave it in the root poller.
            let _ = nest::deregister(root, &child.poll);
        }
    }

    /// Notes an event of the root poller if it is a child's; returns whether it is.
    pub(super) fn announce(&mut self, token: Token) -> bool {
        if token.0 <= CHILD_FIRST - CHILDREN_MAX || token.0 > CHILD_FIRST {
            return false;
        }
        let index = CHILD_FIRST - token.0;
        if let Some(child) = self.children.get_mut(index) {
            if !std::mem::replace(&mut child.maybe_ready, true) {
                self.ready.push(index);
            }
        }
        true
    }

    /// Takes events from each child that may have some, no more than one buffer from each: a
    /// crowd in one of them must not delay the others.
    pub(super) fn drain(&mut self, ready: &mut impl FnMut(Readied)) -> io::Result<usize> {
        let Some(events) = &mut self.events else { return Ok(0) };
        let mut count = 0;
        let mut at = 0;
        while let Some(&index) = self.ready.get(at) {
            let child = &mut self.children[index];
            let full = poll(&mut child.poll, events, Some(Duration::ZERO))?;
            for event in &*events {
                count += 1;
                ready(Readied::of(event));
            }
            if full {
                at += 1;
            } else {
                child.maybe_ready = false;
                self.ready.swap_remove(at);
            }
        }
        Ok(count)
    }
}

#[cfg(unix)]
mod nest {
    use std::io;
    use std::os::fd::AsRawFd;

    use mio::unix::SourceFd;
    use mio::{Interest, Poll, Registry, Token};

    pub(super) const POSSIBLE: bool = true;

    pub(super) fn register(root: &Registry, child: &Poll, token: Token) -> io::Result<()> {
        root.register(&mut SourceFd(&child.as_raw_fd()), token, Interest::READABLE)
    }

    pub(super) fn deregister(root: &Registry, child: &Poll) -> io::Result<()> {
        root.deregister(&mut SourceFd(&child.as_raw_fd()))
    }
}

#[cfg(not(unix))]
mod nest {
    use std::io;

    use mio::{Poll, Registry, Token};

    pub(super) const POSSIBLE: bool = false;

    pub(super) fn register(_: &Registry, _: &Poll, _: Token) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn deregister(_: &Registry, _: &Poll) -> io::Result<()> {
        Ok(())
    }
}
