//! The HTTP API of the instance and of the hub.

mod faults;
mod files;
pub(crate) mod problem;
mod provisioning;
mod raw;
mod storage;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::hub;
use crate::hub::connection::Stream;
use crate::relay;
use crate::state::Core;
use problem::Problem;

const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// Serves one connection's requests, as long as the port is open.
pub(crate) async fn serve(
    core: Arc<Core>,
    mut stream: Stream,
    mut accepting: watch::Receiver<bool>,
) {
    let head = tokio::select! {
        head = timeout(HEADER_TIMEOUT, raw::read_head(&mut stream)) => head,
        _ = accepting.wait_for(|accept| !accept) => return,
    };
    let Ok(head) = head else {
        return;
    };
    let Some(stream) = raw::answer(&core, stream, head).await else {
        return;
    };
    let cut = storage::Cut::default();
    let service = TowerToHyperService::new(router(core, cut.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let serve = async {
        // Nothing is made of errors: a client that breaks off or talks nonsense harms nobody but itself.
        tokio::select! {
            _ = connection.as_mut() => return,
            _ = accepting.wait_for(|accept| !accept) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    };
    tokio::select! {
        () = serve => {}
        // Before all of the request was read, and the answer is none.
        () = cut.notified() => {}
    }
}

fn router(core: Arc<Core>, cut: storage::Cut) -> Router {
    let tunnel = format!("{}{{id}}", relay::PATH);
    let blob = format!("{}{{*blob}}", crate::storage::CONTAINER_PATH);
    Router::new()
        .route("/provisioning-operations/init", post(provisioning::init))
        .route(
            "/provisioning-operations/complete",
            put(provisioning::complete),
        )
        .route("/devices/register", put(provisioning::register))
        .route(
            "/devices/registration-tokens/refresh",
            put(provisioning::refresh),
        )
        .route("/devices/{hub_id}/files", post(files::open))
        .route("/devices/{hub_id}/files/notifications", post(files::notify))
        .route(&blob, put(storage::put))
        .route(hub::websocket::PATH, get(hub::websocket::connect))
        .route(&tunnel, get(relay::socket::connect))
        .fallback(async || Problem::new(404, "Not Found", "there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(405, "Method Not Allowed", "this path has another method")
        })
        .layer(Extension(cut))
        .layer(from_fn_with_state(core.clone(), faults::watch))
        .with_state(core)
}
