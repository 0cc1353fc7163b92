//! What a name that nobody knows is probably a misspelling of.

/// The known name that `given` is probably a misspelling of.
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Past this many bytes nobody mistypes a name, and comparing costs the square of it.
    const LONGEST: usize = 64;
    if given.len() > LONGEST {
        return None;
    }
    let letters = Letters::of(given);
    let given: String = plain(given).collect();
    let tolerated = (given.chars().count() / 3).max(1);
    let mut found = None;
    let mut below = tolerated + 1;
    for name in known.into_iter().filter(|name| name.len() <= LONGEST) {
        // There may be ten thousand of them.
        if letters.least_distance(name) >= below {
            continue;
        }
        let other: String = plain(name).collect();
        let distance = strsim::damerau_levenshtein(&given, &other);
        // One letter for another in a name of one letter is another name.
        if distance < below && distance < name.chars().count() {
            (found, below) = (Some(name), distance);
        }
    }
    found
}

/// `Client-CA` for `client_ca` is no distance at all.
fn plain(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_lowercase).map(|c| if c == '-' { '_' } else { c })
}

/// How often each letter is in a name, whatever their order; some letters count as one.
#[derive(Clone, Copy)]
struct Letters([i16; KINDS]);

const KINDS: usize = 128;

impl Letters {
    fn of(name: &str) -> Self {
        let mut letters = Self([0; KINDS]);
        plain(name).for_each(|letter| letters.add(letter, 1));
        letters
    }

    fn add(&mut self, letter: char, times: i16) {
        let kind = usize::try_from(u32::from(letter)).unwrap_or_default() % KINDS;
        if let Some(count) = self.0.get_mut(kind) {
            *count += times;
        }
    }

    /// No name is nearer than this: each edit takes out one letter, puts one in, or both.
    fn least_distance(mut self, name: &str) -> usize {
        plain(name).for_each(|letter| self.add(letter, -1));
        let only_here: i16 = self.0.iter().map(|count| (*count).max(0)).sum();
        let only_there: i16 = self.0.iter().map(|count| (-*count).max(0)).sum();
        usize::try_from(only_here.max(only_there)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_suggestion_is_near_or_not_made() {
        let known = ["client_ca", "certificate", "on", "url"];
        let near = |given| nearest(given, known);
        assert_eq!(near("client-ca"), Some("client_ca"));
        assert_eq!(near("Certifcate"), Some("certificate"));
        assert_eq!(near("onn"), Some("on"));
        assert_eq!(near("ulr"), Some("url"));
        assert_eq!(near("x"), None);
        assert_eq!(near("private_key"), None);
        assert_eq!(near(&"c".repeat(1000)), None);
    }

    /// Every distance, and the first of the least.
    fn by_definition<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
        let plain = |name: &str| name.to_lowercase().replace('-', "_");
        let tolerated = (given.chars().count() / 3).max(1);
        let distance = |name: &str| strsim::damerau_levenshtein(&plain(given), &plain(name));
        let near = known.iter().map(|name| (distance(name), *name));
        near.filter(|&(distance, name)| distance <= tolerated && distance < name.chars().count())
            .min_by_key(|&(distance, _)| distance)
            .map(|(_, name)| name)
    }

    proptest! {
        #[test]
        fn what_is_not_compared_could_not_be_the_nearest(
            given in "[a-cC_\\-0é日]{0,9}",
            known in prop::collection::vec("[a-cC_\\-0é日]{0,9}", 0..12),
        ) {
            let known: Vec<_> = known.iter().map(String::as_str).collect();
            prop_assert_eq!(nearest(&given, known.iter().copied()), by_definition(&given, &known));
        }
    }
}
