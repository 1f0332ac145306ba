//! Why a TLS connection failed, in words that tell an operator what to look at.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::{Duration, UNIX_EPOCH};
use std::{fmt, io};

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::Error;

/// A failure of TLS: the explanation, with rustls's own words as its source.
#[derive(Debug)]
struct TlsFailure {
    explanation: Cow<'static, str>,
    source: rustls::Error,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.explanation)
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
            source: without_the_time(source),
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

/// rustls's words for a failed check of the time state the present one: the same failure would read
/// differently each time, and so be logged each time.
fn without_the_time(error: rustls::Error) -> rustls::Error {
    use CertificateError as C;
    match error {
        rustls::Error::InvalidCertificate(C::ExpiredContext { .. }) => C::Expired.into(),
        rustls::Error::InvalidCertificate(C::NotValidYetContext { .. }) => C::NotValidYet.into(),
        other => other,
    }
}

/// `2026-11-25T03:40:00Z`. Certificates know no later year than 9999, and neither does the format.
fn date(time: UnixTime) -> impl fmt::Display {
    const END_OF_9999: u64 = 253_402_300_799;
    let since_1970 = Duration::from_secs(time.as_secs().min(END_OF_9999));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_1970)
}

fn explain(error: &rustls::Error) -> Cow<'static, str> {
    use CertificateError as C;
    use rustls::Error as E;
    let text = match error {
        E::InvalidCertificate(C::ExpiredContext { not_after, .. }) => {
            let date = date(*not_after);
            return format!(
                "the server's certificate has expired (on {date}), or this machine's clock is ahead"
            )
            .into();
        }
        E::InvalidCertificate(C::NotValidYetContext { not_before, .. }) => {
            let date = date(*not_before);
            return format!(
                "the server's certificate is not valid yet (before {date}): is this machine's clock behind?"
            )
            .into();
        }
        E::InvalidCertificate(C::Expired) => {
            "the server's certificate has expired, or this machine's clock is ahead"
        }
        E::InvalidCertificate(C::NotValidYet) => {
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
    };
    text.into()
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
    fn the_same_failure_reads_the_same_at_any_time_and_says_from_when_on_it_is_over() {
        let at = |seconds| {
            let not_before = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
            let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            let error = CertificateError::NotValidYetContext { time, not_before };
            let error = connection_failure("connect", io(rustls::Error::from(error)));
            Chain(&error).to_string()
        };
        assert_eq!(at(5), at(1_000_000));
        assert!(at(5).contains("2027-01-15T08:00:00Z"), "{}", at(5));
    }

    #[test]
    fn dates_end_with_the_year_9999() {
        let end = UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX));
        assert_eq!(date(end).to_string(), "9999-12-31T23:59:59Z");
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
