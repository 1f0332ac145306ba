//! Why a TLS connection failed, in words that tell an operator what to look at.

use std::error::Error as StdError;
use std::{fmt, io};

use rustls::CertificateError;

use crate::Error;

/// A failure of TLS: the explanation, with rustls's own words as its source.
#[derive(Debug)]
struct TlsFailure {
    explanation: &'static str,
    source: rustls::Error,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.explanation)
    }
}

impl StdError for TlsFailure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

/// The error for a failed handshake or a broken TLS record.
pub(crate) fn tls_failure(action: &'static str, source: rustls::Error) -> Error {
    let explanation = explain(&source);
    Error::tls(
        action,
        TlsFailure {
            explanation,
            source,
        },
    )
}

/// The error for a connection's I/O error: one of TLS if rustls raised it, else one of the network.
pub(crate) fn connection_failure(action: &'static str, error: io::Error) -> Error {
    match find_rustls(&error) {
        Some(tls) => tls_failure(action, tls.clone()),
        None => Error::network(action, error),
    }
}

fn find_rustls(error: &io::Error) -> Option<&rustls::Error> {
    let mut cause: &(dyn StdError + 'static) = error.get_ref()?;
    loop {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // An io::Error's source() skips what it holds, so look inside it.
        cause = match cause.downcast_ref::<io::Error>() {
            Some(inner) => inner.get_ref()?,
            None => cause.source()?,
        };
    }
}

fn explain(error: &rustls::Error) -> &'static str {
    use CertificateError as C;
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "the server's certificate has expired, or this machine's clock is ahead"
        }
        E::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet: is this machine's clock behind?"
        }
        // A bad signature: it names a trusted authority, which did not sign it.
        E::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            "the server's certificate comes from an authority that this machine does not trust"
        }
        E::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            "the server's certificate is for another host name"
        }
        E::InvalidCertificate(_) => "the server's certificate is not acceptable",
        E::AlertReceived(_) => "the server ended the TLS connection with an alert",
        _ => "the TLS connection failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Chain;

    fn io(error: impl Into<Box<dyn StdError + Send + Sync>>) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    #[test]
    fn a_wrong_clock_is_named_as_a_possible_cause() {
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        let error = connection_failure("connect", io(expired));
        assert!(matches!(error, Error::Tls { .. }));
        assert!(Chain(&error).to_string().contains("clock"), "{error:?}");
    }

    #[test]
    fn a_tls_error_is_found_however_deep_it_is_wrapped() {
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = connection_failure("connect", io(io(io(unknown))));
        assert!(matches!(error, Error::Tls { .. }));
    }

    #[test]
    fn other_errors_are_of_the_network() {
        for error in [io("text"), io::ErrorKind::ConnectionReset.into()] {
            assert!(matches!(
                connection_failure("connect", error),
                Error::Network { .. }
            ));
        }
    }
}
