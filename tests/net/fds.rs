//! File descriptors: other people's, closed ones, and numbers used again.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::task::Poll;

use evenloop::net::{AsyncFd, Direction, TcpListener, TcpStream};
use evenloop::{spawn, spawn_in};
use rustix::event::{EventfdFlags, eventfd};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::{in_child, pair, run, settle};

fn read(fd: &impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, buf)?)
}

fn write(fd: &impl AsFd, buf: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(fd, buf)?)
}

/// A pipe carries what is put in, with a writer who has to wait, and its end is seen.
#[test]
fn pipe() {
    run(async {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
        let reader = AsyncFd::one_way(reader, Direction::Read)?;
        let writer = AsyncFd::one_way(writer, Direction::Write)?;
        let sent: Vec<u8> = (0..500_000_u32).map(|i| (i % 251) as u8).collect();
        let writing = spawn_in("writer", {
            let sent = sent.clone();
            async move {
                let mut rest = &sent[..];
                while !rest.is_empty() {
                    let written = writer.async_io(Direction::Write, |fd| write(fd, rest)).await?;
                    rest = &rest[written..];
                }
                io::Result::Ok(())
            }
        });
        let mut got = Vec::new();
        let mut buf = [0; 7_000];
        loop {
            let read = reader.async_io(Direction::Read, |fd| read(fd, &mut buf)).await?;
            if read == 0 {
                break;
            }
            got.extend_from_slice(&buf[..read]);
        }
        assert!(got == sent, "bytes were changed");
        writing.await.unwrap()
    });
}

/// Readiness that was cleared comes back with the next event, and only then.
#[test]
fn eventfd_guard() {
    run(async {
        let fd = AsyncFd::new(eventfd(0, EventfdFlags::CLOEXEC)?)?;
        let ticks = 5;
        for _ in 0..ticks {
            assert!(fd.try_io(Direction::Read, |fd| read(fd, &mut [0; 8])).is_err());
            write(&fd, &1_u64.to_ne_bytes())?;
            loop {
                let ready = fd.readable().await?;
                match ready.try_io(|fd| read(fd, &mut [0; 8])) {
                    Ok(read) => break assert_eq!(read, 8),
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
            }
            // What was readable is so until somebody finds that it is not.
            fd.readable().await?.clear();
            let again = futures_lite::future::poll_once(fd.readable()).await;
            assert!(again.is_none(), "cleared readiness came back by itself");
        }
        let ready = poll_fn(|cx| fd.poll_ready(Direction::Write, cx)).await?;
        assert!(std::ptr::eq(ready.get_ref(), &fd));
        Ok(())
    });
}

/// All tasks that wait for an fd are woken, however they wait.
#[test]
fn all_waiters_wake() {
    run(async {
        let (near, mut far) = StdUnixStream::pair()?;
        let fd = Rc::new(AsyncFd::new(near)?);
        let woken = Rc::new(Cell::new(0));
        let mut waiters = Vec::new();
        for i in 0..6 {
            let (fd, woken) = (fd.clone(), woken.clone());
            waiters.push(spawn_in(format!("waiter {}", i % 3), async move {
                let _ = fd.readable().await?;
                woken.set(woken.get() + 1);
                io::Result::Ok(())
            }));
        }
        let (polled, seen) = (fd.clone(), woken.clone());
        waiters.push(spawn(async move {
            let _ = poll_fn(|cx| polled.poll_ready(Direction::Read, cx)).await?;
            seen.set(seen.get() + 1);
            io::Result::Ok(())
        }));
        settle().await;
        assert_eq!(woken.get(), 0);
        far.write_all(b"x")?;
        for waiter in waiters {
            waiter.await.unwrap()?;
        }
        assert_eq!(woken.get(), 7);
        Ok(())
    });
}

/// The same fd twice is an error that gives the fd back, and harms nobody.
#[test]
fn registered_twice() {
    run(async {
        let (near, mut far) = StdUnixStream::pair()?;
        let near = Rc::new(near);
        let first = AsyncFd::new(near.clone())?;
        let error = AsyncFd::try_new(near.clone()).unwrap_err();
        assert!(error.is_already_registered());
        let (inner, cause) = error.into_parts();
        assert!(Rc::ptr_eq(&inner, &near));
        assert_eq!(cause.kind(), io::ErrorKind::AlreadyExists);
        far.write_all(b"x")?;
        let mut buf = [0; 8];
        assert_eq!(first.async_io(Direction::Read, |fd| (&mut &**fd).read(&mut buf)).await?, 1);
        // Off the loop and on again is fine.
        let again = AsyncFd::new(first.into_inner())?;
        far.write_all(b"y")?;
        assert_eq!(again.async_io(Direction::Read, |fd| (&mut &**fd).read(&mut buf)).await?, 1);
        Ok(())
    });
}

/// A file that cannot be polled is refused with an error.
#[test]
fn regular_file_is_refused() {
    run(async {
        let file = std::fs::File::open(std::env::current_exe()?)?;
        let error = AsyncFd::try_new(file).unwrap_err();
        assert!(!error.is_already_registered());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::PermissionDenied);
        Ok(())
    });
}

/// An fd that would block is made not to.
#[test]
fn blocking_fd_is_made_non_blocking() {
    run(async {
        let (near, far) = StdUnixStream::pair()?;
        let fd = AsyncFd::new(near)?;
        let error = fd.get_ref().read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        drop(far);
        Ok(())
    });
}

/// Duplicates are sources of their own: each gets its events, and the end of one is not the end
/// of the other.
#[test]
fn duplicates() {
    run(async {
        let (near, mut far) = StdUnixStream::pair()?;
        let copy = AsyncFd::new(near.try_clone()?)?;
        let near = AsyncFd::new(near)?;
        far.write_all(b"ab")?;
        let _ = near.readable().await?;
        let _ = copy.readable().await?;
        let mut byte = [0];
        assert_eq!(near.async_io(Direction::Read, |mut fd| fd.read(&mut byte)).await?, 1);
        drop(near);
        assert_eq!(copy.async_io(Direction::Read, |mut fd| fd.read(&mut byte)).await?, 1);
        copy.readable().await?.clear();
        far.write_all(b"c")?;
        assert_eq!(copy.async_io(Direction::Read, |mut fd| fd.read(&mut byte)).await?, 1);
        assert_eq!(&byte, b"c");
        Ok(())
    });
}

/// An fd replaced behind our back is deregistered without harm to the loop or to its successor.
#[test]
fn replaced_behind_our_back() {
    run(async {
        for _ in 0..50 {
            let (near, _far) = StdUnixStream::pair()?;
            let mut fd = AsyncFd::new(OwnedFd::from(near))?;
            let (other, mut peer) = StdUnixStream::pair()?;
            rustix::io::dup2(&other, fd.get_mut())?;
            drop(fd);
            let other = AsyncFd::new(other)?;
            peer.write_all(b"x")?;
            let mut byte = [0];
            assert_eq!(other.async_io(Direction::Read, |mut fd| fd.read(&mut byte)).await?, 1);
        }
        Ok(())
    });
}

/// An fd that is closed before its registration is dropped, ten thousand times, leaves neither a
/// registration nor a descriptor. In a process of its own, as descriptors are everybody's.
#[test]
#[cfg(target_os = "linux")]
fn closed_before_it_is_deregistered() {
    in_child("fds::closed_before_it_is_deregistered", || {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        run(async {
            let (spare, mut far) = StdUnixStream::pair()?;
            // With what the loop makes for its first timer.
            settle().await;
            let before = count();
            for round in 0..10_000_u32 {
                // What is registered keeps its partition alive.
                spawn_in("short-lived", {
                    let spare = OwnedFd::from(spare.try_clone()?);
                    async move {
                        let (near, _far) = StdUnixStream::pair().unwrap();
                        let mut fd = AsyncFd::new(OwnedFd::from(near)).unwrap();
                        if round % 2 == 0 {
                            assert!(futures::poll!(std::pin::pin!(fd.readable())).is_pending());
                        }
                        // Closes the one that is registered.
                        drop(std::mem::replace(fd.get_mut(), spare));
                        drop(fd);
                    }
                })
                .await
                .unwrap();
            }
            settle().await;
            assert_eq!(evenloop::Handle::current().partitions().len(), 1);
            assert_eq!(count(), before);
            // The loop watches on.
            let spare = AsyncFd::new(spare)?;
            far.write_all(b"x")?;
            assert_eq!(spare.async_io(Direction::Read, |mut fd| fd.read(&mut [0])).await?, 1);
            Ok(())
        });
    });
}

/// Taking a socket off the loop and putting it back loses nothing.
#[test]
fn to_std_and_back() {
    run(async {
        let (near, far) = pair().await?;
        far.write_all(b"unread").await?;
        let near = near.into_std()?;
        let near = TcpStream::from_std(near)?;
        let mut got = [0; 6];
        near.read_exact(&mut got).await?;
        assert_eq!(&got, b"unread");
        let listener = TcpListener::from_std(std::net::TcpListener::bind("127.0.0.1:0")?)?;
        let client = std::net::TcpStream::connect(listener.local_addr()?)?;
        let client = TcpStream::from_std(client)?;
        let (server, _) = listener.accept().await?;
        client.write_all(b"x").await?;
        assert_eq!(server.read(&mut got).await?, 1);
        drop(listener.into_std()?);
        Ok(())
    });
}

/// An fd's number is used again at once, while the old socket is still being dropped by another
/// thread: the new one gets its own events and no others.
#[test]
fn number_used_again() {
    run(async {
        let (to_drop, dropping) = std::sync::mpsc::channel::<(TcpStream, TcpStream)>();
        let dropper = std::thread::spawn(move || dropping.into_iter().for_each(drop));
        for _ in 0..300 {
            let (near, far) = pair().await?;
            near.write_all(b"never read").await?;
            to_drop.send((near, far)).unwrap();
            let (near, far) = pair().await?;
            let mut buf = [0; 8];
            assert_eq!(far.try_read(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            near.write_all(b"fresh").await?;
            let mut got = [0; 5];
            far.read_exact(&mut got).await?;
            assert_eq!(&got, b"fresh");
        }
        drop(to_drop);
        dropper.join().unwrap();
        Ok(())
    });
}

/// Two sources are ready in one harvest; whoever is served first drops the other and registers a
/// new one in its place, which sees nothing of the old one's event.
#[test]
fn stale_event_of_one_batch() {
    run(async {
        for _ in 0..100 {
            let (a, mut peer_a) = StdUnixStream::pair()?;
            let (b, mut peer_b) = StdUnixStream::pair()?;
            let slots = Rc::new(RefCell::new([Some(AsyncFd::new(a)?), Some(AsyncFd::new(b)?)]));
            let tasks: Vec<_> = [0, 1]
                .map(|own| {
                    let slots = slots.clone();
                    spawn(async move {
                        poll_fn(|cx| match &slots.borrow()[own] {
                            Some(fd) => fd.poll_ready(Direction::Read, cx).map_ok(drop),
                            None => Poll::Ready(Ok(())),
                        })
                        .await?;
                        let Some(other) = slots.borrow_mut()[1 - own].take() else {
                            return Ok(());
                        };
                        drop(other);
                        let (fresh, mut peer) = StdUnixStream::pair()?;
                        let fresh = AsyncFd::new(fresh)?;
                        settle().await;
                        let stale = futures_lite::future::poll_once(fresh.readable()).await;
                        assert!(stale.is_none(), "an event of the source before it");
                        peer.write_all(b"x")?;
                        let _ = fresh.readable().await?;
                        // Wakes the other task, whose source is gone.
                        slots.borrow_mut()[1 - own] = None;
                        io::Result::Ok(())
                    })
                })
                .into_iter()
                .collect();
            evenloop::yield_now().await;
            peer_a.write_all(b"x")?;
            peer_b.write_all(b"x")?;
            futures::future::select_all(tasks).await.0.unwrap()?;
        }
        Ok(())
    });
}

/// Runtimes, sockets and registrations come and go, and every descriptor is given back. In a
/// process of its own, as descriptors are everybody's.
#[test]
#[cfg(target_os = "linux")]
fn descriptors_are_given_back() {
    in_child("fds::descriptors_are_given_back", || {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let round = || {
            run(async {
                let kept = pair().await?;
                let (listener, isolated) = (TcpListener::bind("127.0.0.1:0").await?, "isolated");
                let partition = evenloop::Partition::builder(isolated).isolated_io(true).build();
                let reader = spawn_in(&partition, async move { kept.0.read(&mut [0; 8]).await });
                let pending = spawn(async move { listener.accept().await.map(drop) });
                settle().await;
                kept.1.write_all(b"x").await?;
                reader.await.unwrap()?;
                assert!(!pending.is_finished());
                Ok(())
            });
        };
        round();
        let before = count();
        for _ in 0..50 {
            round();
        }
        assert_eq!(count(), before);
    });
}
