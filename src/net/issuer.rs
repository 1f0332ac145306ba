//! Who issued a certificate and until when it is valid, for whoever has to say what is wrong. Decides
//! nothing: rustls checks certificates.
//!
//! A certificate (RFC 5280, section 4.1) is a SEQUENCE that begins with another, the part that is signed. In there are
//! a version (tagged 0, optional), the serial number, the algorithm, and the issuer's name: a list of SETs of pairs of
//! an attribute's type and its value.

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_ID: u8 = 0x06;
const VERSION: u8 = 0xa0;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANISATION: &[u8] = &[0x55, 0x04, 0x0a];
const NAME_LENGTH_MAX: usize = 80;

/// The issuer's common name, or its organisation; nothing if it cannot be read.
pub(crate) fn issuer(certificate: &[u8]) -> Option<String> {
    let (_, name, _) = element(from_issuer(certificate)?)?;
    [COMMON_NAME, ORGANISATION]
        .into_iter()
        .find_map(|wanted| attribute(name, wanted))
}

/// When the certificate ends to be valid, in seconds since 1970; nothing if it cannot be read.
#[cfg(feature = "tool")]
pub(crate) fn valid_until(certificate: &[u8]) -> Option<i64> {
    let (_issuer, _, rest) = element(from_issuer(certificate)?)?;
    let (_, validity, _) = element(rest)?;
    let (_from, _, rest) = element(validity)?;
    let (tag, time, _) = element(rest)?;
    seconds(tag, std::str::from_utf8(time).ok()?)
}

/// RFC 5280, section 4.1.2.5: `YYMMDDHHMMSSZ` up to 2049, `YYYYMMDDHHMMSSZ` from then on.
#[cfg(feature = "tool")]
fn seconds(tag: u8, text: &str) -> Option<i64> {
    const UTC_TIME: u8 = 0x17;
    let text = match (tag, text.get(..2)?) {
        (UTC_TIME, year) if year < "50" => format!("20{text}"),
        (UTC_TIME, _) => format!("19{text}"),
        _ => text.to_owned(),
    };
    let part = |from, to| text.get(from..to);
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        part(12, 14)?
    );
    let format = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(&rfc3339, format).ok()?;
    Some(time.unix_timestamp())
}

/// What a certificate has from its issuer's name on.
fn from_issuer(certificate: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    let (tag, _, after) = element(rest)?;
    if tag == VERSION {
        rest = after;
    }
    let (_serial, _, rest) = element(rest)?;
    let (_algorithm, _, rest) = element(rest)?;
    Some(rest)
}

fn attribute(mut name: &[u8], wanted: &[u8]) -> Option<String> {
    while let Some((SET, set, rest)) = element(name) {
        name = rest;
        let Some((SEQUENCE, pair, _)) = element(set) else {
            continue;
        };
        let Some((OBJECT_ID, kind, value)) = element(pair) else {
            continue;
        };
        if kind == wanted {
            let (_, text, _) = element(value)?;
            return readable(text);
        }
    }
    None
}

/// On one line, and bounded.
fn readable(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let text = text.chars().filter(|c| !c.is_control());
    let text: String = text.take(NAME_LENGTH_MAX).collect();
    (!text.trim().is_empty()).then_some(text)
}

/// The tag and content of the element that comes first, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..0x80 => (usize::from(*first), rest),
        // As many bytes of length follow.
        _ => {
            let count = usize::from(first & 0x7f);
            if !(1..=size_of::<u32>()).contains(&count) {
                return None;
            }
            let (length, rest) = rest.split_at_checked(count)?;
            let append = |length: usize, byte: &u8| length << 8 | usize::from(*byte);
            (length.iter().fold(0, append), rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};
    use spotflow_fuzz::fuzz;

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_told_else_the_organisation() {
        let country = (DnType::CountryName, "CZ");
        let organisation = (DnType::OrganizationName, "Factory Ltd");
        let name = (DnType::CommonName, "Factory proxy\nCA");
        let of = |names: &[(DnType, &str)]| issuer(&certificate(names));
        let both = of(&[country.clone(), organisation.clone(), name]);
        assert_eq!(both.as_deref(), Some("Factory proxyCA"));
        assert_eq!(of(&[country, organisation]).as_deref(), Some("Factory Ltd"));
        assert_eq!(of(&[]), None);
        let long = "x".repeat(5_000);
        let long = of(&[(DnType::CommonName, &long)]).unwrap();
        assert_eq!(long.len(), NAME_LENGTH_MAX);
    }

    #[test]
    fn any_bytes_have_a_readable_issuer_or_none() {
        let whole = certificate(&[(DnType::CommonName, "Factory CA")]);
        fuzz("certificate's issuer", move |choices| {
            let mut damaged = whole.clone();
            choices.damage(&mut damaged);
            if let Some(issuer) = issuer(&damaged) {
                assert!(!issuer.chars().any(char::is_control));
                assert!(issuer.chars().count() <= NAME_LENGTH_MAX);
            }
        });
    }
}
