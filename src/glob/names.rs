//! Names that are known, ready to be asked which of them a glob matches.

use super::NameGlob;

/// Names in the order of their bytes, each once.
#[derive(Debug, Clone, Default)]
pub struct NameSet<'n>(Vec<&'n str>);

impl<'n> NameSet<'n> {
    /// Whether this is one of them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.0.binary_search(&name).is_ok()
    }

    /// Those that a glob matches. Of ten thousand only those are looked at that begin as it does.
    pub fn matched_by<'s>(&'s self, glob: &'s NameGlob) -> impl Iterator<Item = &'n str> + 's {
        let start = self.0.partition_point(|name| *name < &*glob.prefix);
        let most = if glob.rest.is_none() { 1 } else { usize::MAX };
        let from_there = self.0.get(start..).unwrap_or_default().iter().take(most);
        let alike = from_there.take_while(|name| name.starts_with(&*glob.prefix));
        alike.copied().filter(|name| glob.matches(name))
    }
}

impl<'n> FromIterator<&'n str> for NameSet<'n> {
    fn from_iter<I: IntoIterator<Item = &'n str>>(names: I) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn those_that_match_are_found_and_no_others(
            names in prop::collection::vec("[abé]{0,4}", 0..20),
            glob in "[abé*]{1,4}",
        ) {
            let set: NameSet<'_> = names.iter().map(String::as_str).collect();
            let compiled = NameGlob::try_from(glob.as_str()).unwrap();
            let mut wanted: Vec<_> = names.iter().filter(|name| compiled.matches(name)).collect();
            wanted.sort();
            wanted.dedup();
            prop_assert_eq!(set.matched_by(&compiled).collect::<Vec<_>>(), wanted);
            prop_assert_eq!(set.contains(&glob), names.contains(&glob));
        }
    }
}
