//! Signals of the system, heard on a thread of their own: whatever runtime the program runs on waits for a
//! channel and for nothing else.

use anyhow::Result;
use async_signal::{Signal, Signals};
use futures_lite::{StreamExt, future};
use tokio::sync::mpsc;

/// Ctrl-C, and a request of the system to end.
pub const ENDS: &[Signal] = &[
    Signal::Int,
    #[cfg(unix)]
    Signal::Term,
];

/// A request to read files again, where the system knows such a thing.
pub const RELOADS: &[Signal] = &[
    #[cfg(unix)]
    Signal::Hup,
];

/// Tells of these signals until the receiver is dropped.
///
/// # Errors
/// The system does not let them be heard.
pub fn heard(which: &[Signal]) -> Result<mpsc::UnboundedReceiver<()>> {
    let mut signals = Signals::new(which)?;
    let (tell, heard) = mpsc::unbounded_channel();
    let listen = move || {
        future::block_on(async move {
            while let Some(Ok(_)) = signals.next().await {
                if tell.send(()).is_err() {
                    return;
                }
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(listen)?;
    Ok(heard)
}
