//! A file beside a vector of bytes and a cursor, for which the same is done.

use std::fs::File as StdFile;
use std::io::{self, SeekFrom};
use std::path::Path;

use evenloop::fs::File;
use futures::future::poll_immediate;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::{Dir, run};

/// One thing that is done with a file.
#[derive(Clone, Copy, Debug)]
enum Act {
    Read(usize),
    ReadExact(usize),
    ReadToEnd,
    /// A read that is dropped if it has to wait.
    GiveUpRead(usize),
    Write(usize),
    WriteAll(usize),
    Flush,
    Start(u64),
    Current(i64),
    End(i64),
    /// A seek that is dropped if it has to wait, and another one.
    GiveUpSeek(i64, u64),
    SetLen(u64),
    ReadAt(usize, u64),
    WriteAllAt(usize, u64),
    Metadata,
    SyncData,
    /// Goes on with a clone, which has the same cursor.
    Clone,
    /// Through `std` and back.
    Convert,
    /// Closed, not flushed, and opened anew.
    Reopen,
}

/// Beyond the pieces that are read ahead, so that several of them lie there.
const LEN_MAX: u64 = 700_000;

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![3 => 0..100_usize, 2 => 0..70_000_usize, 1 => 0..400_000_usize]
}

fn place() -> impl Strategy<Value = u64> {
    prop_oneof![0..100_u64, 0..LEN_MAX]
}

fn offset() -> impl Strategy<Value = i64> {
    prop_oneof![-100..100_i64, -(LEN_MAX as i64)..LEN_MAX as i64]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => len().prop_map(Act::Read),
        2 => len().prop_map(Act::ReadExact),
        1 => Just(Act::ReadToEnd),
        3 => len().prop_map(Act::GiveUpRead),
        4 => len().prop_map(Act::Write),
        2 => len().prop_map(Act::WriteAll),
        1 => Just(Act::Flush),
        3 => place().prop_map(Act::Start),
        2 => offset().prop_map(Act::Current),
        1 => offset().prop_map(Act::End),
        1 => (offset(), place()).prop_map(|(end, start)| Act::GiveUpSeek(end, start)),
        1 => place().prop_map(Act::SetLen),
        2 => (len(), place()).prop_map(|(len, at)| Act::ReadAt(len, at)),
        1 => (len(), place()).prop_map(|(len, at)| Act::WriteAllAt(len, at)),
        1 => Just(Act::Metadata),
        1 => Just(Act::SyncData),
        1 => Just(Act::Clone),
        1 => Just(Act::Convert),
        1 => Just(Act::Reopen),
    ]
}

/// What the file should be.
#[derive(Debug, Default)]
struct Model {
    bytes: Vec<u8>,
    cursor: u64,
    /// Bytes written so far, which are all different from their neighbours.
    written: usize,
}

impl Model {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.bytes.len().min(self.cursor as usize)..]
    }

    fn fresh(&mut self, len: usize) -> Vec<u8> {
        let first = self.written;
        self.written += len;
        (first..first + len).map(|n| (n % 251) as u8 + 1).collect()
    }

    fn write(&mut self, bytes: &[u8], at: u64) {
        let (start, end) = (at as usize, at as usize + bytes.len());
        if !bytes.is_empty() {
            self.bytes.resize(self.bytes.len().max(end), 0);
            self.bytes[start..end].copy_from_slice(bytes);
        }
    }

    fn write_here(&mut self, bytes: &[u8]) {
        self.write(bytes, self.cursor);
        self.cursor += bytes.len() as u64;
    }

    /// Takes what was read, which has to be what comes next.
    fn read(&mut self, read: &[u8]) {
        assert!(self.rest().starts_with(read), "{} bytes at {}", read.len(), self.cursor);
        self.cursor += read.len() as u64;
    }
}

fn open(path: &Path) -> io::Result<StdFile> {
    StdFile::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Does the acts, and asserts after each that the file is the model.
async fn follow(acts: &[Act], path: &Path, asks: bool) -> io::Result<()> {
    let mut model = Model::default();
    let mut file = File::from_std(open(path)?);
    let mut clones = Vec::new();
    if !asks {
        // Of a file that has a clone the kernel is never asked: the pool reads all of it.
        clones.push(file.try_clone().await?);
    }
    for &act in acts {
        match act {
            Act::Read(len) => {
                let mut buf = vec![0; len];
                let read = file.read(&mut buf).await?;
                assert_eq!(read == 0, len == 0 || model.rest().is_empty());
                model.read(&buf[..read]);
            }
            Act::ReadExact(len) => {
                let mut buf = vec![0; len.min(model.rest().len())];
                file.read_exact(&mut buf).await?;
                model.read(&buf);
            }
            Act::ReadToEnd => {
                let mut buf = vec![7];
                let read = file.read_to_end(&mut buf).await?;
                assert_eq!((read, buf[0], buf.len()), (model.rest().len(), 7, read + 1));
                model.read(&buf[1..]);
            }
            Act::GiveUpRead(len) => {
                let mut buf = vec![0; len];
                if let Some(read) = poll_immediate(file.read(&mut buf)).await {
                    model.read(&buf[..read?]);
                }
            }
            Act::Write(len) => {
                let bytes = model.fresh(len);
                let written = file.write(&bytes).await?;
                assert_eq!(written == 0, len == 0);
                model.write_here(&bytes[..written]);
            }
            Act::WriteAll(len) => {
                let bytes = model.fresh(len);
                file.write_all(&bytes).await?;
                model.write_here(&bytes);
            }
            Act::Flush => {
                file.flush().await?;
                assert!(std::fs::read(path)? == model.bytes);
            }
            Act::Start(at) => model.cursor = file.seek(SeekFrom::Start(at)).await?,
            Act::Current(by) => {
                let to = model.cursor as i64 + by;
                let sought = file.seek(SeekFrom::Current(by)).await;
                model.expect(sought, to);
            }
            Act::End(by) => {
                let to = model.bytes.len() as i64 + by;
                let sought = file.seek(SeekFrom::End(by)).await;
                model.expect(sought, to);
            }
            Act::GiveUpSeek(end, start) => {
                let _ = poll_immediate(file.seek(SeekFrom::End(end))).await;
                model.cursor = file.seek(SeekFrom::Start(start)).await?;
                assert_eq!(model.cursor, start);
            }
            Act::SetLen(len) => {
                file.set_len(len).await?;
                model.bytes.resize(len as usize, 0);
                assert!(std::fs::read(path)? == model.bytes);
            }
            Act::ReadAt(len, at) => {
                let mut buf = vec![0; len];
                let read = file.read_at(&mut buf, at).await?;
                let rest = &model.bytes[model.bytes.len().min(at as usize)..];
                assert_eq!(read == 0, len == 0 || rest.is_empty());
                assert!(rest.starts_with(&buf[..read]));
            }
            Act::WriteAllAt(len, at) => {
                let bytes = model.fresh(len);
                file.write_all_at(&bytes, at).await?;
                model.write(&bytes, at);
            }
            Act::Metadata => {
                assert_eq!(file.metadata().await?.len(), model.bytes.len() as u64);
            }
            Act::SyncData => {
                file.sync_data().await?;
                assert!(std::fs::read(path)? == model.bytes);
            }
            Act::Clone => {
                let clone = file.try_clone().await?;
                clones.push(std::mem::replace(&mut file, clone));
            }
            Act::Convert => file = File::from_std(file.into_std().await?),
            Act::Reopen => {
                clones.clear();
                drop(file);
                reopened(path, &model).await;
                file = File::from_std(open(path)?);
                model.cursor = 0;
            }
        }
        if !matches!(act, Act::GiveUpRead(_) | Act::Read(_) | Act::Write(_)) {
            assert_eq!(file.stream_position().await?, model.cursor, "after {act:?}");
        }
    }
    file.flush().await?;
    assert!(std::fs::read(path)? == model.bytes);
    Ok(())
}

/// Waits until what was written before a file was dropped is there.
async fn reopened(path: &Path, model: &Model) {
    for _ in 0..10_000 {
        if std::fs::read(path).unwrap() == model.bytes {
            return;
        }
        evenloop::time::sleep(evenloop::time::Duration::from_millis(1)).await;
    }
    panic!("what was written before the file was dropped is not there");
}

impl Model {
    /// Takes where a seek has led, which has to be `to`.
    fn expect(&mut self, sought: io::Result<u64>, to: i64) {
        match (sought, u64::try_from(to)) {
            (Ok(at), Ok(to)) => {
                assert_eq!(at, to);
                self.cursor = at;
            }
            (Err(error), Err(_)) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput),
            (sought, _) => panic!("a seek to {to} led to {sought:?}"),
        }
    }
}

/// Whatever is done with it, a file is a vector with a cursor.
#[test]
fn a_file_is_a_vector() {
    follows_the_model(true);
}

/// The same where the kernel cannot be asked without waiting, so that all is read ahead by the pool.
#[test]
fn a_file_that_is_read_ahead_is_a_vector() {
    follows_the_model(false);
}

fn follows_the_model(asks: bool) {
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let acts = prop::collection::vec(act(), 1..60);
    let outcome = TestRunner::new(config).run(&acts, |acts| {
        let dir = Dir::new();
        let path = dir.join("file");
        run(move || async move { follow(&acts, &path, asks).await });
        drop(dir);
        Ok(())
    });
    outcome.unwrap();
}

/// Pieces of a file that is read ahead come in order, whatever sizes are asked for, and a write in
/// the middle goes where the stream is.
#[test]
fn reading_ahead_and_writing_take_turns() {
    run(|| async {
        let dir = Dir::new();
        let path = dir.join("file");
        let whole = crate::bytes(5 << 20);
        std::fs::write(&path, &whole)?;
        let mut file = File::from_std(open(&path)?);
        let _clone = file.try_clone().await?;
        let (mut at, mut buf) = (0, vec![0; 1 << 20]);
        let mut expected = whole.clone();
        for n in 1.. {
            let len = n * 7_919 % (1 << 20) + 1;
            let read = file.read(&mut buf[..len]).await?;
            assert!(expected[at..].starts_with(&buf[..read]));
            at += read;
            if read == 0 {
                break;
            }
            if n % 5 == 0 && at + 3 <= expected.len() {
                file.write_all(b"...").await?;
                expected[at..at + 3].copy_from_slice(b"...");
                at += 3;
            }
        }
        assert_eq!(at, whole.len());
        file.flush().await?;
        assert!(std::fs::read(&path)? == expected);
        Ok(())
    });
}
