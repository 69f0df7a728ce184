//! What is in use now, and how it is exchanged for something newer.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ServerConfig};

use crate::clock;
use crate::config::Templates;
use crate::error::TlsError;
use crate::material::Material;
use crate::provider;
use crate::source::{Texts, TlsFiles, TlsPem};

/// What a server asks of its callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// A certificate of the authority.
    #[default]
    Required,
    /// None; but one that is shown must be the authority's.
    Optional,
    /// None is asked for, and none is shown.
    Off,
}

/// Certificates in use. A clone is the same thing: a reload is seen by all.
#[derive(Clone)]
pub struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    files: Option<TlsFiles>,
    auth: ClientAuth,
    provider: Arc<CryptoProvider>,
    state: ArcSwap<State>,
    /// One reload at a time, so that a version is never given twice.
    reloading: Mutex<()>,
}

/// Everything of one version.
struct State {
    version: u64,
    digest: Vec<u8>,
    templates: Templates,
    reset_key: Option<[u8; 32]>,
    expires: Option<SystemTime>,
    names: Option<String>,
    warnings: Vec<String>,
    /// Programs know one or two protocols: a list is the fastest map.
    protocols: ArcSwap<Vec<Protocol>>,
}

/// The configs for one ALPN protocol.
#[derive(Clone)]
struct Protocol {
    alpn: Vec<u8>,
    client: Arc<ClientConfig>,
    server: Option<Arc<ServerConfig>>,
}

impl Tls {
    /// Loads files, to be read again by [`reload`](Self::reload).
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_files(files: TlsFiles, auth: ClientAuth) -> Result<Self, TlsError> {
        let texts = Texts::read(&files)?;
        Self::new(Some(files), texts, auth)
    }

    /// Takes text that is in memory already.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_pem(pem: TlsPem, auth: ClientAuth) -> Result<Self, TlsError> {
        Self::new(None, Texts::given(pem), auth)
    }

    fn new(files: Option<TlsFiles>, texts: Texts, auth: ClientAuth) -> Result<Self, TlsError> {
        let provider = provider::provider();
        let state = State::new(0, texts, auth, &provider)?;
        Ok(Self {
            inner: Arc::new(Inner {
                files,
                auth,
                provider,
                state: ArcSwap::from_pointee(state),
                reloading: Mutex::new(()),
            }),
        })
    }

    /// Reads the files again; connections made from then on use what they hold. False if they hold
    /// what they held, or if there are no files. It reads files on the calling thread.
    ///
    /// # Errors
    /// What is wrong with the files. What was in use stays in use: also while one of them is written
    /// and the other is not yet.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let Some(files) = &self.inner.files else {
            return Ok(false);
        };
        let _one = self
            .inner
            .reloading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let texts = Texts::read(files)?;
        let old = self.inner.state.load();
        if provider::digest(&texts.joined()) == old.digest {
            return Ok(false);
        }
        let state = State::new(
            old.version + 1,
            texts,
            self.inner.auth,
            &self.inner.provider,
        )?;
        self.inner.state.store(Arc::new(state));
        Ok(true)
    }

    /// Rises by one with every reload that changed something.
    pub fn version(&self) -> u64 {
        self.inner.state.load().version
    }

    /// What is asked of callers.
    #[must_use]
    pub fn client_auth(&self) -> ClientAuth {
        self.inner.auth
    }

    /// Whether this side has a certificate to show.
    pub fn has_identity(&self) -> bool {
        self.inner.state.load().templates.server.is_some()
    }

    /// The names of this side's own certificate, as [`names`](crate::names) lists them.
    #[must_use]
    pub fn names(&self) -> Option<String> {
        self.inner.state.load().names.clone()
    }

    /// When the first certificate of this side's chain expires.
    pub fn expires(&self) -> Option<SystemTime> {
        self.inner.state.load().expires
    }

    /// How long it is until then; zero if it has passed.
    pub fn expires_in(&self) -> Option<Duration> {
        let left = self.expires()?.duration_since(clock::now());
        Some(left.unwrap_or_default())
    }

    /// What should be better, though it works: to be logged after a load.
    pub fn warnings(&self) -> Vec<String> {
        self.inner.state.load().warnings.clone()
    }

    /// What to connect with now, for this ALPN protocol (`h2`); an empty one asks for none. Kept per
    /// version: to call it for every connection costs little, and is how a reload is seen.
    pub fn client_config(&self, alpn: &[u8]) -> Arc<ClientConfig> {
        self.inner.state.load().protocol(alpn).client
    }

    /// What to accept with now, as [`client_config`](Self::client_config). A caller that names other
    /// protocols is refused. One that names none is not: where that matters, ask the connection.
    ///
    /// # Errors
    /// [`TlsError::NoIdentity`].
    pub fn server_config(&self, alpn: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
        let protocol = self.inner.state.load().protocol(alpn);
        protocol.server.ok_or(TlsError::NoIdentity)
    }

    /// 32 secret bytes that follow from the private key: the same after a restart, others with
    /// another key. For QUIC's stateless resets. None without an identity.
    pub fn reset_key(&self) -> Option<[u8; 32]> {
        self.inner.state.load().reset_key
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.inner.files)
            .field("auth", &self.inner.auth)
            .field("version", &self.version())
            .field("has_identity", &self.has_identity())
            .finish_non_exhaustive()
    }
}

impl State {
    fn new(
        version: u64,
        texts: Texts,
        auth: ClientAuth,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, TlsError> {
        let digest = provider::digest(&texts.joined());
        let material = Material::check(clock::now(), texts, provider)?;
        Ok(Self {
            version,
            digest,
            templates: Templates::new(&material, auth, provider)?,
            reset_key: material.identity.as_ref().map(|own| own.reset_key),
            expires: material.identity.as_ref().map(|own| own.expires),
            names: material.identity.as_ref().and_then(|own| {
                let first = own.certified.cert.first()?;
                crate::names(first).ok()
            }),
            warnings: material.warnings,
            protocols: ArcSwap::default(),
        })
    }

    fn protocol(&self, alpn: &[u8]) -> Protocol {
        let find = |known: &[Protocol]| known.iter().find(|one| one.alpn == alpn).cloned();
        if let Some(known) = find(&self.protocols.load()) {
            return known;
        }
        let new = self.templates.protocol(alpn);
        self.protocols.rcu(|known| {
            let mut known = Vec::clone(known);
            // Two threads may come here at once: the first one's is kept by both.
            if find(&known).is_none() {
                known.push(new.clone());
            }
            known
        });
        find(&self.protocols.load()).unwrap_or(new)
    }
}

impl Templates {
    fn protocol(&self, alpn: &[u8]) -> Protocol {
        let names = if alpn.is_empty() {
            Vec::new()
        } else {
            vec![alpn.to_vec()]
        };
        let mut client = self.client.clone();
        client.alpn_protocols.clone_from(&names);
        let server = self.server.clone().map(|mut server| {
            server.alpn_protocols = names;
            Arc::new(server)
        });
        Protocol {
            alpn: alpn.to_vec(),
            client: Arc::new(client),
            server,
        }
    }
}
