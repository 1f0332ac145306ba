//! The device's end: its request to the relay.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, RawQuery, Request, State};
use axum::response::Response;

use super::PlaceRefused;
use crate::api::problem::Problem;
use crate::state::Core;
use crate::websocket;

/// Takes a device's connection to the relay.
pub(crate) async fn connect(
    State(core): State<Arc<Core>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let token = query.as_deref().and_then(|query| {
        let mut pairs = query.split('&');
        pairs.find_map(|pair| pair.strip_prefix("token="))
    });
    let traceparent = request
        .headers()
        .get("traceparent")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let (answer, socket) = websocket::accept(request, None)?;
    let place = core.change(|state| {
        let place = state.tunnels.take_place(&id, token.unwrap_or(""))?;
        state.tunnels.note(&id, |tunnel| {
            tunnel.traceparent_header = traceparent;
            tunnel.connected_at = Some(Instant::now());
        });
        Ok(place)
    });
    let place = place.map_err(|refused| match refused {
        PlaceRefused::Unknown => Problem::new(404, "Not Found", "there is no such tunnel"),
        PlaceRefused::WrongToken => Problem::unauthorized("the token is not of this tunnel"),
        PlaceRefused::Taken => Problem::new(409, "Conflict", "the tunnel is taken or has ended"),
    })?;
    tokio::spawn(async move {
        if let Some(socket) = socket.await {
            // Nobody waits any more: the connection ends with the socket.
            let _ = place.send(socket);
        }
    });
    Ok(answer)
}
