//! A plain quinn client in the place of a caller: it keeps the rules of QUIC and none of ours.

use std::sync::Arc;

use trefoil_tls::Tls;
use trefoil_transport_quic::quinn::crypto::rustls::QuicClientConfig;
use trefoil_transport_quic::quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, RecvStream, SendStream,
};

use crate::harness::{papers, runtime};

pub(crate) struct Raw {
    pub(crate) connection: Connection,
    _endpoint: Endpoint,
}

/// A word of the given kind and length.
pub(crate) fn word(kind: u32, len: usize) -> Vec<u8> {
    ((kind << 29) | len as u32).to_le_bytes().to_vec()
}

/// A frame.
pub(crate) fn frame(kind: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = word(kind, payload.len());
    bytes.extend_from_slice(payload);
    bytes
}

/// A request without timeout and metadata.
pub(crate) fn request(path: &[u8]) -> Vec<u8> {
    let mut payload = (path.len() as u16).to_le_bytes().to_vec();
    payload.extend_from_slice(path);
    payload.extend_from_slice(&[0; 8]);
    frame(1, &payload)
}

impl Raw {
    pub(crate) async fn dial(address: &str) -> Self {
        Self::dial_with(address, &papers().tls, b"trefoil/1")
            .await
            .unwrap()
    }

    pub(crate) async fn dial_with(
        address: &str,
        tls: &Tls,
        alpn: &[u8],
    ) -> Result<Self, ConnectionError> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime()).unwrap();
        let crypto = QuicClientConfig::try_from(tls.client_config(alpn)).unwrap();
        let config = ClientConfig::new(Arc::new(crypto));
        let connecting = endpoint.connect_with(config, address.parse().unwrap(), "127.0.0.1");
        let connection = connecting.unwrap().await?;
        Ok(Self {
            connection,
            _endpoint: endpoint,
        })
    }

    /// A stream on which `bytes` were written.
    pub(crate) async fn say(&self, bytes: &[u8]) -> (SendStream, RecvStream) {
        let (mut send, recv) = self.connection.open_bi().await.unwrap();
        send.write_all(bytes).await.unwrap();
        (send, recv)
    }
}

/// Everything up to the end.
pub(crate) async fn hear(recv: &mut RecvStream) -> Result<Vec<u8>, u64> {
    use trefoil_transport_quic::quinn::{ReadError, ReadToEndError};
    match recv.read_to_end(1 << 20).await {
        Ok(bytes) => Ok(bytes),
        Err(ReadToEndError::Read(ReadError::Reset(code))) => Err(code.into_inner()),
        Err(other) => panic!("{other}"),
    }
}

/// Code and message of a status frame.
pub(crate) fn status(bytes: &[u8]) -> (u8, String) {
    let word = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(
        (word >> 29, word as usize & 0x1fff_ffff),
        (3, bytes.len() - 4)
    );
    let len = usize::from(u16::from_le_bytes([bytes[5], bytes[6]]));
    let message = bytes[7..7 + len].to_vec();
    (bytes[4], String::from_utf8(message).unwrap())
}
