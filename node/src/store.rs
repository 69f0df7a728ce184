//! `trefoil store`: the store of a data directory, and which one a node uses.

use std::process::ExitCode;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use trefoil_core::id::Tag;
use trefoil_core::machine::Full;
use trefoil_core::storage::{Completion, Op, Storage};
use trefoil_runtime::{Platform, task};
#[cfg(unix)]
use trefoil_store::{Fate, RemoteStore, Server, SplitSession};
use trefoil_store::{Session, Store, StoreError, StoreOptions};

use crate::cli::{Served, StoreArgs, StoreCommand};
use crate::config::Config;
use crate::say;
use crate::serve::interrupted;

/// How often the store is asked whether it still works.
const GLANCE: Duration = Duration::from_millis(500);

/// Waits until the store has stopped, which it does for good after a write that failed, or until the one that is
/// used is another: a program that went on would answer errors for ever.
pub async fn stopped<P: Platform>(store: &Store, fate: Option<&Fate>) -> StoreError {
    loop {
        if let Some(why) = store.failure() {
            return StoreError::Stopped(why);
        }
        if let Some(why) = fate.and_then(Fate::failure) {
            return StoreError::Unusable(why);
        }
        task::sleep::<P>(GLANCE).await;
    }
}

/// Where processes do not share a store.
#[cfg(not(unix))]
mod elsewhere {
    /// Nothing that could be lost.
    #[derive(Clone, Debug)]
    pub enum Fate {}

    impl Fate {
        pub fn failure(&self) -> Option<String> {
            match *self {}
        }
    }
}
#[cfg(not(unix))]
use elsewhere::Fate;

/// Said where processes do not share a store.
#[cfg(not(unix))]
const NOT_SHARED: &str = "TF-N16: processes share a store only where there are Unix sockets";

/// What a node keeps its state in.
#[derive(Debug)]
pub enum Kept {
    /// All of it in its own data directory.
    Own(Session),
    /// Its own state there, the journals in the store of another process.
    #[cfg(unix)]
    Shared(SplitSession),
}

impl Kept {
    /// What a configuration says.
    ///
    /// # Errors
    /// Nobody serves the store that is named.
    pub fn open(own: &Store, config: &Config) -> Result<(Self, Option<Fate>)> {
        let session = own.session(&config.host);
        let Some(socket) = &config.store else {
            return Ok((Self::Own(session), None));
        };
        #[cfg(not(unix))]
        anyhow::bail!("{NOT_SHARED}; it was to be {}", socket.display());
        #[cfg(unix)]
        {
            let shared = RemoteStore::connect(socket, &StoreOptions::default())?;
            let shared = shared.session(&config.host)?;
            let fate = shared.fate();
            let both = SplitSession::new(session, shared);
            Ok((Self::Shared(both), Some(fate)))
        }
    }
}

impl Storage for Kept {
    type Buf = Vec<u8>;

    fn id(&self) -> u64 {
        match self {
            Self::Own(session) => session.id(),
            #[cfg(unix)]
            Self::Shared(session) => session.id(),
        }
    }

    fn submit(&mut self, op: Op<'_>, tag: Tag) -> Result<(), Full> {
        match self {
            Self::Own(session) => session.submit(op, tag),
            #[cfg(unix)]
            Self::Shared(session) => session.submit(op, tag),
        }
    }

    fn poll(&mut self, cx: &mut Task<'_>) -> Poll<(Tag, Completion<Vec<u8>>)> {
        match self {
            Self::Own(session) => session.poll(cx),
            #[cfg(unix)]
            Self::Shared(session) => session.poll(cx),
        }
    }
}

/// Does what was asked; the exit code says whether all is well.
///
/// # Errors
/// The store cannot be opened, or not be served.
pub async fn run<P: Platform>(args: StoreArgs) -> Result<ExitCode> {
    let Some(StoreCommand::Check { data }) = args.command else {
        serve::<P>(&args.served).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let report = Store::check(&data)
        .with_context(|| format!("cannot check the store in {}", data.display()))?;
    say(&report.to_string());
    Ok(if report.is_whole() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where processes do not share a store.
#[cfg(not(unix))]
async fn serve<P: Platform>(_: &Served) -> Result<()> {
    anyhow::bail!(NOT_SHARED)
}

/// Serves the store of a directory until it is interrupted.
#[cfg(unix)]
async fn serve<P: Platform>(served: &Served) -> Result<()> {
    let data = served.data.display();
    let store = Store::open(&served.data, StoreOptions::default())
        .with_context(|| format!("cannot open the store in {data}"))?;
    let socket = served.socket.clone();
    let socket = socket.unwrap_or_else(|| served.data.join("store.sock"));
    let server = Server::bind(&store, socket)?;
    say(&format!(
        "the store in {data} is served at {}",
        server.path().display()
    ));
    tokio::select! {
        heard = interrupted() => heard,
        why = stopped::<P>(&store, None) => Err(why.into()),
    }
}
