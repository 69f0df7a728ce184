//! Goodbyes that leave however full the path is. quinn holds a `CONNECTION_CLOSE` back like any other
//! packet while congestion control allows no more and there is data to send, which after a close is
//! for ever: the peer would wait until it takes the silence for a loss.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use quinn::congestion::{Controller, ControllerFactory, ControllerMetrics, CubicConfig};
use quinn::{Connection, VarInt};
use quinn_proto::RttEstimator;

/// Closes a connection, and has the peer told.
pub(crate) fn close(connection: &Connection, code: VarInt, reason: &[u8]) {
    hasten(connection);
    connection.close(code, reason);
}

/// Lets nothing hold back what a connection still sends. To be called when that is its goodbye.
pub(crate) fn hasten(connection: &Connection) {
    if let Ok(gate) = connection.congestion_state().into_any().downcast::<Gate>() {
        gate.open.store(true, Ordering::SeqCst);
    }
}

/// Makes the controllers of connections that can be hastened.
#[derive(Debug, Default)]
pub(crate) struct Gates(Arc<CubicConfig>);

impl ControllerFactory for Gates {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Gate {
            inner: Arc::clone(&self.0).build(now, current_mtu),
            open: Arc::default(),
        })
    }
}

/// A controller that can be told to let everything pass.
struct Gate {
    inner: Box<dyn Controller>,
    /// Shared by all clones.
    open: Arc<AtomicBool>,
}

impl Controller for Gate {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.inner.on_sent(now, bytes, last_packet_number);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.inner.on_ack(now, sent, bytes, app_limited, rtt);
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.inner
            .on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.inner
            .on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.inner.on_mtu_update(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.open.load(Ordering::SeqCst) {
            // So large a window is not paced either.
            return u64::MAX;
        }
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self {
            inner: self.inner.clone_box(),
            open: Arc::clone(&self.open),
        })
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
