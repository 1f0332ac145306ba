//! The numbers in JSON payloads, over time.

use std::collections::{BTreeMap, VecDeque};

use maud::{Markup, html};
use serde_json::Value;
use spotflow_emulator::Message;

const POINTS_MAX: usize = 240;
/// Of a device's payloads that are made of thousands of numbers, the first are enough.
const SERIES_MAX: usize = 60;
const DEPTH_MAX: usize = 4;
/// The drawing's own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 36.0;

/// Stream, device, and where in the payload.
type Key = (String, String, String);

#[derive(Default)]
pub(super) struct Numbers {
    series: BTreeMap<Key, VecDeque<Point>>,
}

#[derive(Clone, Copy)]
struct Point {
    unix_ms: u64,
    value: f64,
}

impl Numbers {
    pub fn add(&mut self, stream: &str, message: &Message, unix_ms: u64) {
        let Ok(payload) = serde_json::from_slice::<Value>(&message.payload) else {
            return;
        };
        let mut found = Vec::new();
        collect(&payload, String::new(), DEPTH_MAX, &mut found);
        for (path, value) in found {
            let key = (stream.to_owned(), message.device_id.clone(), path);
            if self.series.len() >= SERIES_MAX && !self.series.contains_key(&key) {
                continue;
            }
            let points = self.series.entry(key).or_default();
            if points.len() == POINTS_MAX {
                points.pop_front();
            }
            points.push_back(Point { unix_ms, value });
        }
    }

    /// A table with a plot of each, of that stream if it is named.
    pub fn table(&self, stream: &str) -> Markup {
        let mut shown = self
            .series
            .iter()
            .filter(|((of, ..), _)| stream.is_empty() || of == stream)
            .peekable();
        html! {
            @if shown.peek().is_none() {
                p { "No Message with numbers in a JSON payload yet." }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { "Number" } th scope="col" { "Device" } th scope="col" { "Stream" }
                        th.number scope="col" { "Last" } th scope="col" { "Over time" }
                    } }
                    tbody {
                        @for ((stream, device, path), points) in shown {
                            (row(stream, device, path, points))
                        }
                    }
                }
            }
        }
    }
}

/// The numbers of a payload, with the names that lead there. Lists are left out: their places are no names.
fn collect(value: &Value, path: String, depth: usize, found: &mut Vec<(String, f64)>) {
    match value {
        Value::Number(number) => {
            let name = if path.is_empty() {
                "(payload)".to_owned()
            } else {
                path
            };
            found.extend(number.as_f64().map(|number| (name, number)));
        }
        Value::Object(fields) if depth > 0 => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                collect(value, path, depth - 1, found);
            }
        }
        _ => {}
    }
}

fn row(stream: &str, device: &str, path: &str, points: &VecDeque<Point>) -> Markup {
    let values = || points.iter().map(|point| point.value);
    let (low, high) = (
        values().fold(f64::MAX, f64::min),
        values().fold(f64::MIN, f64::max),
    );
    let last = values().next_back().unwrap_or_default();
    let told = format!(
        "{} values between {} and {}",
        points.len(),
        short(low),
        short(high)
    );
    html! {
        tr {
            th scope="row" data-label="Number" { (path) }
            td data-label="Device" { (device) }
            td data-label="Stream" { (stream) }
            td.number data-label="Last" { (short(last)) }
            td data-label="Over time" {
                svg.plot viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none"
                    role="img" aria-label=(told) {
                    polyline points=(line(points, low, high)) {}
                }
                span.range { (short(low)) " to " (short(high)) }
            }
        }
    }
}

/// The points of a plot, from left to right.
fn line(points: &VecDeque<Point>, low: f64, high: f64) -> String {
    let first = points.front().map_or(0, |point| point.unix_ms);
    let last = points.back().map_or(0, |point| point.unix_ms);
    let span = (last - first).max(1) as f64;
    let place = |point: &Point| {
        let x = (point.unix_ms.saturating_sub(first)) as f64 / span * WIDTH;
        let share = if high > low {
            (point.value - low) / (high - low)
        } else {
            0.5
        };
        // Within the edges by the line's width.
        let y = 2.0 + (1.0 - share) * (HEIGHT - 4.0);
        format!("{x:.1},{y:.1}")
    };
    let places: Vec<_> = points.iter().map(place).collect();
    places.join(" ")
}

/// As many digits as a person reads.
fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn found(payload: Value) -> Vec<(String, f64)> {
        let mut found = Vec::new();
        collect(&payload, String::new(), DEPTH_MAX, &mut found);
        found
    }

    #[test]
    fn numbers_are_found_by_name() {
        assert_eq!(found(json!(5)), [("(payload)".to_owned(), 5.0)]);
        let payload = json!({"a": 1, "b": {"c": 2.5, "d": "text"}, "e": [3]});
        assert_eq!(
            found(payload),
            [("a".to_owned(), 1.0), ("b.c".to_owned(), 2.5)]
        );
        let deep = json!({"a": {"b": {"c": {"d": {"e": 1}}}}});
        assert_eq!(found(deep), []);
    }

    #[test]
    fn a_line_fills_its_place() {
        let points = [(1000, 20.0), (1500, 30.0), (2000, 25.0)];
        let points = points.map(|(unix_ms, value)| Point { unix_ms, value });
        assert_eq!(
            line(&points.into(), 20.0, 30.0),
            "0.0,34.0 120.0,2.0 240.0,18.0"
        );
        let one = [Point {
            unix_ms: 7,
            value: 1.0,
        }];
        assert_eq!(line(&one.into(), 1.0, 1.0), "0.0,18.0");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            ["21.5", "-3", "0.333"],
            [21.5, -3.0, 1.0 / 3.0]
                .map(short)
                .each_ref()
                .map(String::as_str)
        );
    }
}
