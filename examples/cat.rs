//! Prints files as one stream, as `cat` does, while the loop does something else as well.
//!
//! ```text
//!   file ──► pieces of 64 KiB ──► standard output      partition "files"
//!   beat, beat, beat …                                 ROOT
//! ```
//!
//! `cargo run --release --example cat -- Cargo.toml README.md`; without names it reads itself.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::rc::Rc;

use evenloop::fs::{self, File};
use evenloop::{spawn, spawn_in, yield_now};

/// Prints a file; returns how many bytes it has.
async fn cat(path: PathBuf) -> io::Result<u64> {
    let mut file = File::open(&path).await?;
    let mut buf = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buf).await?;
        if read == 0 {
            return Ok(bytes);
        }
        bytes += read as u64;
        io::stdout().write_all(&buf[..read])?;
    }
}

fn main() -> io::Result<()> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths.push(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file!()));
    }
    evenloop::block_on(async {
        let beats = Rc::new(Cell::new(0_u64));
        let counted = beats.clone();
        let heart = spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yield_now().await;
            }
        });
        for path in paths {
            let len = fs::metadata(&path).await?.len();
            let bytes = spawn_in("files", cat(path.clone())).await.map_err(io::Error::other)??;
            assert_eq!(bytes, len, "{} was read as it is", path.display());
        }
        heart.abort();
        eprintln!("the loop ran {} other handles meanwhile", beats.get());
        Ok(())
    })
}
