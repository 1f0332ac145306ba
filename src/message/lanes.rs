//! One of something for each lane.

use std::ops::{Index, IndexMut};

use super::priority::Priority;

/// One for each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lanes<T>([T; Priority::ALL.len()]);

impl<T> Lanes<T> {
    /// What `make` makes for each.
    pub fn each(make: impl FnMut(Priority) -> T) -> Lanes<T> {
        Lanes(Priority::ALL.map(make))
    }

    /// What `make` makes of each.
    pub fn map<U>(&self, make: impl FnMut(&T) -> U) -> Lanes<U> {
        Lanes(self.0.each_ref().map(make))
    }

    /// The highest first.
    pub fn iter(&self) -> impl Iterator<Item = (Priority, &T)> {
        Priority::ALL.into_iter().zip(&self.0)
    }

    /// The highest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Priority, &mut T)> {
        Priority::ALL.into_iter().zip(&mut self.0)
    }
}

// There is a place for every lane, as `Priority::ALL` has all of them in their order.
#[allow(clippy::indexing_slicing)]
impl<T> Index<Priority> for Lanes<T> {
    type Output = T;

    fn index(&self, priority: Priority) -> &T {
        &self.0[priority as usize]
    }
}

#[allow(clippy::indexing_slicing)]
impl<T> IndexMut<Priority> for Lanes<T> {
    fn index_mut(&mut self, priority: Priority) -> &mut T {
        &mut self.0[priority as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lane_has_its_own() {
        let mut lanes = Lanes::each(|priority| priority.name());
        assert!(
            lanes
                .iter()
                .all(|(priority, name)| priority.name() == *name)
        );
        for priority in Priority::ALL {
            assert_eq!(lanes[priority], priority.name());
        }
        lanes[Priority::Low] = "changed";
        assert_eq!(
            lanes.iter().filter(|(_, name)| **name == "changed").count(),
            1
        );
    }
}
