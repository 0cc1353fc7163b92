use super::Step::{Load, Unchanged, Wait};
use super::*;

/// A policy with this content, written at this time; or none. The gateway's file never changes.
type Policy = Option<(&'static str, i64)>;

fn files(policy: Policy) -> Watched {
    Watched::made_up(&[("gateway.yaml", Some(("listeners", 1))), ("policy.yaml", policy)])
}

/// What happens, with the milliseconds since the start.
enum Event {
    Seen(u64, Policy, Step),
    /// A load reads this, finds that behind it, and it is taken or not.
    Loads(Policy, Policy, bool),
    Asked,
}
use Event::{Asked, Loads, Seen};

const A: Policy = Some(("a", 1));
const B: Policy = Some(("b", 2));

fn play(what: &str, events: Vec<Event>) {
    let mut watch = Watch::new(files(A));
    let start = Instant::now();
    for (number, event) in events.into_iter().enumerate() {
        match event {
            Seen(at, policy, step) => {
                let at = start + Duration::from_millis(at);
                assert_eq!(watch.seen(files(policy), at), step, "{what}, event {number}");
            }
            Loads(read, after, taken) => {
                assert_eq!(watch.loaded(&files(read), files(after)), taken, "{what}, {number}");
            }
            Asked => watch.ask(),
        }
    }
}

#[test]
fn a_change_is_taken_once_it_was_seen_twice_and_loaded_as_it_was_seen() {
    play("nothing changes", vec![Seen(500, A, Wait), Seen(1000, A, Wait)]);
    play(
        "a change, and back",
        vec![
            Seen(500, B, Wait),
            Seen(1000, B, Load),
            Loads(B, B, true),
            Seen(1500, B, Wait),
            Seen(2000, Some(("a", 3)), Wait),
            Seen(2500, Some(("a", 3)), Load),
            Loads(Some(("a", 3)), Some(("a", 3)), true),
            Seen(3000, Some(("a", 3)), Wait),
        ],
    );
    play("the same bytes again", vec![Seen(500, Some(("a", 9)), Wait), Seen(1000, A, Wait)]);
    play(
        "a write that goes on",
        vec![
            Seen(500, Some(("b", 2)), Wait),
            Seen(1000, Some(("bb", 3)), Wait),
            Seen(1500, Some(("bbb", 4)), Wait),
            Seen(2000, Some(("bbb", 4)), Load),
        ],
    );
    play(
        "the same half, written twice",
        vec![Seen(500, Some(("b", 2)), Wait), Seen(1000, Some(("b", 3)), Wait)],
    );
    play("gone again before it was taken", vec![Seen(500, B, Wait), Seen(1000, A, Wait)]);
}

#[test]
fn what_is_loaded_is_what_was_seen_or_has_to_be_seen_again() {
    let c = Some(("c", 5));
    for (what, read, after) in
        [("written before the load", c, c), ("written inside the load", B, c)]
    {
        play(
            what,
            vec![
                Seen(500, B, Wait),
                Seen(1000, B, Load),
                Loads(read, after, false),
                Seen(1500, c, Load),
                Loads(c, c, true),
                Seen(2000, c, Wait),
            ],
        );
    }
}

#[test]
fn a_file_that_is_gone_for_a_moment_is_waited_for_and_then_told_of_once() {
    play(
        "a swap",
        vec![
            Seen(500, None, Wait),
            Seen(1000, None, Wait),
            Seen(3400, None, Wait),
            Seen(3600, B, Wait),
            Seen(4100, B, Load),
        ],
    );
    play(
        "gone and back as it was",
        vec![Seen(500, None, Wait), Seen(1000, None, Wait), Seen(1500, A, Wait)],
    );
    play(
        "gone for good",
        vec![
            Seen(500, None, Wait),
            Seen(3400, None, Wait),
            Seen(3500, None, Load),
            Loads(None, None, true),
            Seen(4000, None, Wait),
            Seen(60_000, None, Wait),
            Seen(60_500, A, Wait),
            Seen(61_000, A, Load),
            Loads(A, A, true),
            Seen(61_500, None, Wait),
            Seen(62_000, None, Wait),
        ],
    );
}

#[test]
fn whoever_asks_is_answered_once_and_after_two_looks_that_agree() {
    play(
        "nothing changed",
        vec![Asked, Seen(10, A, Unchanged), Seen(500, A, Wait), Asked, Seen(600, A, Unchanged)],
    );
    play(
        "a change",
        vec![Asked, Seen(10, B, Wait), Seen(60, B, Load), Loads(B, B, true), Seen(560, B, Wait)],
    );
    play(
        "the same bytes again",
        vec![Asked, Seen(10, Some(("a", 9)), Wait), Seen(60, Some(("a", 9)), Unchanged)],
    );
    play(
        "a file that is gone",
        vec![Asked, Seen(10, None, Wait), Seen(60, None, Load), Loads(None, None, true)],
    );
}

#[test]
fn files_that_are_named_for_the_first_time_are_seen_twice_as_well() {
    let mut watch = Watch::new(files(A));
    let at = Instant::now();
    let now = files(B);
    assert_eq!((watch.seen(now.clone(), at), watch.seen(now, at)), (Wait, Load));
    let more = Watched::made_up(&[
        ("gateway.yaml", Some(("listeners", 1))),
        ("policy.yaml", B),
        ("roots.pem", Some(("roots", 1))),
    ]);
    assert!(!watch.loaded(&more, more.clone()));
    assert_eq!(*watch.files(), more, "it is looked at from now on");
    assert_eq!(watch.seen(more.clone(), at), Load);
    assert!(watch.loaded(&more, more.clone()));
}
