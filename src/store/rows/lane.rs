//! A Message's lane is in the id of its row: each lane has a range of ids, and within it the number that all Messages
//! are counted with. So a lane is read in its order without an index, and a row of the usual lane is not a byte longer
//! than one without lanes.

use std::ops::RangeInclusive;

use rusqlite::Result;

use crate::message::priority::Priority;

/// So many bits of an id are the number; above are three for the lane.
const NUMBER_BITS: u32 = 56;
/// The highest number.
pub(super) const NUMBER_MAX: i64 = (1 << NUMBER_BITS) - 1;

/// What stands for a lane in an id; the usual one has none. Of the others the higher ones have the higher ids: behind a
/// backlog of lower lanes an alarm's row goes to the end of the table, where SQLite changes the fewest pages for it.
pub(super) fn code(priority: Priority) -> i64 {
    match priority {
        Priority::Normal => 0,
        Priority::Bulk => 1,
        Priority::Low => 2,
        Priority::High => 3,
        Priority::Urgent => 4,
    }
}

pub(super) fn of_code(code: i64) -> Priority {
    match code {
        ..=0 => Priority::Normal,
        1 => Priority::Bulk,
        2 => Priority::Low,
        3 => Priority::High,
        _ => Priority::Urgent,
    }
}

/// The id of the Message with this number.
pub(crate) fn id(priority: Priority, number: i64) -> i64 {
    (code(priority) << NUMBER_BITS) | number
}

/// The lane of the Message with this id.
pub(crate) fn priority(id: i64) -> Priority {
    of_code(id >> NUMBER_BITS)
}

/// The Message's place in the order of all that were ever stored.
pub(crate) fn number(id: i64) -> i64 {
    if id < 0 { id } else { id & NUMBER_MAX }
}

/// The ids of a lane. Any id belongs to one, also such as this library gives to no row.
pub(crate) fn ids(priority: Priority) -> RangeInclusive<i64> {
    let first = id(priority, 0);
    match priority {
        Priority::Normal => i64::MIN..=NUMBER_MAX,
        Priority::Urgent => first..=i64::MAX,
        _ => first..=first + NUMBER_MAX,
    }
}

/// What of these ids is in each lane.
pub(crate) fn split(
    ids: &RangeInclusive<i64>,
) -> impl Iterator<Item = (Priority, RangeInclusive<i64>)> {
    let (first, last) = (*ids.start(), *ids.end());
    Priority::ALL.into_iter().filter_map(move |priority| {
        let lane = self::ids(priority);
        let part = first.max(*lane.start())..=last.min(*lane.end());
        (!part.is_empty()).then_some((priority, part))
    })
}

/// The highest number in a table; 0 if it is empty.
pub(crate) fn newest_number(connection: &rusqlite::Connection, table: &'static str) -> Result<i64> {
    let sql = format!("SELECT coalesce(max(id), 0) FROM {table} WHERE id BETWEEN ?1 AND ?2");
    let mut statement = connection.prepare(&sql)?;
    let mut newest = 0;
    for priority in Priority::ALL {
        let lane = ids(priority);
        let id = statement.query_row((lane.start(), lane.end()), |row| row.get(0))?;
        newest = newest.max(number(id));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_its_lane_and_its_number() {
        for lane in Priority::ALL {
            for number_in in [1, 77, NUMBER_MAX] {
                let id = id(lane, number_in);
                assert!(id > 0, "as the sent log wants it");
                assert_eq!((priority(id), number(id)), (lane, number_in));
                assert!(ids(lane).contains(&id));
            }
        }
        assert_eq!(id(Priority::Normal, 77), 77, "as before there were lanes");
    }

    #[test]
    fn every_id_is_in_exactly_one_lane() {
        let all = i64::MIN..=i64::MAX;
        let mut parts: Vec<_> = split(&all).collect();
        parts.sort_by_key(|(_, ids)| *ids.start());
        assert_eq!(parts.len(), Priority::ALL.len());
        assert_eq!(parts.first().map(|(_, ids)| *ids.start()), Some(i64::MIN));
        assert_eq!(parts.last().map(|(_, ids)| *ids.end()), Some(i64::MAX));
        for pair in parts.windows(2) {
            assert_eq!(*pair[0].1.end() + 1, *pair[1].1.start());
        }
        for (lane, ids) in parts {
            assert_eq!(priority(*ids.start()), lane);
            assert_eq!(priority(*ids.end()), lane);
        }
    }

    #[test]
    fn a_row_of_a_higher_lane_lies_behind_every_backlog_of_lower_ones_but_for_the_usual_lane() {
        let first_ids = Priority::ALL.map(|lane| *ids(lane).start());
        let [urgent, high, normal, low, bulk] = first_ids;
        assert!(normal < bulk && bulk < low && low < high && high < urgent);
    }
}
