//! What is new, for a browser that has a page open.

use std::convert::Infallible;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt, stream};
use maud::Markup;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::feed::Update;
use super::{Page, device_view, view};

/// What the page shows.
#[derive(Deserialize)]
pub(super) struct Shown {
    /// A device's page; else the overview.
    device: Option<String>,
    #[serde(default)]
    stream: String,
    /// The last Message that it has.
    #[serde(default)]
    after: u64,
}

pub(super) async fn events(
    State(page): State<Page>,
    Query(mut shown): Query<Shown>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id");
    if let Some(last) = last.and_then(|id| id.to_str().ok()?.parse().ok()) {
        // The browser connects again.
        shown.after = last;
    }
    let watcher = Watcher {
        updates: page.feed.updates.subscribe(),
        page,
        shown,
        is_first: true,
    };
    let batches = stream::unfold(watcher, async |mut watcher| {
        let events = watcher.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), watcher))
    });
    Sse::new(batches.flatten()).keep_alive(KeepAlive::default())
}

struct Watcher {
    page: Page,
    shown: Shown,
    updates: Receiver<Update>,
    is_first: bool,
}

impl Watcher {
    /// Nothing once there will be none.
    async fn next(&mut self) -> Option<Vec<Event>> {
        if self.is_first {
            // What happened between the page and this.
            self.is_first = false;
            return Some([self.state(), self.messages()].concat());
        }
        match self.updates.recv().await {
            Ok(Update::State) => Some(self.state()),
            Ok(Update::Messages) => Some(self.messages()),
            Err(RecvError::Lagged(_)) => Some([self.state(), self.messages()].concat()),
            Err(RecvError::Closed) => None,
        }
    }

    fn state(&self) -> Vec<Event> {
        let platform = &self.page.platform;
        match &self.shown.device {
            None => vec![
                section("operations", view::operations(platform)),
                section("devices", view::devices(platform)),
                section("tunnels", view::tunnels(platform)),
            ],
            Some(device) => vec![
                section("device-state", device_view::state(&self.page, device)),
                section(
                    "desired",
                    device_view::properties(platform.desired(device).ok()),
                ),
                section(
                    "reported",
                    device_view::properties(platform.reported(device).ok()),
                ),
            ],
        }
    }

    fn messages(&mut self) -> Vec<Event> {
        if self.shown.device.is_some() {
            return Vec::new();
        }
        let (after, stream) = (self.shown.after, &self.shown.stream);
        let (rows, last, numbers, streams) = self.page.feed.look(|recent| {
            let rows = recent.rows_after(after, stream);
            let streams = view::streams_to_choose(stream, &recent.streams);
            (
                rows,
                recent.last_sequence(),
                recent.numbers.table(stream),
                streams,
            )
        });
        self.shown.after = last;
        let rows: String = rows.iter().map(|row| row.html.as_str()).collect();
        let count = self.page.platform.received_count();
        vec![
            Event::default()
                .event("messages")
                .data(one_line(&rows))
                .id(last.to_string()),
            Event::default()
                .event("section")
                .data(format!("count {count}")),
            section("numbers", numbers),
            section("stream", streams),
        ]
    }
}

/// The id of an element, and its new content.
fn section(id: &str, content: Markup) -> Event {
    let content = content.into_string();
    Event::default()
        .event("section")
        .data(one_line(&format!("{id} {content}")))
}

/// An event's data has no carriage returns; in HTML they count as other blanks do.
fn one_line(html: &str) -> String {
    html.replace('\r', "&#13;")
}
