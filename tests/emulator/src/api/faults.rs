//! Around every request: notes it, delays it, holds it or replaces its answer, and dates the answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::faults::Way;
use crate::requests::{Replacement, Route};
use crate::state::Core;

pub(crate) async fn watch(State(core): State<Arc<Core>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().as_str(), request.uri().path());
    let query = request.uri().query();
    let route = Route::of(method, path, query);
    let number = core.change(|state| state.http.arrived(method, path, query));
    hold(&core, route).await;
    if route == Route::HubWebSocket {
        // Silence only: what else blocks it is said before.
        core.blockage(Way::WebSocket).await;
    }
    let replacement = core.change(|state| state.http.take_replacement(route));
    let mut response = match replacement {
        None => next.run(request).await,
        Some(replacement) => replaced(replacement),
    };
    if let Ok(date) = HeaderValue::from_str(&core.clock.http_date()) {
        // Who answers in the Platform's place may have another idea of the time.
        response.headers_mut().entry(header::DATE).or_insert(date);
    }
    core.change(|state| state.http.answered(number, response.status().as_u16()));
    response
}

/// Waits as long as the faults want it.
pub(super) async fn hold(core: &Core, route: Route) {
    let mut changes = core.http_faults_changed.subscribe();
    let delay = core.look().http.delay(route);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    loop {
        changes.borrow_and_update();
        if !core.look().http.hangs(route) || changes.changed().await.is_err() {
            return;
        }
    }
}

fn replaced(replacement: Replacement) -> Response {
    match replacement {
        Replacement::Problem {
            status,
            problem_type,
        } => {
            let problem = Problem::new(
                status,
                "Told to fail",
                "the emulator was told to fail this request",
            );
            match problem_type {
                Some(problem_type) => problem.of_type(problem_type).into_response(),
                None => problem.into_response(),
            }
        }
        Replacement::Answer(answer) => {
            let mut response = Response::new(answer.body.into());
            *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
            for (name, value) in &answer.headers {
                if let (Ok(name), Ok(value)) = (name.parse(), value.parse()) {
                    response.headers_mut().append::<HeaderName>(name, value);
                }
            }
            response
        }
    }
}
