//! The page: what the Platform sees and can be told, in a browser on this machine.
//!
//! Plain HTTP on a loopback address, for whoever has the link with its token. Everything is rendered here; a short script
//! puts what is new in its place, as it comes by server-sent events. Nothing of it needs a network.

mod access;
mod actions;
mod device_view;
mod events;
mod faults_view;
mod feed;
mod numbers;
mod view;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use spotflow_emulator::Platform;

use access::Access;
use feed::Feed;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// What the handlers share.
#[derive(Clone)]
pub(super) struct Page {
    platform: Arc<Platform>,
    /// Where devices find the CA's certificate.
    ca_file: Arc<std::path::Path>,
    feed: Arc<Feed>,
}

/// What a link may ask for.
#[derive(Deserialize)]
struct Wanted {
    /// Messages of this stream only.
    #[serde(default)]
    stream: String,
    /// What came of an order, where no script shows it.
    #[serde(default)]
    notice: String,
}

/// Serves the page on that port (0: any that is free) until the program ends; returns the link to it.
pub(crate) fn start(
    platform: Arc<Platform>,
    ca_file: &std::path::Path,
    port: u16,
) -> io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let access = Access::new(address);
    let link = format!("http://{address}/?token={}", access.token());
    let page = Page {
        ca_file: ca_file.into(),
        feed: Feed::start(&platform),
        platform,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        // Ends with the program only.
        let _ = runtime.block_on(serve(listener, router(page, access)));
    });
    Ok(link)
}

async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
}

fn router(page: Page, access: Access) -> Router {
    Router::new()
        .route("/", get(overview))
        .route("/devices/{device}", get(device))
        .route("/events", get(events::events))
        .route("/do/{action}", post(actions::execute))
        .route("/style.css", get(asset("text/css", STYLE)))
        .route("/script.js", get(asset("text/javascript", SCRIPT)))
        .with_state(page)
        .layer(from_fn_with_state(Arc::new(access), access::check))
}

fn asset(
    content_type: &'static str,
    content: &'static str,
) -> impl Fn() -> std::future::Ready<Response> + Clone {
    move || {
        let answer = ([(header::CONTENT_TYPE, content_type)], content);
        std::future::ready(answer.into_response())
    }
}

async fn overview(State(page): State<Page>, Query(wanted): Query<Wanted>) -> Response {
    Html(view::overview(&page, &wanted.stream, &wanted.notice).into_string()).into_response()
}

async fn device(
    State(page): State<Page>,
    Path(device): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    match device_view::page(&page, &device, &wanted.notice) {
        Some(markup) => Html(markup.into_string()).into_response(),
        None => (StatusCode::NOT_FOUND, "There is no such device.").into_response(),
    }
}

/// What the page's address is to browsers.
fn host_of(address: SocketAddr) -> [String; 2] {
    [address.to_string(), format!("localhost:{}", address.port())]
}
