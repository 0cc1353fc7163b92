use proptest::prelude::*;

use super::*;

fn id(text: &str) -> SpiffeId {
    SpiffeId::try_from(text).unwrap()
}

fn pattern(text: &str) -> SpiffePattern {
    SpiffePattern::try_from(text).unwrap()
}

#[test]
fn an_id_has_a_trust_domain_and_a_path() {
    let longest_domain = format!("spiffe://{}/a", "d".repeat(255));
    let longest = format!("spiffe://d/{}", "p".repeat(2048 - "spiffe://d/".len()));
    for text in [
        "spiffe://example.org/billing",
        "spiffe://example.org/ns/prod/sa/billing",
        "spiffe://a-b_c.0/A-Z_.9",
        "spiffe://example.org/.../..a",
        "spiffe://1.2.3.4/x",
        &longest_domain,
        &longest,
    ] {
        assert_eq!(id(text).to_string(), text);
    }
}

#[test]
fn anything_else_is_no_id_and_says_why() {
    use SpiffeError::*;
    let long_domain = format!("spiffe://{}/a", "d".repeat(256));
    let long = format!("spiffe://d/{}", "p".repeat(2048));
    for (text, error) in [
        ("", Scheme),
        ("spiffe:", Scheme),
        ("spiffe:/example.org/a", Scheme),
        ("SPIFFE://example.org/a", Scheme),
        ("https://example.org/a", Scheme),
        (" spiffe://example.org/a", Scheme),
        ("spiffe://", NoDomain),
        ("spiffe:///a", NoDomain),
        ("spiffe://example.org", NoPath),
        ("spiffe://example.org/", TrailingSlash),
        ("spiffe://example.org/a/", TrailingSlash),
        ("spiffe://example.org//a", EmptySegment),
        ("spiffe://example.org/a//b", EmptySegment),
        ("spiffe://example.org/./a", DotSegment),
        ("spiffe://example.org/a/..", DotSegment),
        ("spiffe://example.org:8443/a", Port),
        ("spiffe://user@example.org/a", User),
        ("spiffe://user:pass@example.org/a", User),
        ("spiffe://example.org/a?b", Query),
        ("spiffe://example.org?b", Query),
        ("spiffe://example.org/a#b", Fragment),
        ("spiffe://example.org/%61", Escape),
        ("spiffe://ex%61mple.org/a", Escape),
        ("spiffe://Example.org/a", DomainCharacter('E')),
        ("spiffe://[::1]/a", DomainCharacter('[')),
        ("spiffe://exämple.org/a", DomainCharacter('ä')),
        ("spiffe://example.org/ä", PathCharacter('ä')),
        ("spiffe://example.org/a b", PathCharacter(' ')),
        ("spiffe://example.org/a\0", PathCharacter('\0')),
        ("spiffe://example.org/a\n", PathCharacter('\n')),
        ("spiffe://example.org/a\\b", PathCharacter('\\')),
        ("spiffe://example.org/*", PathCharacter('*')),
        (&long_domain, DomainTooLong),
        (&long, TooLong),
    ] {
        assert_eq!(SpiffeId::try_from(text), Err(error), "{text:?}");
    }
}

#[test]
fn a_star_stands_only_for_all_below() {
    use SpiffeError::*;
    for (text, error) in [
        ("spiffe://*", Star),
        ("spiffe://*/a", Star),
        ("spiffe://*.example.org/a", Star),
        ("spiffe://*/*", Star),
        ("spiffe://example.org/a*", Star),
        ("spiffe://example.org/*a", Star),
        ("spiffe://example.org/*/a", Star),
        ("spiffe://example.org/a/**", Star),
        ("spiffe://example.org/*/*", Star),
        ("spiffe:///*", NoDomain),
        ("spiffe://example.org//*", TrailingSlash),
        ("spiffe://example.org/../*", DotSegment),
        ("spiffe://example.org:1/*", Port),
        ("spiffe://example.org/a?/*", Query),
        ("spiffe://example.org", NoPath),
        ("*", Scheme),
    ] {
        assert_eq!(SpiffePattern::try_from(text), Err(error), "{text:?}");
    }
}

#[test]
fn below_begins_at_the_border_of_a_segment() {
    let prod = pattern("spiffe://example.org/prod/*");
    assert!(prod.matches(&id("spiffe://example.org/prod/a")));
    assert!(prod.matches(&id("spiffe://example.org/prod/a/b")));
    assert!(!prod.matches(&id("spiffe://example.org/prod")));
    assert!(!prod.matches(&id("spiffe://example.org/production/a")));
    assert!(!prod.matches(&id("spiffe://example.org/a/prod/b")));

    let domain = pattern("spiffe://example.org/*");
    assert!(domain.matches(&id("spiffe://example.org/a")));
    assert!(!domain.matches(&id("spiffe://example.org.evil/a")));
    assert!(domain.covers(&prod) && !prod.covers(&domain) && prod.covers(&prod));
    assert!(!pattern("spiffe://example.org/prod/a").covers(&prod));
}

#[test]
fn a_table_finds_one_owner_or_says_that_there_are_more() {
    let table: SpiffeTable<&str> = [
        ("spiffe://example.org/billing", "billing"),
        ("spiffe://example.org/prod/*", "prod"),
        ("spiffe://example.org/prod/own", "prod"),
        ("spiffe://example.org/prod/other", "other"),
        ("spiffe://two.org/*", "two"),
        ("spiffe://two.org/below/*", "below"),
        ("spiffe://same.org/a", "one"),
        ("spiffe://same.org/a", "another"),
        ("spiffe://same.org/a", "one"),
        ("spiffe://same.org/b", "one"),
        ("spiffe://same.org/b", "one"),
    ]
    .into_iter()
    .map(|(text, owner)| (pattern(text), owner))
    .collect();

    for (text, found) in [
        ("spiffe://example.org/billing", Found::One(&"billing")),
        ("spiffe://example.org/billing/a", Found::Nobody),
        ("spiffe://example.org/prod", Found::Nobody),
        ("spiffe://example.org/prod/a/b/c/d", Found::One(&"prod")),
        ("spiffe://example.org/prod/own", Found::One(&"prod")),
        ("spiffe://example.org/prod/other", Found::Several),
        ("spiffe://two.org/below", Found::One(&"two")),
        ("spiffe://two.org/below/a", Found::Several),
        ("spiffe://same.org/a", Found::Several),
        ("spiffe://same.org/b", Found::One(&"one")),
        ("spiffe://nobody.org/a", Found::Nobody),
    ] {
        assert_eq!(table.get(&id(text)), found, "{text}");
    }
    assert_eq!(SpiffeTable::<&str>::default().get(&id("spiffe://a/b")), Found::Nobody);
}

/// Few names, so that what is made of them often meets.
const ID: &str = "spiffe://(a|aa|b)(/(a|aa|b|\\.\\.\\.)){1,4}";
const PATTERN: &str = "spiffe://(a|aa|b)((/(a|aa|b)){1,3}|(/(a|aa|b)){0,3}/\\*)";

/// Texts that begin as an id does and go wrong anywhere.
const NEARLY: &str = "(spiffe://)?[a-cA%?#@:.*_/ -]{0,12}";

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_shown_as_it_was(any in ".{0,40}", nearly in NEARLY) {
        for text in [any, nearly] {
            if let Ok(id) = SpiffeId::try_from(text.as_str()) {
                prop_assert_eq!(id.to_string(), text.as_str());
                prop_assert_eq!(pattern(&text), SpiffePattern::Whole(id));
            }
            if let Ok(pattern) = SpiffePattern::try_from(text.as_str()) {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }
    }

    #[test]
    fn below_is_what_begins_with_the_prefix_and_a_slash(
        pattern_text in PATTERN, id_text in ID,
    ) {
        let expected = match pattern_text.strip_suffix('*') {
            Some(prefix) => id_text.starts_with(prefix),
            None => pattern_text == id_text,
        };
        prop_assert_eq!(pattern(&pattern_text).matches(&id(&id_text)), expected);
    }

    #[test]
    fn covering_agrees_with_matching(upper in PATTERN, lower in PATTERN, id_text in ID) {
        let (upper, lower, id) = (pattern(&upper), pattern(&lower), id(&id_text));
        if upper.covers(&lower) {
            prop_assert!(!lower.matches(&id) || upper.matches(&id), "{} {} {}", upper, lower, id);
        } else {
            // Something below a prefix that is not covered, or the id itself, tells them apart.
            let witness = lower.to_string().replace('*', "witness");
            let witness = SpiffeId::try_from(witness.as_str()).unwrap();
            prop_assert!(lower.matches(&witness) && !upper.matches(&witness));
        }
        if upper.matches(&id) && lower.matches(&id) {
            prop_assert!(upper.covers(&lower) || lower.covers(&upper));
        }
    }

    #[test]
    fn a_table_agrees_with_asking_each_pattern(
        texts in prop::collection::vec((PATTERN, 0..3_u8), 0..12), id_text in ID,
    ) {
        let id = id(&id_text);
        let pairs: Vec<_> = texts.iter().map(|(text, owner)| (pattern(text), *owner)).collect();
        let mut owners: Vec<u8> =
            pairs.iter().filter(|(pattern, _)| pattern.matches(&id)).map(|pair| pair.1).collect();
        owners.sort_unstable();
        owners.dedup();
        let expected = match owners.as_slice() {
            [] => Found::Nobody,
            [owner] => Found::One(owner),
            _ => Found::Several,
        };
        let table: SpiffeTable<u8> = pairs.into_iter().collect();
        prop_assert_eq!(table.get(&id), expected);
    }
}
