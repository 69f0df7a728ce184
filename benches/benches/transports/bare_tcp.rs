//! The floor: frames on a bare TCP connection. Each end is one loop that reads what is there, handles
//! it, and writes everything it has to say in one write.

use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trefoil_runtime_tokio::{Platform, Tokio};

use crate::measure::{Contender, Request, Window, Work, answer};
use crate::ours::on_threads;

const LENGTH_BYTES: usize = 4;
const READ_BYTES: usize = 64 << 10;

/// Adds a request with its length before it.
pub(crate) fn frame(request: Request, out: &mut BytesMut) {
    let (id, payload) = request.parts();
    out.reserve(LENGTH_BYTES + request.len);
    out.extend_from_slice(&(request.len as u32).to_le_bytes());
    out.extend_from_slice(&id);
    out.extend_from_slice(payload);
}

/// Adds the answer to a message with its length before it.
pub(crate) fn reply(message: &[u8], out: &mut BytesMut) {
    let answer = answer(message);
    out.reserve(LENGTH_BYTES + answer.len());
    out.extend_from_slice(&(answer.len() as u32).to_le_bytes());
    out.extend_from_slice(answer);
}

/// The first message of what was read, if it is whole.
pub(crate) fn first(read: &[u8]) -> Option<&[u8]> {
    let (len, rest) = read.split_first_chunk::<LENGTH_BYTES>()?;
    rest.get(..u32::from_le_bytes(*len) as usize)
}

/// Hands every whole message to `take`.
pub(crate) fn each(read: &mut BytesMut, mut take: impl FnMut(&[u8])) {
    let mut at = 0;
    while let Some(message) = first(&read[at..]) {
        take(message);
        at += LENGTH_BYTES + message.len();
    }
    read.advance(at);
}

async fn serve(mut socket: TcpStream) {
    let (mut read, mut out) = (BytesMut::new(), BytesMut::new());
    loop {
        read.reserve(READ_BYTES);
        if socket.read_buf(&mut read).await.expect("a caller") == 0 {
            return;
        }
        each(&mut read, |message| reply(message, &mut out));
        socket.write_all(&out).await.expect("a caller");
        out.clear();
    }
}

async fn call(address: SocketAddr, mut work: Work) {
    let mut socket = TcpStream::connect(address).await.expect("a server");
    socket.set_nodelay(true).expect("a socket");
    let (mut read, mut out) = (BytesMut::new(), BytesMut::new());
    while let Some(load) = work.loads.recv().await {
        let mut window = Window::new(load);
        while !window.is_done() {
            while let Some(request) = window.next() {
                frame(request, &mut out);
            }
            if !out.is_empty() {
                socket.write_all(&out).await.expect("a server");
                out.clear();
            }
            read.reserve(READ_BYTES);
            let count = socket.read_buf(&mut read).await.expect("a server");
            assert!(count > 0, "the server went away");
            each(&mut read, |message| window.heard(message));
        }
        work.done.send(window.trips()).expect("a bench that waits");
    }
}

pub(crate) fn mux(name: &'static str) -> Contender {
    on_threads::<Tokio, _, _>(
        name,
        async |tell| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("an address"))
                .expect("a caller");
            let (socket, _) = listener.accept().await.expect("a caller");
            socket.set_nodelay(true).expect("a socket");
            Tokio.spawn(serve(socket));
        },
        async |address, work| Tokio.spawn(call(address, work)),
    )
}
