use super::*;
use crate::ids::{LibraryId, SpaceId};
use crate::journal::{Head, JournalId};

fn space() -> Space {
    Space { library: LibraryId::try_from("l").unwrap(), space: SpaceId::try_from("s").unwrap() }
}

fn at(second: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).unwrap()
}

fn deleted(seq: u64, path: &str, what: What) -> Deleted {
    let journal: JournalId = Head::of_new().journal;
    let time = at(i64::try_from(seq).unwrap());
    let path = path.to_owned();
    let (delete, caller, tenant) = (None, None, None);
    Deleted { journal, seq, delete, time, caller, tenant, space: space(), path, what }
}

fn unknown(seq: u64, path: &str) -> Deleted {
    let second = i64::try_from(seq).unwrap();
    deleted(seq, path, What::Unknown { from: at(second - 60), to: at(second + 60) })
}

/// A bin with these items, seen whole or not.
fn view(items: &[(u64, &str, i64)], is_whole: bool) -> View {
    let items = items.iter().map(|&(id, path, second)| (id, path, at(second)));
    View::of(items, is_whole.then_some(OffsetDateTime::UNIX_EPOCH))
}

struct Known {
    done: Done,
    bins: HashMap<Space, View>,
    tenants: HashSet<Space>,
    tokens: HashSet<Space>,
    accounted: HashMap<Space, HashSet<u64>>,
    others: Vec<Deleted>,
    on_conflict: OnConflict,
}

impl Known {
    fn of(view: View) -> Self {
        Self {
            done: Done::default(),
            bins: HashMap::from([(space(), view)]),
            tenants: HashSet::from([space()]),
            tokens: HashSet::from([space()]),
            accounted: HashMap::new(),
            others: Vec::new(),
            on_conflict: OnConflict::Rename,
        }
    }

    fn fates(&self, deleted: &[Deleted]) -> Vec<Fate> {
        let gathered = Gathered {
            deleted: deleted.to_vec(),
            accounted: self.accounted.clone(),
            others: self.others.clone(),
            ..Gathered::default()
        };
        let Self { done, bins, tenants, tokens, on_conflict, .. } = self;
        let on_conflict = *on_conflict;
        let facts = Facts { done, bins, tenants, tokens, on_conflict };
        plan(gathered, &facts).items.into_iter().map(|item| item.fate).collect()
    }
}

fn restore(id: u64) -> Fate {
    Fate::Restore { id, remaining_days: None, looked_up: false, tried_before: false }
}

fn found(id: u64) -> Fate {
    Fate::Restore { id, remaining_days: None, looked_up: true, tried_before: false }
}

#[test]
fn what_the_journal_knows_is_decided_without_the_bin_and_checked_against_it() {
    let known = Known::of(view(&[(1, "a", 1)], true));
    for (what, fate) in [
        (What::Recycled(1), restore(1)),
        (What::Recycled(2), Fate::Cannot(Why::NotInBin)),
        (What::Permanent, Fate::Cannot(Why::Permanent)),
        (What::BinOff, Fate::Cannot(Why::BinOff)),
        (What::UnknownForGood, Fate::Cannot(Why::UnknownForGood)),
    ] {
        assert_eq!(known.fates(&[deleted(1, "a", what.clone())]), [fate], "{what:?}");
    }
    let half = Known::of(view(&[], false));
    assert_eq!(half.fates(&[deleted(1, "a", What::Recycled(2))]), [restore(2)], "it may be there");
    assert_eq!(half.fates(&[unknown(1, "a")]), [Fate::Cannot(Why::NotLooked)]);
}

#[test]
fn a_space_without_a_tenant_or_a_token_is_told_apart() {
    let mut known = Known::of(view(&[(1, "a", 1)], true));
    known.tokens.clear();
    let both = [deleted(1, "a", What::Recycled(1)), unknown(2, "a")];
    assert_eq!(known.fates(&both), [Fate::Cannot(Why::NoToken), Fate::Cannot(Why::NoToken)]);
    known.tenants.clear();
    assert_eq!(known.fates(&both), [Fate::Cannot(Why::NoTenant), Fate::Cannot(Why::NoTenant)]);
}

#[test]
fn one_item_comes_back_once_however_many_records_there_are() {
    let known = Known::of(view(&[(1, "a", 1)], true));
    let twice = [deleted(1, "a", What::Recycled(1)), deleted(2, "a", What::Recycled(1))];
    assert_eq!(known.fates(&twice), [restore(1)]);
}

#[test]
fn a_delete_without_an_answer_is_what_has_its_path_at_its_time() {
    for (what, items, deletes, fates) in [
        ("it is there", &[(1, "a", 10)][..], vec![unknown(10, "a")], vec![found(1)]),
        (
            "another path",
            &[(1, "b", 10)],
            vec![unknown(10, "a")],
            vec![Fate::Cannot(Why::UnknownNotInBin)],
        ),
        (
            "long before",
            &[(1, "a", -90)],
            vec![unknown(10, "a")],
            vec![Fate::Cannot(Why::UnknownNotInBin)],
        ),
        (
            "long after",
            &[(1, "a", 200)],
            vec![unknown(10, "a")],
            vec![Fate::Cannot(Why::UnknownNotInBin)],
        ),
        (
            "two fit",
            &[(1, "a", 9), (2, "a", 11)],
            vec![unknown(10, "a")],
            vec![Fate::Cannot(Why::Ambiguous)],
        ),
        (
            "two of two",
            &[(1, "a", 9), (2, "a", 11)],
            vec![unknown(10, "a"), unknown(12, "a")],
            vec![found(1), found(2)],
        ),
        (
            "one of two",
            &[(1, "a", 9)],
            vec![unknown(10, "a"), unknown(12, "a")],
            vec![found(1), Fate::Cannot(Why::UnknownNotInBin)],
        ),
    ] {
        assert_eq!(Known::of(view(items, true)).fates(&deletes), fates, "{what}");
    }
    let mut known = Known::of(view(&[(1, "a", 9), (2, "a", 11)], true));
    known.accounted.insert(space(), HashSet::from([1]));
    assert_eq!(known.fates(&[unknown(10, "a")]), [found(2)], "the other is somebody else's");
}

#[test]
fn of_one_path_the_newest_replaces_what_is_there() {
    let mut known = Known::of(view(&[(1, "a", 1), (2, "a", 2), (3, "b", 3)], true));
    known.on_conflict = OnConflict::Overwrite;
    let deletes = [
        deleted(1, "a", What::Recycled(1)),
        deleted(2, "a", What::Recycled(2)),
        deleted(3, "b", What::Recycled(3)),
    ];
    let fates = [Fate::Cannot(Why::OlderVersion), restore(2), restore(3)];
    assert_eq!(known.fates(&deletes), fates);
}

#[test]
fn what_was_done_before_is_not_done_again_and_what_was_tried_is_looked_at() {
    let record = |id: u64, seq: u64, journal: JournalId, more: &str| {
        format!(
            "{{\"event\":\"undo\",\"of_journal\":\"{journal}\",\"of_seq\":{seq},\"library\":\"l\",\"space\":\"s\",\
             \"recycled_item_id\":{id}{more}}}"
        )
    };
    let deletes: Vec<_> = (1..=4)
        .map(|seq| deleted(seq, "a", What::Recycled(seq)))
        .chain([unknown(5, "u")])
        .collect();
    let mut known = Known::of(view(&[(2, "a", 2), (4, "a", 4)], true));
    let text = [
        record(1, 1, deletes[0].journal, ""),
        record(1, 1, deletes[0].journal, ",\"restored\":true,\"as_path\":\"a (1)\""),
        record(1, 1, deletes[0].journal, ",\"restored\":false"),
        record(2, 2, deletes[1].journal, ""),
        record(3, 3, deletes[2].journal, ""),
        record(4, 4, deletes[3].journal, ",\"restored\":false"),
        record(9, 5, deletes[4].journal, ",\"restored\":true"),
    ];
    for line in &text {
        known.done.line(line.as_bytes());
    }
    let already = |id, as_path: Option<&str>, presumed| Fate::Already {
        id,
        as_path: as_path.map(str::to_owned),
        presumed,
    };
    assert_eq!(
        known.fates(&deletes),
        [
            already(1, Some("a (1)"), false),
            Fate::Restore { id: 2, remaining_days: None, looked_up: false, tried_before: true },
            already(3, None, true),
            restore(4),
            already(9, None, false),
        ]
    );
}

#[test]
fn what_could_be_of_a_delete_that_is_not_to_be_undone_is_not_taken() {
    let ambiguous = Fate::Cannot(Why::Ambiguous);
    for (what, items, other, fate) in [
        ("at the same time", &[(1, "a", 10)][..], unknown(12, "a"), ambiguous.clone()),
        ("one of two", &[(1, "a", 10), (2, "a", 11)], unknown(12, "a"), ambiguous),
        ("of another path", &[(1, "a", 10)], unknown(12, "b"), found(1)),
        ("long after", &[(1, "a", 10)], unknown(200, "a"), found(1)),
    ] {
        let mut known = Known::of(view(items, true));
        known.others.push(other);
        assert_eq!(known.fates(&[unknown(10, "a")]), [fate], "{what}");
    }
}

/// By the name of the delete: its record may be another one by now.
#[test]
fn what_a_delete_was_found_to_be_before_is_not_taken_for_another() {
    let named =
        |seq, delete: &str| Deleted { delete: Some(delete.to_owned()), ..unknown(seq, "a") };
    let (first, second) = (named(10, "first"), named(11, "second"));
    let mut known = Known::of(view(&[(1, "a", 9), (2, "a", 10)], true));
    let line = format!(
        "{{\"event\":\"undo\",\"of_journal\":\"{}\",\"of_seq\":999,\"delete\":\"first\",\"library\":\"l\",\
         \"space\":\"s\",\"recycled_item_id\":1,\"restored\":false}}",
        first.journal
    );
    known.done.line(line.as_bytes());
    assert_eq!(known.fates(&[first.clone(), second.clone()]), [found(1), found(2)]);
    known.others.push(first);
    assert_eq!(known.fates(&[second]), [found(2)]);
}
