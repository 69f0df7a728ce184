//! The rules of a connection, as rustls takes them: TLS 1.3 only, one authority, nothing resumed.

use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;

use crate::error::TlsError;
use crate::material::{Identity, Material};
use crate::tls::ClientAuth;

/// Configs without a protocol name: copied for each that is asked for.
pub(crate) struct Templates {
    pub(crate) client: ClientConfig,
    pub(crate) server: Option<ServerConfig>,
}

impl Templates {
    pub(crate) fn new(
        material: &Material,
        auth: ClientAuth,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let server = material
            .identity
            .as_ref()
            .map(|identity| server(material, identity, auth, provider))
            .transpose()?;
        Ok(Self {
            client: client(material, provider)?,
            server,
        })
    }
}

/// The provider has no TLS 1.3, or the authority no root: neither comes past [`Material::check`].
fn unfit(error: impl ToString) -> TlsError {
    TlsError::Root {
        place: "the authority".to_owned(),
        reason: error.to_string(),
    }
}

fn client(material: &Material, provider: &Arc<CryptoProvider>) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(unfit)?
        .with_root_certificates(Arc::clone(&material.roots));
    let mut config = match &material.identity {
        Some(identity) => {
            let shown = SingleCertAndKey::from(Arc::clone(&identity.certified));
            builder.with_client_cert_resolver(Arc::new(shown))
        }
        None => builder.with_no_client_auth(),
    };
    // Both sides show their certificates on every connection. A resumed one would show none: a
    // reload or an expiry would not count on it.
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Ok(config)
}

fn server(
    material: &Material,
    identity: &Identity,
    auth: ClientAuth,
    provider: &Arc<CryptoProvider>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])
        .map_err(unfit)?;
    let verifier = || {
        WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&material.roots),
            Arc::clone(provider),
        )
    };
    let builder = match auth {
        ClientAuth::Required => {
            builder.with_client_cert_verifier(verifier().build().map_err(unfit)?)
        }
        ClientAuth::Optional => {
            let verifier = verifier().allow_unauthenticated().build();
            builder.with_client_cert_verifier(verifier.map_err(unfit)?)
        }
        ClientAuth::Off => builder.with_no_client_auth(),
    };
    let shown = SingleCertAndKey::from(Arc::clone(&identity.certified));
    let mut config = builder.with_cert_resolver(Arc::new(shown));
    // As for the client: no tickets, nothing remembered, no data before the handshake is done.
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    Ok(config)
}
