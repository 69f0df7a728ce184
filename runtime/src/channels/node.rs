//! A node's part in the channels: what it tells, and what is shown of it.

use trefoil_core::channels::coordinator::CoordinatorEvent;
use trefoil_core::channels::worker::WorkerEvent;
use trefoil_core::node::ChannelsEvent;

/// Writes what a part tells to the log.
pub(crate) fn tell(event: &ChannelsEvent<'_>) {
    match *event {
        ChannelsEvent::Coordinator(event) => coordinator(event),
        ChannelsEvent::Worker(event) => worker(event),
    }
}

fn coordinator(event: CoordinatorEvent<'_>) {
    match event {
        CoordinatorEvent::Serving { token, channels } => {
            tracing::info!(token, channels, "this node coordinates the channels");
        }
        CoordinatorEvent::Lost { why } => {
            tracing::warn!("this node coordinates the channels no more: {why}");
        }
        CoordinatorEvent::Created { channel } => tracing::info!(channel, "created"),
        CoordinatorEvent::Assigned {
            channel,
            term,
            node,
        } => tracing::info!(channel, term, node = &*node.address, "assigned"),
        CoordinatorEvent::Unassigned { channel, term } => {
            tracing::info!(channel, term, "not assigned any more");
        }
        CoordinatorEvent::Stopped { channel, why } => {
            tracing::error!(
                channel,
                "no node can open it, and trying again does not help: {why}"
            );
        }
        CoordinatorEvent::Damaged { key } => {
            let key = String::from_utf8_lossy(key);
            tracing::error!(%key, "a value of the catalog is no meta of a channel, and is left alone");
        }
        CoordinatorEvent::Drained { node } => {
            tracing::info!(node = &*node.address, "has no channels any more");
        }
    }
}

fn worker(event: WorkerEvent<'_>) {
    match event {
        WorkerEvent::ChannelOpened { channel, term } => tracing::info!(channel, term, "open"),
        WorkerEvent::ChannelClosed {
            channel,
            term,
            by_force,
        } => tracing::info!(channel, term, by_force, "closed"),
        WorkerEvent::ChannelFenced { channel, term } => {
            tracing::warn!(channel, term, "a later term has the log");
        }
        WorkerEvent::ChannelUnreadable { channel, term } => {
            tracing::error!(channel, term, "its log cannot be read");
        }
        WorkerEvent::ChannelTrimmed { channel, first } => {
            tracing::debug!(channel, first, "trimmed");
        }
    }
}
