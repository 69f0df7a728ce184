//! gRPC and QUIC: a node dials by one of them, and is called by that one or by both.

use std::net::SocketAddr;
use std::time::Duration;

use trefoil_core::pair::{Pair, Which};
use trefoil_transport_quic::Quic;
use trefoil_transport_tonic::Grpc;

use super::quic::{self, QuicDoor, QuicPlatform};
use super::tonic::{self, TonicDoor, TonicPlatform};
use super::{Carrier, Door, TransportKind};
use crate::client::ClientOptions;
use crate::node::NodeOptions;
use crate::start::StartError;

/// Carries by either, and by both.
#[derive(Debug)]
pub struct Both;

/// The doors that are open.
#[derive(Clone)]
pub struct BothDoors<P: TonicPlatform> {
    tonic: Option<TonicDoor<P>>,
    quic: Option<QuicDoor>,
    address: SocketAddr,
}

impl<P: TonicPlatform> Door for BothDoors<P> {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn say_leaving(self) {
        if let Some(tonic) = self.tonic {
            tonic.say_leaving().await;
        }
    }

    async fn drain(self, within: Duration) {
        // Side by side, in the time of one: the second needs no longer than the first.
        let tonic = async {
            if let Some(tonic) = self.tonic {
                tonic.drain(within).await;
            }
        };
        let quic = async {
            if let Some(quic) = self.quic {
                quic.drain(within).await;
            }
        };
        beside(tonic, quic).await;
    }

    fn close(&self) {
        if let Some(tonic) = &self.tonic {
            tonic.close();
        }
        if let Some(quic) = &self.quic {
            quic.close();
        }
    }
}

/// Runs both to their ends.
async fn beside(first: impl Future<Output = ()>, second: impl Future<Output = ()>) {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    let (mut first_done, mut second_done) = (false, false);
    std::future::poll_fn(|cx| {
        first_done = first_done || first.as_mut().poll(cx).is_ready();
        second_done = second_done || second.as_mut().poll(cx).is_ready();
        if first_done && second_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

const fn which(transport: Option<TransportKind>) -> Which {
    match transport {
        Some(TransportKind::Quic) => Which::Second,
        Some(TransportKind::Tonic) | None => Which::First,
    }
}

impl<P: TonicPlatform + QuicPlatform> Carrier<P> for Both {
    type Transport = Pair<Option<Grpc<P::Net>>, Option<Quic>>;
    type Door = BothDoors<P>;

    async fn serve(
        platform: &P,
        options: &NodeOptions,
    ) -> Result<(Self::Transport, Self::Door), StartError> {
        let dials = which(options.transport);
        let mut doors = None;
        let mut grpc = None;
        if dials == Which::First || options.accepts_both {
            let (transport, door) = tonic::serve(platform, options).await?;
            grpc = Some(transport);
            doors = Some(BothDoors {
                address: door.address(),
                tonic: Some(door),
                quic: None,
            });
        }
        if dials == Which::First && !options.accepts_both {
            let door = doors.ok_or(StartError::NotBuilt("tonic"))?;
            return Ok((Pair::new(grpc, None, dials), door));
        }
        // At the port of the other, which may have been left to the system.
        let address = match &doors {
            Some(doors) => doors.address.to_string(),
            None => options.listens_on().to_owned(),
        };
        let served = quic::serve(platform, options, &address).await;
        let (quic, door) = served.inspect_err(|_| {
            if let Some(doors) = &doors {
                doors.close();
            }
        })?;
        let doors = BothDoors {
            address: door.address(),
            tonic: doors.and_then(|doors| doors.tonic),
            quic: Some(door),
        };
        Ok((Pair::new(grpc, Some(quic), dials), doors))
    }

    fn call(platform: &P, options: &ClientOptions) -> Result<Self::Transport, StartError> {
        let dials = which(options.transport);
        Ok(match dials {
            Which::First => Pair::new(Some(tonic::call(platform, options)?), None, dials),
            Which::Second => Pair::new(None, Some(quic::call(platform, options)?), dials),
        })
    }
}
