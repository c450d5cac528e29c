//! Connection floods: an echo service and its clients, over the sockets of the runtime.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker, ready};
use std::time::Duration;

use fastrand::Rng;

use super::host::{Presence, Stage};
use super::{Actor, Cost, Kind};
use crate::net::{TcpListener, TcpStream};
use crate::runtime::{spawn, spawn_in};
use crate::sim::spend;
use crate::time::sleep;

/// One flood, as its tasks know it.
#[derive(Clone, Copy)]
struct Flood {
    clients: u32,
    over: Duration,
    bytes: usize,
    cost: Cost,
    rounds: Option<u32>,
}

impl Stage {
    /// Starts the copies of an actor that are floods.
    pub(super) fn open_floods(self: &Rc<Self>, home: &str, actor: &Actor) {
        let Kind::Flood { clients, over, bytes, cost } = *actor.kind() else { return };
        let flood = Flood { clients, over, bytes: bytes as usize, cost, rounds: actor.rounds };
        for _ in 0..actor.copies {
            let presence = self.enter(!actor.is_endless());
            let clients = format!("{home}/clients");
            spawn_in(home, async move { flood.serve(presence, clients).await });
        }
    }
}

/// The clients of a flood that are not done yet.
struct Crowd {
    left: Cell<u32>,
    doorman: RefCell<Option<Waker>>,
}

impl Crowd {
    fn leave(&self) {
        self.left.set(self.left.get() - 1);
        let doorman = if self.left.get() == 0 { self.doorman.take() } else { None };
        if let Some(waker) = doorman {
            waker.wake();
        }
    }
}

impl Flood {
    fn enter(&self, stage: &Rc<Stage>) -> Presence {
        stage.enter(self.rounds.is_some())
    }

    /// Opens the service, lets the clients in, and serves each in a task of its own until all are
    /// gone.
    async fn serve(self, presence: Presence, clients: String) {
        let stage = &presence.stage;
        let Ok(listener) = TcpListener::bind("127.0.0.1:0").await else {
            stage.count(|counts| counts.broken += u64::from(self.clients));
            return;
        };
        let addr = listener.local_addr().expect("a listener has an address");
        let crowd = Rc::new(Crowd { left: Cell::new(self.clients), doorman: RefCell::default() });
        for number in 0..self.clients {
            spawn_in(&clients, self.visit(self.enter(stage), crowd.clone(), addr, number));
        }
        while let Some(stream) = admit(&listener, &crowd).await {
            let presence = self.enter(stage);
            spawn(async move {
                // A request cut short is the client's to count.
                let _ = self.answer(&presence, &stream).await;
            });
        }
    }

    /// A client's life.
    async fn visit(self, presence: Presence, crowd: Rc<Crowd>, addr: SocketAddr, number: u32) {
        let pause = self.over * number / self.clients;
        if !pause.is_zero() {
            sleep(pause).await;
        }
        if self.ask(&presence.stage, addr, number).await.is_err() {
            presence.stage.count(|counts| counts.broken += 1);
        }
        crowd.leave();
    }

    /// Sends requests and compares the answers.
    async fn ask(&self, stage: &Rc<Stage>, addr: SocketAddr, number: u32) -> io::Result<()> {
        let stream = TcpStream::connect(addr).await?;
        stage.count(|counts| counts.connected += 1);
        let mut answer = vec![0; self.bytes];
        let mut round = 0;
        while self.rounds != Some(round) {
            let mut byte = number.wrapping_mul(31).wrapping_add(round);
            let mut next = || {
                byte = byte.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
                (byte >> 24) as u8
            };
            let request: Vec<u8> = (0..self.bytes).map(|_| next()).collect();
            stream.write_all(&request).await?;
            stage.count(|counts| counts.sent += request.len() as u64);
            stream.read_exact(&mut answer).await?;
            let wrong = request.iter().zip(&answer).filter(|(sent, got)| sent != got).count();
            stage.count(|counts| {
                counts.received += (request.len() - wrong) as u64;
                counts.garbled += wrong as u64;
            });
            round = round.wrapping_add(1);
        }
        Ok(())
    }

    /// Sends every request back, for what a request costs.
    async fn answer(&self, presence: &Presence, stream: &TcpStream) -> io::Result<()> {
        let mut random = Rng::with_seed(0);
        let mut request = vec![0; self.bytes];
        loop {
            stream.read_exact(&mut request).await?;
            let cost = self.cost.draw(&mut random);
            if !cost.is_zero() {
                spend(cost);
            }
            stream.write_all(&request).await?;
            presence.stage.count(|counts| counts.echoed += request.len() as u64);
        }
    }
}

/// Accepts a connection, unless the crowd is gone.
async fn admit(listener: &TcpListener, crowd: &Crowd) -> Option<TcpStream> {
    poll_fn(|cx| {
        if crowd.left.get() == 0 {
            return Poll::Ready(None);
        }
        let old = crowd.doorman.replace(Some(cx.waker().clone()));
        drop(old);
        match ready!(listener.poll_accept(cx)) {
            Ok((stream, _)) => Poll::Ready(Some(stream)),
            // Nobody can be let in any more.
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests;
