//! The proxies of the demo's nodes where QUIC carries: a cut swallows datagrams.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;

use super::proxy::{From, Network};

/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// A way back that carried nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Takes datagrams for node `index` and carries them to where it listens, and answers back.
pub async fn serve(network: Arc<Network>, index: usize, socket: UdpSocket) -> io::Result<()> {
    let socket = Arc::new(socket);
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // What could not be delivered before is told here, and means nothing to a proxy.
        let Ok((len, peer)) = socket.recv_from(&mut datagram).await else {
            continue;
        };
        if network.swallows(From::at(peer.ip()), index) {
            continue;
        }
        ways.retain(|_, way| Arc::strong_count(way) > 1);
        let way = match ways.get(&peer) {
            Some(way) => Arc::clone(way),
            None => {
                let way = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
                ways.insert(peer, Arc::clone(&way));
                let back = (Arc::clone(&network), Arc::clone(&socket), Arc::clone(&way));
                tokio::spawn(
                    async move { carry_back(&back.0, &back.1, &back.2, index, peer).await },
                );
                way
            }
        };
        // A network loses datagrams, and so may this one.
        let _ = way.send_to(&datagram[..len], network.target(index)).await;
    }
}

async fn carry_back(
    network: &Network,
    socket: &UdpSocket,
    way: &UdpSocket,
    index: usize,
    peer: SocketAddr,
) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let received = tokio::time::timeout(SILENCE_MAX, way.recv_from(&mut datagram)).await;
        let Ok(received) = received else { return };
        if let Ok((len, _)) = received
            && !network.swallows(From::at(peer.ip()), index)
        {
            let _ = socket.send_to(&datagram[..len], peer).await;
        }
    }
}
