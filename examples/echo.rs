//! A TCP echo server and its clients, on one loop.
//!
//! ```text
//!   "clients"                        "server"
//!   client 0 ── hello from 0 ──────► accept ── spawn ─┐
//!            ◄───────── the same ─── echo ◄───────────┘  inherits "server"
//!   client 1 …
//! ```
//!
//! `cargo run --example echo` prints this:
//!
//! ```text
//! 10 clients sent 1000 messages and got each of them back
//! ```

use std::io;
use std::net::SocketAddr;

use evenloop::net::{TcpListener, TcpStream};

const CLIENTS: usize = 10;
const MESSAGES: usize = 100;

fn main() -> io::Result<()> {
    evenloop::block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let server = listener.local_addr()?;
        let serving = evenloop::spawn_in("server", serve(listener));

        let clients: Vec<_> =
            (0..CLIENTS).map(|i| evenloop::spawn_in("clients", client(server, i))).collect();
        let mut echoed = 0;
        for client in clients {
            echoed += client.await.expect("a client does not panic")?;
        }
        serving.abort();
        println!("{CLIENTS} clients sent {echoed} messages and got each of them back");
        Ok(())
    })
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        evenloop::spawn(echo(stream));
    }
}

/// Sends back what it gets, until the peer hangs up.
async fn echo(stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; 1024];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            len => stream.write_all(&buf[..len]).await?,
        }
    }
}

/// Sends its messages one by one and returns how many came back unharmed.
async fn client(server: SocketAddr, i: usize) -> io::Result<usize> {
    let stream = TcpStream::connect(server).await?;
    let message = format!("hello from {i}");
    let mut back = vec![0; message.len()];
    for _ in 0..MESSAGES {
        stream.write_all(message.as_bytes()).await?;
        stream.read_exact(&mut back).await?;
        assert_eq!(back, message.as_bytes(), "the server sends back what it got");
    }
    Ok(MESSAGES)
}
