//! What can be read of a damaged table: its tree as far as it holds together, and pages that the damage
//! has cut off from it.
//!
//! Rows that were deleted long ago may still be in pages that are free. So a page outside the tree
//! counts only if it is not known to be free, and only for the ids that the tree cannot account for.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::record::{Kind, Page, Pages, Record, be32, cells, interior_cell, leaf_cell};

const DEPTH_MAX: usize = 20;

/// Ids, or none.
pub(super) type Ids = RangeInclusive<i64>;

/// The reading of one table.
pub(super) struct Tree<'a, P> {
    pages: &'a P,
    /// Pages of trees.
    pub seen: &'a mut HashSet<u32>,
    /// Ids whose rows could not be read, if there were any.
    pub gaps: Vec<Ids>,
}

impl<'a, P: Pages> Tree<'a, P> {
    pub fn new(pages: &'a P, seen: &'a mut HashSet<u32>) -> Tree<'a, P> {
        Tree {
            pages,
            seen,
            gaps: Vec::new(),
        }
    }

    /// Hands out the rows below this page that can be read, in their order.
    pub fn walk<E>(
        &mut self,
        root: u32,
        row: &mut impl FnMut(i64, Record) -> Result<bool, E>,
    ) -> Result<(), E> {
        self.descend(root, i64::MIN..=i64::MAX, 0, row)
    }

    fn descend<E>(
        &mut self,
        number: u32,
        ids: Ids,
        depth: usize,
        row: &mut impl FnMut(i64, Record) -> Result<bool, E>,
    ) -> Result<(), E> {
        if ids.is_empty() {
            return Ok(());
        }
        let page = (!self.seen.contains(&number) && depth < DEPTH_MAX)
            .then(|| self.pages.page(number))
            .flatten();
        let read = page.and_then(|page| cells(&page, number).map(|cells| (page, cells)));
        let Some((page, found)) = read else {
            self.gaps.push(ids);
            return Ok(());
        };
        match found.kind {
            Kind::TableInterior => {
                let Some(children) = children(&page, &found.starts, found.last_child, &ids) else {
                    self.gaps.push(ids);
                    return Ok(());
                };
                self.seen.insert(number);
                for (child, ids) in children {
                    self.descend(child, ids, depth + 1, row)?;
                }
                Ok(())
            }
            kind => {
                self.seen.insert(number);
                self.leaf(&page, kind, &found.starts, ids, row)
            }
        }
    }

    fn leaf<E>(
        &mut self,
        page: &Page,
        kind: Kind,
        starts: &[usize],
        ids: Ids,
        row: &mut impl FnMut(i64, Record) -> Result<bool, E>,
    ) -> Result<(), E> {
        let mut next = *ids.start();
        let mut is_whole = true;
        for start in starts {
            let cell = leaf_cell(self.pages, page, kind, *start);
            let in_place = |id: &i64| kind == Kind::IndexLeaf || (next..=*ids.end()).contains(id);
            let taken = match cell.filter(|(id, _)| in_place(id)) {
                Some((id, record)) => row(id, record)?.then_some(id),
                None => None,
            };
            match taken {
                Some(id) => {
                    if !is_whole {
                        self.gaps.push(next..=id.saturating_sub(1));
                    }
                    is_whole = true;
                    next = id.saturating_add(1);
                }
                None => is_whole = false,
            }
        }
        if !is_whole {
            self.gaps.push(next..=*ids.end());
        }
        Ok(())
    }

    /// Hands out the rows of the gaps that are in pages outside all trees.
    pub fn search_gaps<E>(
        &mut self,
        free: &HashSet<u32>,
        row: &mut impl FnMut(i64, Record) -> Result<bool, E>,
    ) -> Result<(), E> {
        if self.gaps.is_empty() {
            return Ok(());
        }
        for number in 1..=self.pages.count() {
            if free.contains(&number) || self.seen.contains(&number) {
                continue;
            }
            let Some(page) = self.pages.page(number) else {
                continue;
            };
            let Some(found) = cells(&page, number).filter(|it| it.kind != Kind::TableInterior)
            else {
                continue;
            };
            for start in found.starts {
                if let Some((id, record)) = leaf_cell(self.pages, &page, found.kind, start)
                    && self.gaps.iter().any(|gap| gap.contains(&id))
                {
                    row(id, record)?;
                }
            }
        }
        Ok(())
    }
}

/// The children of an interior page with the ids that belong to them; `None` if it cannot be right.
fn children(page: &Page, starts: &[usize], last: u32, ids: &Ids) -> Option<Vec<(u32, Ids)>> {
    let mut next = *ids.start();
    let mut children = Vec::new();
    for start in starts {
        let (child, key) = interior_cell(page, *start)?;
        if !(next..=*ids.end()).contains(&key) {
            return None;
        }
        children.push((child, next..=key));
        next = key.checked_add(1)?;
    }
    children.push((last, next..=*ids.end()));
    Some(children)
}

/// The pages on the list of free pages, as far as it can be read, and whether that is all of them.
pub(super) fn free_pages(pages: &impl Pages) -> (HashSet<u32>, bool) {
    let mut free = HashSet::new();
    let Some(first) = pages
        .page(1)
        .filter(|page| page.starts_with(b"SQLite format 3\0"))
    else {
        return (free, false);
    };
    let (next, count) = (be32(&first, 32), be32(&first, 36));
    let mut next = next.unwrap_or(0);
    while next != 0 && free.insert(next) {
        let Some(trunk) = pages.page(next) else { break };
        let leaves = be32(&trunk, 4).unwrap_or(0) as usize;
        for leaf in 0..leaves.min(super::record::PAGE / 4 - 2) {
            free.extend(be32(&trunk, 8 + 4 * leaf));
        }
        next = be32(&trunk, 0).unwrap_or(0);
    }
    let is_complete = next == 0 && count == u32::try_from(free.len()).ok();
    (free, is_complete)
}
