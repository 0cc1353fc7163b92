//! The places of deletes that are under way: so many in all, and so many for each library.
//!
//! A library that answers slowly, or not at all, fills its own places and no more: what is asked of
//! it beyond them is refused at once, and the others go on. With its places a library has what is
//! known of how much it bears.

use std::sync::Arc;
use std::time::Instant;

use crate::fast_map::FastMap;
use crate::ids::LibraryId;
use crate::limits::Easing;
use crate::tally::{Counted, Tally};

/// How many deletes may be under way, and how many are. The counts outlive a reload.
#[derive(Default)]
pub struct Places {
    all: Tally,
    most: usize,
    libraries: FastMap<LibraryId, Share>,
}

#[derive(Clone)]
struct Share {
    taken: Tally,
    /// `None`: it is not configured any more, and only what began before is counted.
    most: Option<usize>,
    easing: Arc<Easing>,
}

/// A place in all and one of a library, until it is dropped.
pub struct Place {
    /// What is known of how much the library bears.
    pub easing: Arc<Easing>,
    _of_library: Counted,
    _in_all: Counted,
}

/// The places of a library, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareStatus {
    /// Which library.
    pub library: LibraryId,
    /// Its deletes under way.
    pub in_flight: usize,
    /// How many there may be; `None` if it is not configured any more.
    pub most: Option<usize>,
    /// Deletes a second that SMH is found to bear, while that holds deletes back.
    pub eased_to: Option<f64>,
}

impl Places {
    /// Those that come after these, with other bounds: what is under way is counted on.
    #[must_use]
    pub fn succeeded_by(
        &self,
        most: usize,
        libraries: impl IntoIterator<Item = (LibraryId, usize)>,
    ) -> Self {
        let share = |(library, most)| {
            let share = match self.libraries.get(&library) {
                Some(share) => Share { most: Some(most), ..share.clone() },
                None => Share {
                    taken: Tally::default(),
                    most: Some(most),
                    easing: Arc::new(Easing::new(Instant::now())),
                },
            };
            (library, share)
        };
        let mut next: FastMap<_, _> = libraries.into_iter().map(share).collect();
        for (library, share) in &self.libraries {
            // Even one without a delete: one that began before may be about to take a place.
            let may_grow = share.most.is_some() || share.taken.is_shared();
            if may_grow && !next.contains_key(library) {
                next.insert(library.clone(), Share { most: None, ..share.clone() });
            }
        }
        Self { all: self.all.clone(), most, libraries: next }
    }

    /// A place in all and one of the library, both or none.
    #[must_use]
    pub fn take(&self, library: &LibraryId) -> Option<Place> {
        let Share { taken, most, easing } = self.libraries.get(library)?;
        // The library's first: what is too much for it never takes a place that another one needs,
        // not for an instant.
        let of_library = taken.enter_below((*most)?)?;
        let in_all = self.all.enter_below(self.most)?;
        Some(Place { easing: Arc::clone(easing), _of_library: of_library, _in_all: in_all })
    }

    /// What is known of how much a library bears.
    #[must_use]
    pub fn easing(&self, library: &LibraryId) -> Option<&Easing> {
        self.libraries.get(library).map(|share| &*share.easing)
    }

    /// All deletes that are under way.
    #[must_use]
    pub fn all(&self) -> &Tally {
        &self.all
    }

    /// Each library's, in the order of their ids; of one that is gone, as long as there are any.
    #[must_use]
    pub fn status(&self, now: Instant) -> Vec<ShareStatus> {
        let shares = self.libraries.iter().map(|(library, share)| ShareStatus {
            library: library.clone(),
            in_flight: share.taken.count(),
            most: share.most,
            eased_to: share.easing.rate(now),
        });
        let mut all: Vec<_> =
            shares.filter(|one| one.most.is_some() || one.in_flight > 0).collect();
        all.sort_by(|a, b| a.library.cmp(&b.library));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(library: &str) -> LibraryId {
        LibraryId::try_from(library).unwrap()
    }

    fn with(before: &Places, most: usize, libraries: &[(&str, usize)]) -> Places {
        before.succeeded_by(most, libraries.iter().map(|(library, most)| (id(library), *most)))
    }

    fn places(most: usize, libraries: &[(&str, usize)]) -> Places {
        with(&Places::default(), most, libraries)
    }

    /// So many as there are.
    fn fill(places: &Places, library: &str) -> Vec<Place> {
        std::iter::from_fn(|| places.take(&id(library))).collect()
    }

    /// In all, and by library.
    fn counts(places: &Places) -> (usize, Vec<(String, usize)>) {
        let status = places.status(Instant::now()).into_iter();
        let by_library = status.map(|one| (one.library.to_string(), one.in_flight));
        (places.all().count(), by_library.collect())
    }

    #[test]
    fn a_library_takes_its_own_places_and_leaves_the_others() {
        let places = places(5, &[("slow", 3), ("good", 3)]);
        let slow = fill(&places, "slow");
        assert_eq!(slow.len(), 3);
        let good = fill(&places, "good");
        assert_eq!(good.len(), 2, "the bound in all");
        assert_eq!(counts(&places), (5, vec![("good".to_owned(), 2), ("slow".to_owned(), 3)]));
        drop(slow);
        assert_eq!(fill(&places, "good").len(), 1);
        assert_eq!(counts(&places), (2, vec![("good".to_owned(), 2), ("slow".to_owned(), 0)]));
    }

    #[test]
    fn who_is_refused_one_place_holds_none() {
        let places = places(2, &[("one", 2), ("two", 1)]);
        let two = fill(&places, "two");
        assert!(places.take(&id("two")).is_none());
        let one = fill(&places, "one");
        assert_eq!((two.len(), one.len()), (1, 1));
        assert!(places.take(&id("one")).is_none(), "none in all");
        assert!(places.take(&id("unknown")).is_none());
        assert_eq!(counts(&places), (2, vec![("one".to_owned(), 1), ("two".to_owned(), 1)]));
    }

    #[test]
    fn what_is_under_way_is_counted_on_and_other_bounds_apply_at_once() {
        let first = places(10, &[("one", 2), ("two", 2)]);
        let mut held = fill(&first, "one");
        let more = with(&first, 10, &[("one", 3), ("two", 2)]);
        held.extend(fill(&more, "one"));
        assert_eq!(held.len(), 3);
        let fewer = with(&more, 10, &[("one", 1), ("two", 2)]);
        held.truncate(1);
        assert!(fewer.take(&id("one")).is_none());
        held.clear();
        assert_eq!(fill(&fewer, "one").len(), 1);
        let fewer_in_all = with(&fewer, 1, &[("one", 1), ("two", 1)]);
        let _one = fill(&fewer_in_all, "one");
        assert!(fewer_in_all.take(&id("two")).is_none());
    }

    #[test]
    fn a_library_that_goes_and_comes_back_has_not_forgotten_what_is_under_way() {
        let mut places = places(10, &[("one", 2), ("two", 2)]);
        let before = with(&places, 10, &[("one", 2), ("two", 2)]);
        for _ in 0..3 {
            places = with(&places, 10, &[("two", 2)]);
            assert!(places.take(&id("one")).is_none(), "gone");
        }
        // A delete that began before the first of these takes its place only now.
        let held = before.take(&id("one"));
        assert_eq!(counts(&places), (1, vec![("one".to_owned(), 1), ("two".to_owned(), 0)]));
        let back = with(&places, 10, &[("one", 2), ("two", 2)]);
        assert_eq!(fill(&back, "one").len(), 1);
        drop((held, before, back));
        let gone = with(&with(&places, 10, &[("two", 2)]), 10, &[("two", 2)]);
        drop(places);
        assert_eq!(with(&gone, 10, &[("two", 2)]).libraries.len(), 1, "nothing is kept for ever");
    }
}
