//! Name resolution that never blocks its caller.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;

/// The addresses of a name, or why there are none; never `Ok` and empty.
pub(crate) type Resolved = io::Result<Vec<SocketAddr>>;

/// Looks `name` up on a thread of its own and calls `done` there with the result.
///
/// An IP address needs no lookup: `done` is called at once, on the calling thread. The system's
/// resolver cannot be interrupted, so nobody waits for the thread: if the resolver hangs, the thread
/// stays behind with it, and `done` must cope with being called long after anyone cared.
/// An error means that there is no thread to be had; then `done` is never called.
pub(crate) fn resolve(
    name: &str,
    port: u16,
    done: impl FnOnce(Resolved) + Send + 'static,
) -> io::Result<()> {
    if let Ok(address) = name.parse::<IpAddr>() {
        done(Ok(vec![SocketAddr::new(address, port)]));
        return Ok(());
    }
    let name = name.to_owned();
    let _detached = thread::Builder::new()
        .name("spotflow-resolve".into())
        .spawn(move || done(look_up(&name, port)))?;
    Ok(())
}

fn look_up(name: &str, port: u16) -> Resolved {
    #[cfg(test)]
    if let Some(answer) = pretended::answer(port) {
        return answer;
    }
    let addresses: Vec<SocketAddr> = (name, port).to_socket_addrs()?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "the name has no address",
        ));
    }
    Ok(addresses)
}

/// What names resolve to in a test, where the system's resolver says nothing of interest.
#[cfg(test)]
pub(crate) mod pretended {
    use super::*;
    use crate::sync::Mutex;

    type Answer = Box<dyn Fn() -> Resolved + Send>;

    static ANSWERS: Mutex<Vec<(u16, Answer)>> = Mutex::new(Vec::new());

    /// From now on all names that are looked up with this port, which is the test's own, resolve so.
    pub fn set(port: u16, answer: impl Fn() -> Resolved + Send + 'static) {
        ANSWERS.lock().push((port, Box::new(answer)));
    }

    pub fn answer(port: u16) -> Option<Resolved> {
        let answers = ANSWERS.lock();
        let mut answers = answers.iter().filter(|(of, _)| *of == port);
        answers.next_back().map(|(_, answer)| answer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn resolved(name: &str) -> (Resolved, thread::ThreadId) {
        let (send, receive) = mpsc::channel();
        resolve(name, 8883, move |result| {
            send.send((result, thread::current().id())).unwrap();
        })
        .unwrap();
        receive.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    #[test]
    fn an_address_is_answered_at_once_on_the_calling_thread() {
        for name in ["127.0.0.1", "::1"] {
            let (result, thread) = resolved(name);
            assert_eq!(
                result.unwrap(),
                [SocketAddr::new(name.parse().unwrap(), 8883)]
            );
            assert_eq!(thread, thread::current().id());
        }
    }

    #[test]
    fn a_name_is_looked_up_on_another_thread() {
        let (result, thread) = resolved("localhost");
        assert!(result.unwrap().iter().all(|a| a.ip().is_loopback()));
        assert_ne!(thread, thread::current().id());
    }

    #[test]
    fn an_unknown_name_is_an_error() {
        let (result, _) = resolved("no-such-host.invalid");
        assert!(result.is_err());
    }
}
