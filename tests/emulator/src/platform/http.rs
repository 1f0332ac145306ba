//! Telling the HTTP side to misbehave, and asking what it saw.

use std::time::Duration;

use super::Platform;
use crate::error::Timeout;
use crate::requests::{HttpAnswer, HttpRequest, HttpState, RawAnswer, Replacement, Route};

impl Platform {
    /// Answers the next `count` such requests with that status, as a problem with that type, and does nothing else
    /// for them. Several orders are followed one after the other.
    pub fn http_status(&self, route: Route, status: u16, problem_type: Option<&str>, count: u64) {
        let problem_type = problem_type.map(str::to_owned);
        let replacement = Replacement::Problem {
            status,
            problem_type,
        };
        self.core
            .change(|state| state.http.replace(route, replacement, Some(count)));
    }

    /// Answers the next `count` such requests with 200 and that body, and does nothing else for them.
    pub fn http_body(&self, route: Route, body: impl Into<Vec<u8>>, count: u64) {
        let json = HttpAnswer::new(200)
            .header("content-type", "application/json")
            .body(body);
        self.http_answer(route, json, Some(count));
    }

    /// Answers the next `count` such requests, or all until [`Platform::clear_http_faults`], with that, and does
    /// nothing else for them: as a captive portal or an intercepting proxy would. [`Route::Any`] is all calls, to the
    /// storage, the relay and the hub too. Several orders are followed one after the other.
    ///
    /// ```
    /// # let platform = spotflow_emulator::Platform::start()?;
    /// use spotflow_emulator::{HttpAnswer, Route};
    ///
    /// let portal = HttpAnswer::new(302).header("location", "http://portal.example/");
    /// platform.http_answer(Route::Any, portal, None);
    /// let proxy = HttpAnswer::html(407, "Sign in").header("proxy-authenticate", "Basic realm=\"proxy\"");
    /// platform.http_answer(Route::Register, proxy, Some(3));
    /// # Ok::<(), spotflow_emulator::Error>(())
    /// ```
    pub fn http_answer(&self, route: Route, answer: HttpAnswer, count: Option<u64>) {
        let replacement = Replacement::Answer(answer);
        self.core
            .change(|state| state.http.replace(route, replacement, count));
    }

    /// Answers the next `count` such requests with these bytes, and does nothing else for them. Only the first
    /// request of a connection can be answered so. What [`Platform::http_hang`] holds is answered when it goes on.
    pub fn http_raw(&self, route: Route, answer: RawAnswer, count: u64) {
        self.core
            .change(|state| state.http.replace_raw(route, answer, count));
    }

    /// Takes such requests and does not answer them; `false`: goes on with those that are still there.
    pub fn http_hang(&self, route: Route, hang: bool) {
        self.change_http_faults(|http| http.hang(route, hang));
    }

    /// Lets such requests wait before they are handled.
    pub fn http_delay(&self, route: Route, delay: Duration) {
        self.change_http_faults(|http| http.set_delay(route, delay));
    }

    /// Takes all orders to the HTTP side back.
    pub fn clear_http_faults(&self) {
        self.change_http_faults(HttpState::clear_faults);
    }

    fn change_http_faults(&self, change: impl FnOnce(&mut HttpState)) {
        self.core.change(|state| change(&mut state.http));
        self.core.http_faults_changed.send_replace(());
    }

    /// The requests that arrived, the oldest first.
    pub fn http_requests(&self) -> Vec<HttpRequest> {
        self.core.look().http.requests().to_vec()
    }

    /// How many such requests arrived.
    pub fn http_request_count(&self, route: Route) -> usize {
        self.core.look().http.count(route)
    }

    /// Waits until so many such requests arrived, counted from the start.
    ///
    /// # Errors
    /// If there were fewer when the time is over.
    pub fn wait_for_request(
        &self,
        route: Route,
        count: usize,
        timeout: Duration,
    ) -> Result<(), Timeout> {
        self.core.wait(
            timeout,
            |state| (state.http.count(route) >= count).then_some(()),
            |state| {
                format!(
                    "{count} requests of {route:?}; there were {}",
                    state.http.count(route)
                )
            },
        )
    }
}
