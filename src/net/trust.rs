//! The roots that every TLS connection of a client is checked against, read once.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};

use crate::clock::Clock;
use crate::{Error, Result};

/// The client talks to an instance, its storage and one hub, which may fail over.
const TLS_SESSIONS_MAX: usize = 8;

/// The trusted roots, ready for both users of TLS: the link and HTTP.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The system's roots (`SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured) and those of the PEM file.
    ///
    /// What the system has but cannot be read is skipped with a warning: old stores hold odd
    /// certificates that no connection needs. The file was named on purpose, so it must be right.
    /// `clock` says whether a certificate is valid now.
    pub fn load(additional_ca_file: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Trust> {
        let mut roots = Roots::none();
        roots.add_system();
        if let Some(path) = additional_ca_file {
            roots.add_file(path)?;
        }
        if roots.store.is_empty() {
            log::warn!(
                "this machine has no trusted root certificate: no TLS connection can succeed"
            );
        }
        roots.into_trust(clock)
    }

    /// The same configuration each time, so sessions are resumed.
    pub fn rustls(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

struct Roots {
    store: RootCertStore,
}

impl Roots {
    fn none() -> Roots {
        Roots {
            store: RootCertStore::empty(),
        }
    }

    fn add(&mut self, certificate: CertificateDer<'static>) -> Result<(), rustls::Error> {
        self.store.add(certificate)
    }

    fn add_system(&mut self) {
        let system = rustls_native_certs::load_native_certs();
        let mut problems: Vec<String> = system.errors.iter().map(ToString::to_string).collect();
        for certificate in system.certs {
            if let Err(error) = self.add(certificate) {
                problems.push(error.to_string());
            }
        }
        if let Some(first) = problems.first() {
            let count = problems.len();
            log::warn!("skipped {count} of the system's root certificates; the first: {first}");
        }
    }

    fn add_file(&mut self, path: &Path) -> Result<()> {
        let refuse =
            |problem: String| Error::invalid("ca_file", format!("{}: {problem}", path.display()));
        // Read by ourselves: the text of a read error then names what the system said.
        let pem = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
        let mut found = false;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| refuse("not in PEM format".into()))?;
            self.add(certificate)
                .map_err(|_| refuse("holds a certificate that cannot be read".into()))?;
            found = true;
        }
        if found {
            Ok(())
        } else {
            Err(refuse("holds no PEM certificate".into()))
        }
    }

    fn into_trust(self, clock: Arc<dyn Clock>) -> Result<Trust> {
        // Named explicitly: the process's default provider is the application's to choose.
        let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
        let mut rustls = ClientConfig::builder_with_details(provider, Arc::new(WallTime(clock)))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::system("set TLS up", error))?
            .with_root_certificates(self.store)
            .with_no_client_auth();
        rustls.resumption = Resumption::in_memory_sessions(TLS_SESSIONS_MAX);
        Ok(Trust(Arc::new(rustls)))
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
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct File(PathBuf);

    impl File {
        fn with(name: &str, content: &str) -> File {
            let path = std::env::temp_dir().join(format!("trust-{}-{name}", std::process::id()));
            std::fs::write(&path, content).unwrap();
            File(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).ok();
        }
    }

    fn certificate_pem() -> String {
        rcgen::generate_simple_self_signed(["a.example".into()])
            .unwrap()
            .cert
            .pem()
    }

    fn loaded(path: &Path) -> Result<usize> {
        let mut roots = Roots::none();
        roots.add_file(path)?;
        Ok(roots.store.len())
    }

    #[test]
    fn every_certificate_of_the_file_is_trusted() {
        let file = File::with(
            "two",
            &format!("{}\n{}", certificate_pem(), certificate_pem()),
        );
        assert_eq!(loaded(&file.0).unwrap(), 2);
        assert!(Trust::load(Some(&file.0), Arc::new(crate::clock::SystemClock)).is_ok());
    }

    #[test]
    fn a_file_without_a_usable_certificate_is_refused_by_name() {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let missing = File(std::env::temp_dir().join("trust-does-not-exist"));
        for file in [
            File::with("empty", ""),
            File::with("text", "hello"),
            File::with("cut", "-----BEGIN CERTIFICATE-----\nAAAA"),
            File::with("broken", broken),
            missing,
        ] {
            let error = loaded(&file.0).unwrap_err();
            let Error::InvalidArgument { argument, rule, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(argument, "ca_file");
            assert!(rule.contains(file.0.to_str().unwrap()), "{rule}");
        }
    }
}
