//! The leanest client there can be of a protocol whose answers come in order: one thread, one connection, one
//! buffer out and one in. What it takes of the processors is less than any library does.

#![expect(
    clippy::disallowed_methods,
    reason = "the thread that measures runs no node"
)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::load::{Load, Window};

/// Longest wait for a server that starts. Only a failure takes so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection, and what was read of it and not understood yet.
pub(crate) struct Pipeline {
    stream: TcpStream,
    out: Vec<u8>,
    input: Box<[u8]>,
    /// Bytes of `input` that are not understood yet.
    filled: usize,
}

/// More than any answer has.
const INPUT_BYTES: usize = 64 << 10;

/// What the beginning of some bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// More bytes must come.
    Part,
    /// So many bytes that answer nothing.
    Other(usize),
    /// So many bytes that answer the oldest record.
    Answer(usize),
}

impl Pipeline {
    /// Connects to a server that may still be starting.
    pub(crate) fn connect(host: &str) -> Self {
        let end = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(host) {
                Ok(stream) => break stream,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    assert!(Instant::now() < end, "{host} never listened");
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => panic!("{host}: {error}"),
            }
        };
        stream.set_nodelay(true).expect("a socket");
        Self {
            stream,
            out: Vec::new(),
            input: vec![0; INPUT_BYTES].into(),
            filled: 0,
        }
    }

    /// Sends, and reads until `is_whole` takes what came as the answer.
    pub(crate) fn ask(&mut self, request: &[u8], is_whole: impl Fn(&str) -> bool) {
        self.stream.write_all(request).expect("a server that reads");
        let mut answer = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&answer);
            assert!(!text.contains("-ERR"), "{text}");
            if is_whole(&text) {
                return;
            }
            let mut some = [0; 4_096];
            let len = self.stream.read(&mut some).expect("a server that answers");
            assert_ne!(len, 0, "a server that stays: {text}");
            answer.extend_from_slice(&some[..len]);
        }
    }

    /// Does a load: `write` makes a record's request, `read` understands what comes.
    pub(crate) fn run(
        &mut self,
        load: Load,
        mut write: impl FnMut(&mut Vec<u8>),
        mut read: impl FnMut(&[u8], &mut Vec<u8>) -> Next,
    ) -> Vec<u32> {
        let mut window = Window::new(load.shared());
        loop {
            while window.sends() {
                write(&mut self.out);
            }
            self.stream
                .write_all(&self.out)
                .expect("a server that reads");
            self.out.clear();
            if window.waiting() == 0 {
                return window.trips();
            }
            let more = self.stream.read(&mut self.input[self.filled..]);
            let more = more.expect("a server that answers");
            assert_ne!(more, 0, "a server that stays");
            self.filled += more;
            let mut at = 0;
            loop {
                match read(&self.input[at..self.filled], &mut self.out) {
                    Next::Part => break,
                    Next::Other(len) => at += len,
                    Next::Answer(len) => {
                        at += len;
                        window.heard();
                    }
                }
            }
            self.input.copy_within(at..self.filled, 0);
            self.filled -= at;
        }
    }
}

/// The first line and the bytes it takes with its end, if it is whole.
pub(crate) fn line(bytes: &[u8]) -> Option<(&str, usize)> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[..end]).expect("a line of text");
    Some((line, end + 2))
}
