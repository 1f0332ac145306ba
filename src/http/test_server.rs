//! A scripted HTTPS server on a loopback port: every connection is one request and one raw answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::agent::Agent;
use super::instance::Instance;
use crate::net::trust::Trust;

pub(super) const DATE: &str = "Sun, 22 Nov 2026 12:00:00 GMT";

pub(super) struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

pub(super) enum Reply {
    /// Status and JSON body, with a `Date`.
    Json(u16, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, then the end of the connection, which TLS is not told of.
    Cut(Vec<u8>),
    /// These bytes, one every 50 ms.
    Trickle(Vec<u8>),
    /// Nothing, until the other side gives up.
    Silence,
}

pub(super) struct TestServer {
    pub host: String,
    root: CertificateDer<'static>,
    reads_bodies: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<Request>>>,
    /// Tells that a request was read, whatever came of it.
    pub arrived: mpsc::Receiver<()>,
}

impl TestServer {
    pub fn start(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> TestServer {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        TestServer::with_certificate(&params.self_signed(&key).unwrap(), &key, reply)
    }

    /// One that answers without reading bodies.
    pub fn unread(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> TestServer {
        let server = TestServer::start(reply);
        server.reads_bodies.store(false, Ordering::SeqCst);
        server
    }

    pub fn with_certificate(
        certificate: &rcgen::Certificate,
        key: &rcgen::KeyPair,
        reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> TestServer {
        let root = certificate.der().clone();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![root.clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (tell, arrived) = mpsc::channel();
        let (reply, record) = (Arc::new(reply), Arc::clone(&requests));
        let reads_bodies = Arc::new(AtomicBool::new(true));
        let reads = Arc::clone(&reads_bodies);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let stream = stream.unwrap();
                // What is held back for an acknowledgement is lost by a close on unread data.
                stream.set_nodelay(true).unwrap();
                let stream = StreamOwned::new(connection, stream);
                let (reply, record, tell) = (Arc::clone(&reply), Arc::clone(&record), tell.clone());
                let reads = reads.load(Ordering::SeqCst);
                thread::spawn(move || serve(stream, reads, &*reply, &record, &tell));
            }
        });
        TestServer {
            host,
            root,
            reads_bodies,
            requests,
            arrived,
        }
    }

    pub fn agent(&self) -> Agent {
        Agent::new(&Trust::only(self.root.clone()))
    }

    pub fn instance(&self) -> Instance {
        Instance::parse(&self.host).unwrap()
    }

    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

/// A listener whose queue is full: who connects waits, as for a host that does not answer.
pub(super) fn unanswering() -> (TcpListener, Vec<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(socket);
        assert!(waiting.len() < 10_000, "the system's queue has an end");
    }
    (listener, waiting)
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    reads_body: bool,
    reply: &dyn Fn(&Request) -> Reply,
    record: &Mutex<Vec<Request>>,
    tell: &mpsc::Sender<()>,
) {
    let Some(request) = read(&mut stream, reads_body) else {
        return;
    };
    let answer = reply(&request);
    record.lock().unwrap().push(request);
    tell.send(()).ok();
    match answer {
        Reply::Json(status, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {status} X\r\nDate: {DATE}\r\nContent-Length: {length}");
            stream
                .write_all(format!("{head}\r\n\r\n{body}").as_bytes())
                .ok();
        }
        Reply::Raw(bytes) => {
            stream.write_all(&bytes).ok();
        }
        Reply::Cut(bytes) => {
            stream.write_all(&bytes).ok();
            stream.flush().ok();
            return;
        }
        Reply::Trickle(bytes) => {
            for byte in bytes {
                if stream
                    .write_all(&[byte])
                    .and_then(|()| stream.flush())
                    .is_err()
                {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
        }
        Reply::Silence => {
            stream.read_exact(&mut [0]).ok();
        }
    }
    stream.conn.send_close_notify();
    stream.flush().ok();
}

fn read(stream: &mut impl Read, reads_body: bool) -> Option<Request> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        let mut more = [0; 4096];
        match stream.read(&mut more) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&more[..count]),
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut body = bytes.split_off(end + 4);
    if !reads_body {
        return Some(Request { head, body });
    }
    let length = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        })
        .unwrap_or(0);
    let read = body.len();
    body.resize(length, 0);
    stream.read_exact(&mut body[read..]).ok()?;
    Some(Request { head, body })
}
