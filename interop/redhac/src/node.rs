//! The process of a node of ours: the shipping election over the shipping driver, transport and store.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use trefoil_core::driver::Driver;
use trefoil_core::election::{
    Election, ElectionCommand, ElectionConfig, ElectionEvent, Evidence, Memory, RedhacVotes,
};
use trefoil_core::engine::{Engine, EngineConfig};
use trefoil_core::identity::Token;
use trefoil_core::limits::Limits;
use trefoil_core::method::Methods;
use trefoil_runtime::{TonicPlatform, clock};
use trefoil_runtime_tokio::Tokio;
use trefoil_store::{Store, StoreOptions};
use trefoil_transport_tonic::{Grpc, GrpcOptions, Server};

use crate::certificates::load;
use crate::cluster::orphaned;
use crate::driving::{Asked, Detours, Surroundings, drive};
use crate::told::{Lease, tell};
use crate::{TOKEN, dialled};

/// How a node is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// All voters, as redhac writes them.
    pub hosts: Vec<String>,
    /// Its place among them.
    pub me: usize,
    /// Where it really listens.
    pub listen: SocketAddr,
    /// Where others are really dialled.
    pub detours: HashMap<SocketAddr, SocketAddr>,
    /// What votes of redhac's are worth.
    pub votes: RedhacVotes,
    /// What a refused dial proves.
    pub evidence: Evidence,
    /// Where its certificate is, if streams are encrypted.
    pub certificate: Option<PathBuf>,
    /// Where its vote is kept.
    pub directory: PathBuf,
    /// Whether this is its first start.
    pub first: bool,
}

type Failed = Box<dyn std::error::Error>;

impl Options {
    /// As [`to_args`](Self::to_args) wrote them.
    ///
    /// # Errors
    /// They are not.
    pub fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self, Failed> {
        let mut next = || args.next().ok_or("an argument is missing");
        let hosts = next()?.split(',').map(String::from).collect();
        let (me, listen) = (next()?.parse()?, next()?.parse()?);
        let detours = next()?;
        let detours = detours.split(',').filter(|detour| !detour.is_empty());
        let detours = detours.map(|detour| -> Result<_, Failed> {
            let (from, to) = detour.split_once('=').ok_or("no detour")?;
            Ok((from.parse()?, to.parse()?))
        });
        let detours = detours.collect::<Result<_, _>>()?;
        let votes = match next()?.as_str() {
            "ignored" => RedhacVotes::Ignored,
            "counted-two-may-lead" => RedhacVotes::CountedTwoMayLead,
            other => return Err(format!("{other}: no such worth").into()),
        };
        let evidence = match next()?.as_str() {
            "none" => Evidence::None,
            "refused" => Evidence::Refused,
            other => return Err(format!("{other}: no such evidence").into()),
        };
        let certificate = Some(next()?).filter(|path| !path.is_empty());
        let certificate = certificate.map(PathBuf::from);
        let directory = next()?.into();
        let first = next()? == "first";
        Ok(Self {
            hosts,
            me,
            listen,
            detours,
            votes,
            evidence,
            certificate,
            directory,
            first,
        })
    }

    /// For the command line.
    #[must_use]
    pub fn to_args(&self) -> Vec<String> {
        let detours = self.detours.iter().map(|(from, to)| format!("{from}={to}"));
        let votes = match self.votes {
            RedhacVotes::Ignored => "ignored",
            RedhacVotes::CountedTwoMayLead => "counted-two-may-lead",
        };
        let evidence = match self.evidence {
            Evidence::None => "none",
            Evidence::Refused | Evidence::RefusedAnywhere => "refused",
        };
        let certificate = self.certificate.as_ref();
        let certificate = certificate.map(|path| path.display().to_string());
        vec![
            self.hosts.join(","),
            self.me.to_string(),
            self.listen.to_string(),
            detours.collect::<Vec<_>>().join(","),
            votes.to_owned(),
            evidence.to_owned(),
            certificate.unwrap_or_default(),
            self.directory.display().to_string(),
            if self.first { "first" } else { "again" }.to_owned(),
        ]
    }

    fn election(&self) -> Result<Election, Failed> {
        let wall = clock::wall();
        let since_origin = i64::try_from(wall.at.as_nanos())?;
        let config = ElectionConfig {
            unix_origin: wall.unix_millis * 1_000_000 - since_origin,
            memory: Memory::Kept { first: self.first },
            redhac_votes: self.votes,
            evidence: self.evidence,
            seed: clock::entropy()?,
            ..ElectionConfig::lan(self.me, &self.hosts)
        };
        Ok(Election::new(config)?)
    }
}

impl Asked for Election {
    /// The one command of the process: stop.
    fn asked((): &()) -> ElectionCommand<'_> {
        ElectionCommand::Stop
    }
}

/// Runs a node until it is asked to stop, or whoever started it is gone.
///
/// # Errors
/// It cannot start.
pub async fn run(options: Options) -> Result<(), Failed> {
    let host = dialled(&options.hosts[options.me]);
    let tls = options.certificate.as_deref().map(load).transpose()?;
    let engine = EngineConfig {
        certified: tls.is_some(),
        token: Some(Token::new(TOKEN)),
        ..EngineConfig::new(host, "interop", clock::entropy()?)
    };
    let engine = Engine::new(engine, options.election()?)?;
    let store = Store::open(&options.directory, StoreOptions::default())?;

    let net = Detours::new(options.detours.clone(), tls.as_ref())?;
    let grpc = GrpcOptions::default();
    let limits = Limits::default();
    let transport = Grpc::new(net.clone(), Methods::election(), &limits, grpc.clone())?;
    let server = Server::new(net, transport.service(), grpc)?;
    let address = options.listen.to_string();
    let (listener, _) = Tokio.listen(&address, tls.as_ref()).await?;
    let accepting = server.clone();
    tokio::spawn(async move { accepting.listen(listener).await });

    let (stop, asks) = mpsc::channel(1);
    let leads = watch::Sender::new(false);
    tokio::spawn(tell(leads.subscribe(), |leads| *leads));
    let (over, mut is_over) = watch::channel(false);
    let hear = move |event: ElectionEvent<'_>| match event {
        ElectionEvent::Stopped => drop(over.send_replace(true)),
        event => heard(event, &leads),
    };
    let surroundings = Surroundings::new(asks, hear);
    let mut driver = Driver::new(engine, transport, store.session(host), surroundings);
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        () = drive(|cx| driver.poll(cx)) => {}
        () = orphaned() => return Ok(()),
        _ = terminated.recv() => stop.send(()).await?,
    }
    // What was said at the end is heard by ours before the listener closes; the others do not say so.
    tokio::select! {
        () = drive(|cx| driver.poll(cx)) => return Ok(()),
        _ = is_over.wait_for(|over| *over) => {}
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    let last = drive(|cx| driver.poll(cx));
    let _ = tokio::time::timeout(Duration::from_millis(100), last).await;
    server.close();
    Ok(())
}

/// What comes of the node, for its log and for the program that watches it.
fn heard(event: ElectionEvent<'_>, leads: &watch::Sender<bool>) {
    let at = clock::now();
    let held = match event {
        ElectionEvent::Leading { token, until } => Some((token.to_wire(), until)),
        ElectionEvent::Following { .. } | ElectionEvent::Leaderless => None,
        ElectionEvent::Misbehaved { .. }
        | ElectionEvent::ElectorateRefused { .. }
        | ElectionEvent::Forgetful { .. }
        | ElectionEvent::Stopped => {
            eprintln!("{event:?}");
            return;
        }
    };
    if held.is_none() {
        eprintln!("{event:?}");
    }
    println!("{}", Lease { at, held }.line());
    leads.send_replace(held.is_some());
}
