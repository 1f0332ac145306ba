//! What all parts share: one state under one lock, and one condition variable that every change signals.
//!
//! One lock, because the broker takes it once for a whole batch of packets, and because a fault set by one
//! thread must hold for everything that happens after the call returned.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::error::Timeout;
use crate::faults::Faults;
use crate::hub::{Connections, Methods};
use crate::news::Events;
use crate::platform::Settings;
use crate::provisioning::Provisioning;
use crate::record::Record;
use crate::registry::Registry;
use crate::relay::{Forwards, Tunnels};
use crate::requests::HttpState;
use crate::storage::Storage;
use crate::traffic::TrafficLog;

pub(crate) struct State {
    pub provisioning: Provisioning,
    pub registry: Registry,
    pub connections: Connections,
    pub methods: Methods,
    pub record: Record,
    pub storage: Storage,
    pub faults: Faults,
    pub http: HttpState,
    pub tunnels: Tunnels,
    pub forwards: Forwards,
    pub events: Events,
    pub workspace_disabled: bool,
    /// What devices are told as the hub, if it is not [`Core::hub_host`].
    pub announced_hub: Option<String>,
}

pub(crate) struct Core {
    pub settings: Settings,
    pub clock: Clock,
    /// `host` or `host:port`, as devices are told.
    pub instance: String,
    pub hub_host: String,
    pub traffic: TrafficLog,
    state: Mutex<State>,
    changed: Condvar,
    /// The same for asynchronous code.
    news: Notify,
    /// Whether MQTT connections are open but dead. Only changed under the lock.
    pub silent: watch::Sender<bool>,
    /// Signals the HTTP side that its faults were changed, for requests that are being held.
    pub http_faults_changed: watch::Sender<()>,
}

impl Core {
    pub fn new(settings: Settings, instance: String, hub_host: String, state: State) -> Self {
        let clock = Clock {
            offset_seconds: settings.clock_offset_seconds,
        };
        Self {
            traffic: TrafficLog::new(settings.record_traffic),
            settings,
            clock,
            instance,
            hub_host,
            state: Mutex::new(state),
            changed: Condvar::new(),
            news: Notify::new(),
            silent: watch::Sender::new(false),
            http_faults_changed: watch::Sender::new(()),
        }
    }

    /// For looking only.
    pub fn look(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Changes the state and wakes whoever waits for a change.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock());
        self.changed.notify_all();
        self.news.notify_waiters();
        result
    }

    /// Waits until `found` finds something.
    pub async fn until<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            // Made before looking: it hears of changes from then on.
            let news = self.news.notified();
            if let Some(result) = found(&mut self.state.lock()) {
                return result;
            }
            news.await;
        }
    }

    /// Waits until `found` finds something; `awaited` says, for the error, what that is.
    pub fn wait<T>(
        &self,
        timeout: Duration,
        mut found: impl FnMut(&mut State) -> Option<T>,
        awaited: impl FnOnce(&State) -> String,
    ) -> Result<T, Timeout> {
        let deadline = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        loop {
            if let Some(result) = found(&mut state) {
                return Ok(result);
            }
            let in_time = match deadline {
                Some(deadline) => !self.changed.wait_until(&mut state, deadline).timed_out(),
                None => {
                    self.changed.wait(&mut state);
                    true
                }
            };
            if !in_time {
                // The last change may have come together with the deadline.
                return found(&mut state).ok_or_else(|| Timeout {
                    waited: timeout,
                    awaited: awaited(&state),
                });
            }
        }
    }
}
