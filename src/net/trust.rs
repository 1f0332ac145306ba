//! The roots that every TLS connection of a client is checked against: read at the start, and again when their files
//! have changed.

mod files;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::clock::Clock;
use crate::error::Chain;
use crate::sync::Mutex;
use crate::{Error, Result};
pub(crate) use files::read_pem;

/// The client talks to an instance, its storage and one hub, which may fail over.
const TLS_SESSIONS_MAX: usize = 8;

/// The trusted roots, for everybody who makes a TLS connection.
#[derive(Clone)]
pub(crate) struct Trust(Arc<Inner>);

struct Inner {
    ca_file: Option<PathBuf>,
    clock: Arc<dyn Clock>,
    current: Mutex<Current>,
}

struct Current {
    rustls: Arc<ClientConfig>,
    /// How many of the system's certificates could not be used.
    skipped: usize,
    /// Of the files that it was read from.
    fingerprint: u64,
    /// Of those that could not be used last.
    refused: Option<u64>,
}

impl Trust {
    /// The system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and those of the PEM file.
    ///
    /// What the system has but cannot be read is skipped with a warning: old stores hold odd
    /// certificates that no connection needs. The file was named on purpose, so it must be right.
    /// `clock` says whether a certificate is valid now.
    pub fn load(ca_file: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Trust> {
        let fingerprint = files::fingerprint(ca_file);
        let roots = Roots::read(ca_file)?;
        if let Some(first) = roots.problems.first() {
            let count = roots.problems.len();
            log::warn!("skipped {count} of the system's root certificates; the first: {first}");
        }
        if roots.store.is_empty() {
            log::warn!(
                "this machine has no trusted root certificate: no TLS connection can succeed"
            );
        }
        Ok(Trust(Arc::new(Inner {
            ca_file: ca_file.map(Path::to_owned),
            current: Mutex::new(Current {
                skipped: roots.problems.len(),
                rustls: roots.into_rustls(&clock)?,
                fingerprint,
                refused: None,
            }),
            clock,
        })))
    }

    /// What the next handshake is to be made with: the same each time, so that sessions are resumed, until the files
    /// change. Reads them then, and each time until they can be used; so it is not for a thread that must not wait for
    /// a disk.
    pub fn rustls(&self) -> Arc<ClientConfig> {
        let ca_file = self.0.ca_file.as_deref();
        let mut current = self.0.current.lock();
        let fingerprint = files::fingerprint(ca_file);
        if fingerprint != current.fingerprint {
            match self.read_anew(&current) {
                Ok((rustls, skipped)) => {
                    log::info!("the trusted certificates have changed, and were read anew");
                    *current = Current {
                        rustls,
                        skipped,
                        // Of before they were read: should they have changed meanwhile, they are read once more.
                        fingerprint,
                        refused: None,
                    };
                }
                // What failed may have been the reading alone.
                Err(error) => {
                    if current.refused.replace(fingerprint) != Some(fingerprint) {
                        log::warn!(
                            "the trusted certificates have changed and cannot be used, those from before stay: {}",
                            Chain(&error)
                        );
                    }
                }
            }
        }
        Arc::clone(&current.rustls)
    }

    /// A store with more faults than before is being written, or broken.
    fn read_anew(&self, current: &Current) -> Result<(Arc<ClientConfig>, usize)> {
        let roots = Roots::read(self.0.ca_file.as_deref())?;
        let skipped = roots.problems.len();
        if roots.store.is_empty() {
            return Err(Error::system(
                "read the system's certificates",
                "there are none",
            ));
        }
        if let Some(first) = roots.problems.first().filter(|_| skipped > current.skipped) {
            return Err(Error::system(
                "read the system's certificates",
                first.as_str(),
            ));
        }
        Ok((roots.into_rustls(&self.0.clock)?, skipped))
    }
}

struct Roots {
    store: RootCertStore,
    /// What of the system's is skipped, and why.
    problems: Vec<String>,
}

impl Roots {
    fn none() -> Roots {
        Roots {
            store: RootCertStore::empty(),
            problems: Vec::new(),
        }
    }

    fn read(ca_file: Option<&Path>) -> Result<Roots> {
        let mut roots = Roots::none();
        roots.add_system();
        if let Some(path) = ca_file {
            roots.add_file(path)?;
        }
        Ok(roots)
    }

    fn add_system(&mut self) {
        let system = rustls_native_certs::load_native_certs();
        self.problems = system.errors.iter().map(ToString::to_string).collect();
        for certificate in system.certs {
            if let Err(error) = self.store.add(certificate) {
                self.problems.push(error.to_string());
            }
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let refuse =
            |problem: String| Error::invalid("ca_file", format!("{}: {problem}", path.display()));
        if path.as_os_str().is_empty() {
            return Err(Error::invalid("ca_file", "must not be empty"));
        }
        // Read by ourselves: the text of a read error then names what the system said.
        let pem = read_pem(path).map_err(|error| refuse(error.to_string()))?;
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| refuse("not in PEM format".into()))?;
            self.store
                .add(certificate)
                .map_err(|_| refuse("holds a certificate that cannot be read".into()))?;
            found = true;
        }
        if found {
            Ok(())
        } else {
            Err(refuse("holds no PEM certificate".into()))
        }
    }

    fn into_rustls(self, clock: &Arc<dyn Clock>) -> Result<Arc<ClientConfig>> {
        // Named explicitly: the process's default provider is the application's to choose.
        let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
        let time = Arc::new(WallTime(Arc::clone(clock)));
        let mut rustls = ClientConfig::builder_with_details(provider, time)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::system("set TLS up", error))?
            .with_root_certificates(self.store)
            .with_no_client_auth();
        rustls.resumption = Resumption::in_memory_sessions(TLS_SESSIONS_MAX);
        Ok(Arc::new(rustls))
    }
}

/// By what certificates are valid or not: the one decision that has only the wall clock.
struct WallTime(Arc<dyn Clock>);

impl TimeProvider for WallTime {
    fn current_time(&self) -> Option<UnixTime> {
        let wall_ms = u64::try_from(self.0.wall_ms()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(Duration::from_millis(wall_ms)))
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallTime")
    }
}

#[cfg(test)]
mod tests;
