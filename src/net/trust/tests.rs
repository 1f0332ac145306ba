//! Real files, as packages and people write them.

use super::*;

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

fn system_clock() -> Arc<dyn Clock> {
    Arc::new(crate::clock::SystemClock)
}

fn is_same(a: &Arc<ClientConfig>, b: &Arc<ClientConfig>) -> bool {
    Arc::ptr_eq(a, b)
}

#[test]
fn a_file_that_has_changed_is_read_anew_and_one_that_has_not_keeps_its_sessions() {
    let file = File::with("changing", &certificate_pem());
    let trust = Trust::load(Some(&file.0), system_clock()).unwrap();
    let first = trust.rustls();
    assert!(is_same(&first, &trust.rustls()));
    std::fs::write(&file.0, certificate_pem()).unwrap();
    let second = trust.clone().rustls();
    assert!(!is_same(&first, &second));
    assert!(is_same(&second, &trust.rustls()));
    // As packages replace it: another file of this name.
    let other = File::with("other", &certificate_pem());
    std::fs::rename(&other.0, &file.0).unwrap();
    assert!(!is_same(&second, &trust.rustls()));
}

#[test]
fn while_a_file_is_broken_or_away_the_certificates_from_before_stay() {
    let file = File::with("breaking", &certificate_pem());
    let trust = Trust::load(Some(&file.0), system_clock()).unwrap();
    let first = trust.rustls();
    for broken in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA"] {
        std::fs::write(&file.0, broken).unwrap();
        assert!(is_same(&first, &trust.rustls()), "{broken:?}");
    }
    std::fs::remove_file(&file.0).unwrap();
    assert!(is_same(&first, &trust.rustls()));
    std::fs::write(&file.0, certificate_pem()).unwrap();
    assert!(!is_same(&first, &trust.rustls()));
}

#[test]
fn what_could_not_be_read_is_read_again_also_if_no_time_stamp_tells_of_a_change() {
    let file = File::with("unreadable", &certificate_pem());
    let trust = Trust::load(Some(&file.0), system_clock()).unwrap();
    let in_use = trust.0.current.lock().fingerprint;
    std::fs::write(&file.0, "").unwrap();
    for _ in 0..2 {
        trust.rustls();
        let current = trust.0.current.lock();
        assert_eq!(current.fingerprint, in_use, "the next one reads it again");
        let refused = files::fingerprint(Some(&file.0));
        assert_eq!(current.refused, Some(refused), "it is told once");
    }
    std::fs::write(&file.0, certificate_pem()).unwrap();
    trust.rustls();
    assert_eq!(trust.0.current.lock().refused, None);
}
