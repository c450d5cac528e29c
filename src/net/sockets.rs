//! What all sockets have in common, and what datagram sockets have.

/// The methods of every socket that is watched in its field `io`; `$std` is the type of `std`.
macro_rules! socket_methods {
    ($std:ty) => {
        /// Does `f` if the socket is ready for it, and notes if `f` says `WouldBlock`.
        ///
        /// For system calls this type does not have. `f` must do its operation on this socket and
        /// in this direction, and must not block.
        ///
        /// # Errors
        ///
        /// `WouldBlock`, without a call of `f`, if the socket is not ready; the error of `f`.
        pub fn try_io<R>(
            &self,
            direction: $crate::sched::Direction,
            f: impl FnOnce() -> std::io::Result<R>,
        ) -> std::io::Result<R> {
            self.io.registration().try_io(direction, f)
        }

        /// Does `f` as soon as the socket is ready for it, again while `f` says `WouldBlock`.
        ///
        /// For system calls this type does not have. `f` must do its operation on this socket and
        /// in this direction, and must not block.
        ///
        /// # Errors
        ///
        /// The error of `f`; the runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, no `f` has succeeded.
        pub async fn async_io<R>(
            &self,
            direction: $crate::sched::Direction,
            f: impl FnMut() -> std::io::Result<R>,
        ) -> std::io::Result<R> {
            self.io.registration().async_io(direction, f).await
        }

        /// Returns the pending error of the socket, if there is one, and clears it.
        ///
        /// # Errors
        ///
        /// What the system says.
        pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
            self.io.take_error()
        }

        /// Takes a socket of `std` and sets it to non-blocking.
        ///
        /// # Panics
        ///
        /// Outside a runtime.
        ///
        /// # Errors
        ///
        /// `AlreadyExists` if this very fd is on the loop already; else what the system says.
        #[track_caller]
        pub fn from_std(socket: $std) -> std::io::Result<Self> {
            socket.set_nonblocking(true)?;
            Self::watch($crate::net::socket::Socket::from_std(socket))
        }

        /// Takes the socket off the loop. It stays non-blocking.
        ///
        /// # Errors
        ///
        /// `Unsupported` if it is simulated: it is closed then.
        pub fn into_std(self) -> std::io::Result<$std> {
            self.io.into_inner().into_std()
        }
    };
}

/// The methods of datagram sockets, whose peers have addresses of type `$addr`.
macro_rules! datagram_methods {
    ($addr:ty) => {
        /// Returns the address of this side.
        ///
        /// # Errors
        ///
        /// What the system says.
        pub fn local_addr(&self) -> std::io::Result<$addr> {
            self.io.local_addr()
        }

        /// Returns the address of the peer it is connected to.
        ///
        /// # Errors
        ///
        /// `NotConnected` if there is none; else what the system says.
        pub fn peer_addr(&self) -> std::io::Result<$addr> {
            self.io.peer_addr()
        }

        /// Sends a datagram to the peer and returns how many bytes went.
        ///
        /// # Errors
        ///
        /// What the system says: that there is no peer, that an earlier datagram was refused, that
        /// it is too long. The runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it has sent nothing.
        pub async fn send(&self, buf: &[u8]) -> std::io::Result<usize> {
            let send = || self.io.send(buf);
            self.io.registration().async_io($crate::sched::Direction::Write, send).await
        }

        /// Polls until a datagram is sent to the peer; of several tasks that poll, the last is
        /// woken.
        ///
        /// # Errors
        ///
        /// As [`send`](Self::send).
        pub fn poll_send(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            let send = || self.io.send(buf);
            self.io.registration().poll_io($crate::sched::Direction::Write, cx, send)
        }

        /// Sends a datagram to the peer if that needs no waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if it does; else as [`send`](Self::send).
        pub fn try_send(&self, buf: &[u8]) -> std::io::Result<usize> {
            self.io.registration().try_io($crate::sched::Direction::Write, || self.io.send(buf))
        }

        /// Receives a datagram and returns its length.
        ///
        /// What does not fit in `buf` is thrown away by the system, or is an error.
        ///
        /// # Errors
        ///
        /// What the system says: that an earlier datagram was refused, for example. The runtime
        /// having shut down.
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it has received nothing.
        pub async fn recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            let recv = || self.io.recv(buf);
            self.io.registration().async_io($crate::sched::Direction::Read, recv).await
        }

        /// Polls for a datagram; of several tasks that poll, the last is woken.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_recv(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            let recv = || self.io.recv(buf);
            self.io.registration().poll_io($crate::sched::Direction::Read, cx, recv)
        }

        /// Receives a datagram if that needs no waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if it does; else as [`recv`](Self::recv).
        pub fn try_recv(&self, buf: &mut [u8]) -> std::io::Result<usize> {
            self.io.registration().try_io($crate::sched::Direction::Read, || self.io.recv(buf))
        }

        /// Receives a datagram and returns its length and sender.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        ///
        /// # Cancel safety
        ///
        /// Dropped before it is done, it has received nothing.
        pub async fn recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $addr)> {
            let recv = || self.io.recv_from(buf);
            self.io.registration().async_io($crate::sched::Direction::Read, recv).await
        }

        /// Polls for a datagram and its sender; of several tasks that poll, the last is woken.
        ///
        /// # Errors
        ///
        /// As [`recv`](Self::recv).
        pub fn poll_recv_from(
            &self,
            cx: &mut std::task::Context<'_>,
            buf: &mut [u8],
        ) -> std::task::Poll<std::io::Result<(usize, $addr)>> {
            let recv = || self.io.recv_from(buf);
            self.io.registration().poll_io($crate::sched::Direction::Read, cx, recv)
        }

        /// Receives a datagram and its sender if that needs no waiting.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if it does; else as [`recv`](Self::recv).
        pub fn try_recv_from(&self, buf: &mut [u8]) -> std::io::Result<(usize, $addr)> {
            let recv = || self.io.recv_from(buf);
            self.io.registration().try_io($crate::sched::Direction::Read, recv)
        }

        /// Waits until there is a datagram to receive, or an error to fetch.
        ///
        /// Now and then it is wrong, so the operation that follows may yet say `WouldBlock`.
        ///
        /// # Errors
        ///
        /// The runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn readable(&self) -> std::io::Result<()> {
            let registration = self.io.registration();
            registration.readiness($crate::sched::Direction::Read).await.map(drop)
        }

        /// Waits until there is room to send, or an error to fetch.
        ///
        /// Now and then it is wrong, so the operation that follows may yet say `WouldBlock`.
        ///
        /// # Errors
        ///
        /// The runtime having shut down.
        ///
        /// # Cancel safety
        ///
        /// Nothing is lost.
        pub async fn writable(&self) -> std::io::Result<()> {
            let registration = self.io.registration();
            registration.readiness($crate::sched::Direction::Write).await.map(drop)
        }
    };
}

pub(super) use {datagram_methods, socket_methods};
