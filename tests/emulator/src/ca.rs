//! The throw-away certificate authority, and the certificates that it signs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::Error;

/// The certificate that the Platform's ports present; see
/// [`Platform::present_certificate`](crate::Platform::present_certificate).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ServerCertificate {
    /// In order.
    #[default]
    Valid,
    /// It was valid until 2020.
    Expired,
    /// It is valid from this moment on, in whole seconds: as in-order ones look to a device whose clock is behind.
    ValidFrom(SystemTime),
    /// For another host.
    OtherName,
    /// From an authority of that name, as an intercepting proxy's: devices do not trust it.
    OtherAuthority(&'static str),
    /// From an authority of the same name as the Platform's, with another key.
    UnknownAuthority,
    /// From no authority.
    SelfSigned,
}

const CA_NAME: &str = "Spotflow emulator's throw-away CA";

pub(crate) struct Authority {
    pub ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    bound: IpAddr,
}

impl Authority {
    /// Makes a CA. Its certificates are for `localhost`, the loopback addresses, and `bound`.
    pub fn create(bound: IpAddr) -> Result<Self, Error> {
        let key = KeyPair::generate().map_err(failed)?;
        let params = ca_params(CA_NAME).map_err(failed)?;
        let ca_pem = params.self_signed(&key).map_err(failed)?.pem();
        Ok(Self {
            ca_pem,
            issuer: Issuer::new(params, key),
            bound,
        })
    }

    /// A server with a certificate of that kind. It resumes no TLS session of another: a resumed one does not look
    /// at certificates.
    pub fn server(&self, kind: ServerCertificate) -> Result<Arc<ServerConfig>, Error> {
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = self.sign(kind, &key).map_err(failed)?;
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                builder.with_no_client_auth().with_single_cert(
                    vec![certificate.der().clone()],
                    PrivateKeyDer::Pkcs8(key.serialize_der().into()),
                )
            })
            .map_err(failed)?;
        Ok(Arc::new(server))
    }

    fn sign(&self, kind: ServerCertificate, key: &KeyPair) -> Result<Certificate, rcgen::Error> {
        let mut params = match kind {
            ServerCertificate::OtherName => server_params(vec!["elsewhere.example".to_owned()])?,
            _ => server_params(self.names())?,
        };
        match kind {
            ServerCertificate::Expired => params.not_after = date_time_ymd(2020, 1, 1),
            ServerCertificate::ValidFrom(moment) => {
                let since_1970 = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
                let seconds = Duration::from_secs(since_1970.as_secs());
                params.not_before = date_time_ymd(1970, 1, 1) + seconds;
            }
            ServerCertificate::OtherAuthority(name) => {
                let other = Issuer::new(ca_params(name)?, KeyPair::generate()?);
                return params.signed_by(key, &other);
            }
            ServerCertificate::UnknownAuthority => {
                let other = Issuer::new(ca_params(CA_NAME)?, KeyPair::generate()?);
                return params.signed_by(key, &other);
            }
            ServerCertificate::SelfSigned => return params.self_signed(key),
            ServerCertificate::Valid | ServerCertificate::OtherName => {}
        }
        params.signed_by(key, &self.issuer)
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec![
            "localhost".to_owned(),
            "127.0.0.1".to_owned(),
            "::1".to_owned(),
        ];
        let bound = self.bound.to_string();
        if !names.contains(&bound) {
            names.push(bound);
        }
        names
    }
}

fn ca_params(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn server_params(names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "Spotflow emulator");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Certificate(Box::new(error))
}
