//! A process that runs out of descriptors: those connected are served, and accepting resumes.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream as Client;
use std::time::{Duration, Instant};

use evenloop::net::{TcpListener, TcpStream};
use evenloop::{block_on, spawn_isolated};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::SockRef;

use crate::rig::{MS, Other, bounded, cpu_of_thread, figure, is_other, pick, tell};

const DESCRIPTORS: usize = 64;
const CLIENTS: usize = 200;

async fn echo(stream: TcpStream) {
    let mut buf = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut buf).await {
        if stream.write_all(&buf[..read]).await.is_err() {
            break;
        }
    }
}

/// Echoes, with few descriptors, until the first connection ends; on that one each byte is answered
/// with the processor time that the loop has taken so far.
fn serve() {
    let limit =
        Rlimit { current: Some(DESCRIPTORS as u64), maximum: getrlimit(Resource::Nofile).maximum };
    setrlimit(Resource::Nofile, limit).unwrap();
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // By default 128 connections may wait to be accepted, and no more.
        SockRef::from(&listener).listen(1024).unwrap();
        tell("port", listener.local_addr().unwrap().port());
        let (control, _) = listener.accept().await.unwrap();
        spawn_isolated(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("accepting never fails");
                spawn_isolated(echo(stream));
            }
        });
        let mut ask = [0];
        while let Ok(1) = control.read(&mut ask).await {
            let nanos = cpu_of_thread().as_nanos() as u64;
            control.write_all(&nanos.to_le_bytes()).await.unwrap();
        }
    });
}

fn cpu_of(control: &mut Client) -> Duration {
    let mut nanos = [0; 8];
    control.write_all(b"?").unwrap();
    control.read_exact(&mut nanos).unwrap();
    Duration::from_nanos(u64::from_le_bytes(nanos))
}

/// Takes those out of `clients` that have an answer.
fn answered(clients: &mut Vec<Client>) -> Vec<Client> {
    let has_answer = |mut client: &Client| match client.read(&mut [0; 8]) {
        Ok(read) => read > 0,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("a client was turned away: {error}"),
    };
    let mut out = Vec::new();
    for i in (0..clients.len()).rev() {
        if has_answer(&clients[i]) {
            out.push(clients.swap_remove(i));
        }
    }
    out
}

/// With 64 descriptors and 200 clients the loop rests, those connected are answered, and when some
/// go others are accepted within a second.
#[test]
fn out_of_descriptors() {
    const NAME: &str = "descriptors::out_of_descriptors";
    if is_other(NAME) {
        return bounded(serve);
    }
    let mut server = Other::start(NAME);
    let address = ("127.0.0.1", server.number("port") as u16);
    let mut control = Client::connect(address).unwrap();
    let mut waiting: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::connect(address).unwrap();
            client.write_all(b"x").unwrap();
            client.set_nonblocking(true).unwrap();
            client
        })
        .collect();
    let mut served = Vec::new();
    let patience = Instant::now() + 20_000 * MS;
    while served.len() < DESCRIPTORS / 2 {
        served.extend(answered(&mut waiting));
        assert!(Instant::now() < patience, "only {} of the first are served", served.len());
    }
    std::thread::sleep(200 * MS);
    served.extend(answered(&mut waiting));
    assert!(served.len() < DESCRIPTORS, "the limit holds");

    let window = pick(1_500, 5_000) * MS;
    let (begin, cpu) = (Instant::now(), cpu_of(&mut control));
    let mut slowest = Duration::ZERO;
    while begin.elapsed() < window {
        let client = &mut served[0];
        client.set_nonblocking(false).unwrap();
        client.set_read_timeout(Some(20_000 * MS)).unwrap();
        let asked = Instant::now();
        client.write_all(b"y").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 1);
        slowest = slowest.max(asked.elapsed());
        served.rotate_left(1);
        std::thread::sleep(20 * MS);
    }
    let share = (cpu_of(&mut control) - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
    figure("1 no descriptors", format_args!("{:.2} % of a processor", share * 100.0));
    figure("1 no descriptors", format_args!("slowest answer to those connected {slowest:?}"));
    assert!(share < 0.1, "the loop spins: {share}");

    let free = 20;
    served.truncate(served.len() - free);
    let (begin, mut came) = (Instant::now(), 0);
    while came < free {
        came += answered(&mut waiting).len();
        assert!(begin.elapsed() < 20_000 * MS, "accepting does not resume: {came}");
        std::thread::sleep(MS);
    }
    figure("1 no descriptors", format_args!("{free} more accepted after {:?}", begin.elapsed()));
    // Half a second is the longest pause; the rest is for the machine.
    assert!(begin.elapsed() < 3_000 * MS, "{:?}", begin.elapsed());
    drop(control);
    server.ends_well();
}
