//! Millions of numbers, sorted, and above them what leads to the right few: eight bytes and a quarter for each.
//!
//! A binary search over ten million numbers waits for the memory two dozen times. Here every 32nd number stands one
//! level up, and so on, down to a handful; a level is read in one stretch of four cache lines, which the processor
//! fetches at once, and only the lowest is in no cache. `benches/lists.rs` has the figures beside well-kept hash sets,
//! which are faster and take twice to nine times the memory, and more while they grow.

/// Numbers of one stretch: four cache lines.
const STRETCH: usize = 32;

/// A set of numbers.
#[derive(Debug, Default)]
pub(super) struct Keys {
    sorted: Vec<u64>,
    /// Each the first of every stretch of the next one, the last of `sorted`; the shortest first.
    above: Vec<Vec<u64>>,
}

impl Keys {
    /// Of these, in any order, each as often as it comes.
    pub(super) fn new(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        keys.shrink_to_fit();
        let firsts = |level: &[u64]| level.iter().step_by(STRETCH).copied().collect::<Vec<_>>();
        let mut above = Vec::new();
        let mut level = firsts(&keys);
        while level.len() > 1 {
            let next = firsts(&level);
            above.push(std::mem::replace(&mut level, next));
        }
        above.reverse();
        Self { sorted: keys, above }
    }

    /// Where it stands, if it is in.
    pub(super) fn position(&self, key: u64) -> Option<usize> {
        let mut place = 0;
        for level in self.above.iter().chain([&self.sorted]) {
            let start = place * STRETCH;
            let stretch = &level[start..level.len().min(start + STRETCH)];
            let not_after = stretch.iter().filter(|first| **first <= key).count();
            place = start + not_after.checked_sub(1)?;
        }
        (self.sorted[place] == key).then_some(place)
    }

    /// All of them, rising.
    pub(super) fn as_slice(&self) -> &[u64] {
        &self.sorted
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    proptest::proptest! {
        #[test]
        fn what_went_in_is_in_and_nothing_else(
            keys in proptest::collection::vec(0_u64..6_000, 0..4_000),
            others in proptest::collection::vec(0_u64..6_002, 50),
        ) {
            let plain: BTreeSet<u64> = keys.iter().copied().collect();
            let set = Keys::new(keys);
            proptest::prop_assert_eq!(set.as_slice(), plain.iter().copied().collect::<Vec<_>>());
            for other in others {
                let place = plain.contains(&other).then(|| plain.range(..other).count());
                proptest::prop_assert_eq!(set.position(other), place, "{}", other);
            }
        }
    }

    #[test]
    fn a_set_of_any_size_has_its_ends() {
        for size in
            [0, 1, 2, STRETCH - 1, STRETCH, STRETCH + 1, STRETCH * STRETCH, STRETCH * STRETCH + 1, 40_000]
        {
            let set = Keys::new((1..=size as u64).map(|n| n * 2).collect());
            let last = size as u64 * 2;
            assert_eq!(set.position(last), size.checked_sub(1), "{size}");
            assert!(
                [0, 1, last + 1, u64::MAX]
                    .iter()
                    .all(|other| *other == last || set.position(*other).is_none()),
                "{size}"
            );
            let all = (0..size).all(|at| set.position(at as u64 * 2 + 2) == Some(at));
            assert!(all, "{size}");
        }
    }
}
