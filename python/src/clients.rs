//! The clients of this process.

use std::sync::{Arc, Mutex, Weak};

use crate::handle::Handle;
use crate::per_process::PerProcess;
use crate::unpoisoned::unpoisoned;

/// Locked only with the interpreter's lock held, under which a fork happens, too: so a child never inherits
/// it locked.
static CLIENTS: PerProcess<List> = PerProcess::new();

type List = Mutex<Vec<Weak<Handle>>>;

/// Remembers a client, for the exit and for forks.
pub fn remember(client: &Arc<Handle>) {
    let mut clients = unpoisoned(CLIENTS.own().lock());
    clients.retain(|client| client.strong_count() > 0);
    clients.push(Arc::downgrade(client));
}

/// Those that live.
pub fn all() -> Vec<Arc<Handle>> {
    alive(CLIENTS.own())
}

/// Those of the processes that this one was forked from.
pub fn of_ancestors() -> Vec<Arc<Handle>> {
    CLIENTS.of_ancestors().flat_map(alive).collect()
}

fn alive(list: &List) -> Vec<Arc<Handle>> {
    unpoisoned(list.lock())
        .iter()
        .filter_map(Weak::upgrade)
        .collect()
}
