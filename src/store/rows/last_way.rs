//! By which way the hub was reached last: what a network lets through seldom changes over a restart.

use rusqlite::Result;
use serde::{Deserialize, Serialize};

use super::documents::{self, DocumentKind};
use super::transaction::Transaction;
use crate::transport::Carrier;

/// What the next start begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastWay {
    /// Worked last.
    pub carrier: Carrier,
    /// When port 8883 was tried last, by the wall clock.
    pub tls_tried_at_ms: i64,
    /// How long after that it is tried again. Earlier versions did so once a day.
    #[serde(default = "one_day_ms")]
    pub tls_again_ms: i64,
}

fn one_day_ms() -> i64 {
    24 * 3_600_000
}

pub(crate) fn load(transaction: &Transaction) -> Result<Option<LastWay>> {
    let row = documents::load(transaction, DocumentKind::LastWay)?;
    Ok(row.and_then(|(_, document)| serde_json::from_str(&document).ok()))
}

pub(crate) fn save(transaction: &mut Transaction, way: LastWay) -> Result<()> {
    let document = serde_json::to_string(&way).unwrap_or_default();
    documents::save(transaction, DocumentKind::LastWay, Some(&(0, document)))
}
