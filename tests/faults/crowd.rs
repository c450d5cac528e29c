//! As many connections as descriptors allow, between two processes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream as Client};
use std::time::{Duration, Instant};

use evenloop::net::TcpListener;
use evenloop::{block_on, spawn_isolated};
use rustix::process::{Resource, getrlimit};
use socket2::{Domain, SockRef, Socket, Type};

use crate::rig::{
    Dice, MS, Other, bounded, cpu_of_thread, figure, is_other, pick, quantile, resident, tell,
};

/// Echoes in a partition for each connection, until the first one ends; on that one each byte is
/// answered with the processor time so far and the memory in use.
fn serve() {
    block_on(async {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        // By default 128 connections may wait to be accepted; of more than those the first packet
        // is dropped, and the next comes a second later.
        SockRef::from(&listener).listen(4096).unwrap();
        tell("port", listener.local_addr().unwrap().port());
        let (control, _) = listener.accept().await.unwrap();
        spawn_isolated(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                spawn_isolated(async move {
                    let mut buf = [0; 64];
                    while let Ok(read @ 1..) = stream.read(&mut buf).await {
                        stream.write_all(&buf[..read]).await.unwrap();
                    }
                });
            }
        });
        let mut ask = [0];
        while let Ok(1) = control.read(&mut ask).await {
            let cpu = cpu_of_thread().as_nanos() as u64;
            control.write_all(&cpu.to_le_bytes()).await.unwrap();
            control.write_all(&resident().to_le_bytes()).await.unwrap();
        }
    });
}

/// Connects from one of two addresses, as one has not enough ports.
fn connect(from: u8, port: u16) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0)).into()).unwrap();
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).unwrap();
    Client::from(socket)
}

fn ask(control: &mut Client) -> (Duration, u64) {
    let mut answer = [[0; 8]; 2];
    control.write_all(b"?").unwrap();
    for part in &mut answer {
        control.read_exact(part).unwrap();
    }
    let [cpu, memory] = answer.map(u64::from_le_bytes);
    (Duration::from_nanos(cpu), memory)
}

/// All of a crowd are accepted, cost nothing while they are silent, and are answered when they ask.
#[test]
fn a_crowd_of_connections() {
    const NAME: &str = "crowd::a_crowd_of_connections";
    if is_other(NAME) {
        return bounded(serve);
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) as usize;
    let crowd = pick(2_000, 19_900).min(limit.saturating_sub(100));
    let mut server = Other::start(NAME);
    let port = server.number("port") as u16;
    let mut control = connect(2, port);
    let before = ask(&mut control).1;
    let begin = Instant::now();
    let mut clients: Vec<_> = (0..crowd).map(|i| connect(2 + (i % 2) as u8, port)).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(60_000 * MS)).unwrap();
        client.write_all(b"!").unwrap();
    }
    for client in &mut clients {
        client.read_exact(&mut [0]).unwrap();
    }
    let took = begin.elapsed();
    let (cpu, memory) = ask(&mut control);
    let idle = Instant::now();
    std::thread::sleep(pick(1_000, 5_000) * MS);
    let (cpu_then, _) = ask(&mut control);
    let share = (cpu_then - cpu).as_secs_f64() / idle.elapsed().as_secs_f64() * 100.0;
    let mut dice = Dice::new(5);
    let mut waits: Vec<_> = (0..pick(2_000, 20_000))
        .map(|_| {
            let client = &mut clients[dice.below(crowd as u64) as usize];
            let asked = Instant::now();
            client.write_all(b"?").unwrap();
            client.read_exact(&mut [0]).unwrap();
            asked.elapsed()
        })
        .collect();
    waits.sort();
    let (half, most) = (quantile(&waits, 0.5), quantile(&waits, 0.99));
    let each = memory.saturating_sub(before) / crowd as u64;
    figure("13 crowd", format_args!("{crowd} connections accepted and answered in {took:?}"));
    figure("13 crowd", format_args!("{share:.2} % of a processor idle, {each} bytes each"));
    figure("13 crowd", format_args!("echo {half:?} at p50, {most:?} at p99"));
    assert!(share < 1.0, "idle connections cost {share} %");
    assert!(half < 50 * MS, "{half:?}");
    drop(control);
    server.ends_well();
}
