//! Log channels: `trefoil channels`, `node`, `produce` and `consume`.

pub mod consume;
pub mod operate;
pub mod produce;
mod progress;
pub mod show;

use std::time::Duration;

use anyhow::Result;
use trefoil_core::channels::dialect::Dialect;
use trefoil_core::channels::worker::GROWTH_BYTES_MAX;
use trefoil_runtime::channels::{ChannelClient, ChannelOperator};
use trefoil_runtime::{Client, ClientOptions, Platform};

use crate::cli::{At, Spoken, Way};
use crate::reach::Reach;

/// What a flag or a file says is spoken.
pub const fn dialect(spoken: Spoken) -> Dialect {
    match spoken {
        Spoken::Seed => Dialect::Seed,
        Spoken::V202408 => Dialect::V2024_08,
    }
}

/// Asks the coordinator of the nodes that were named.
///
/// # Errors
/// The system has no randomness, or no timers.
pub fn operator<P: Platform>(at: &At, way: &Way) -> Result<ChannelOperator<P>> {
    let mut options = ClientOptions::to(at.at.iter().cloned());
    Reach::new(way)?.check()?.client(&mut options);
    let timeout = Duration::from_secs(at.timeout);
    Ok(ChannelOperator::new(Client::start(options)?, timeout))
}

/// Produces to and consumes from channels of the nodes that were named, messages of so many bytes at most.
///
/// # Errors
/// The system has no randomness, or no timers.
pub fn client<P: Platform>(
    at: &At,
    way: &Way,
    spoken: Spoken,
    bytes_max: u32,
) -> Result<ChannelClient<P>> {
    let mut options = ClientOptions::to(at.at.iter().cloned());
    Reach::new(way)?.check()?.client(&mut options);
    options.channels.dialect = dialect(spoken);
    options.limits.frame_bytes_max = bytes_max;
    // What a node of this limit takes: it has to send it on with more.
    options.channels.request_bytes_max = bytes_max - GROWTH_BYTES_MAX;
    Ok(ChannelClient::start(options)?)
}
