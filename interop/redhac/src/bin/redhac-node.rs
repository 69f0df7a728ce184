//! A node of redhac as its users run it: configured by the environment, until its input ends.

use redhac::{CacheConfig, QuorumState, SizedCache, start_cluster};
use tokio::signal::unix::{SignalKind, signal};
use trefoil_interop_redhac::cluster::orphaned;
use trefoil_interop_redhac::told::tell;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .init();
    let (watch, mut config) = CacheConfig::new();
    config.spawn_cache("cache".to_owned(), SizedCache::with_size(16), None);
    tokio::spawn(tell(config.rx_health_state.clone(), |health| {
        let state = health.as_ref().map(|health| &health.state);
        state == Some(&QuorumState::Leader)
    }));
    start_cluster(watch, &mut config, None, None).await?;
    let mut asked = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = asked.recv() => config.shutdown().await.map_err(|error| format!("{error:?}"))?,
        () = orphaned() => {}
    }
    Ok(())
}
