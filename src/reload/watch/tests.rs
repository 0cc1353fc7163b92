use super::Steadiness::{Not, Steady};
use super::Step::{Load, Restless, Unchanged, Wait};
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
    Loads(Policy, Policy, Steadiness),
    Asked,
}
use Event::{Asked, Loads, Seen};

const A: Policy = Some(("a", 1));
const B: Policy = Some(("b", 2));

fn play(what: &str, events: Vec<Event>) {
    let mut watch = Watch::new(files(A));
    let start = Instant::now();
    let mut last = start;
    for (number, event) in events.into_iter().enumerate() {
        match event {
            Seen(at, policy, step) => {
                last = start + Duration::from_millis(at);
                assert_eq!(watch.seen(files(policy), last), step, "{what}, event {number}");
            }
            Loads(read, after, taken) => {
                let loaded = watch.loaded(&files(read), files(after), last);
                assert_eq!(loaded, taken, "{what}, event {number}");
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
            Loads(B, B, Steady),
            Seen(1500, B, Wait),
            Seen(2000, Some(("a", 3)), Wait),
            Seen(2500, Some(("a", 3)), Load),
            Loads(Some(("a", 3)), Some(("a", 3)), Steady),
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
                Loads(read, after, Not),
                Seen(1500, c, Load),
                Loads(c, c, Steady),
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
            Seen(1000, None, Load),
            Loads(None, None, Not),
            Seen(1500, None, Load),
            Loads(None, B, Not),
            Seen(2000, B, Load),
            Loads(B, B, Steady),
        ],
    );
    play(
        "gone and back as it was",
        vec![
            Seen(500, None, Wait),
            Seen(1000, None, Load),
            Loads(None, A, Not),
            Seen(1500, A, Wait),
        ],
    );
    play(
        "gone for good",
        vec![
            Seen(500, None, Wait),
            Seen(3400, None, Load),
            Loads(None, None, Not),
            Seen(3500, None, Load),
            Loads(None, None, Steady),
            Seen(4000, None, Wait),
            Seen(60_000, None, Wait),
            Seen(60_500, A, Wait),
            Seen(61_000, A, Load),
            Loads(A, A, Steady),
            Seen(61_500, None, Wait),
            Seen(62_000, None, Load),
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
        vec![Asked, Seen(10, B, Wait), Seen(60, B, Load), Loads(B, B, Steady), Seen(560, B, Wait)],
    );
    play(
        "the same bytes again",
        vec![Asked, Seen(10, Some(("a", 9)), Unchanged), Seen(60, Some(("a", 9)), Wait)],
    );
    play(
        "a file that is gone",
        vec![Asked, Seen(10, None, Wait), Seen(60, None, Load), Loads(None, None, Steady)],
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
    assert_eq!(watch.loaded(&more, more.clone(), at), Not);
    assert_eq!(*watch.files(), more, "it is looked at from now on");
    assert_eq!(watch.seen(more.clone(), at), Load);
    assert_eq!(watch.loaded(&more, more.clone(), at), Steady);
}

#[test]
fn a_file_that_is_replaced_by_its_like_all_the_time_holds_up_no_change_of_another() {
    let mut watch = Watch::new(files(A));
    let at = Instant::now();
    let churned = |at, policy| {
        Watched::made_up(&[("gateway.yaml", Some(("listeners", at))), ("policy.yaml", policy)])
    };
    assert_eq!(watch.seen(churned(2, A), at), Wait);
    assert_eq!(watch.seen(churned(3, B), at), Wait);
    assert_eq!(watch.seen(churned(4, B), at), Load);
    assert_eq!(watch.loaded(&churned(5, B), churned(6, B), at), Steady);
    assert_eq!(watch.seen(churned(7, B), at), Wait);
}

#[test]
fn files_that_never_hold_still_are_told_of_once() {
    let c = |at| Some(("c", at));
    play(
        "written all the time",
        vec![
            Seen(500, c(1), Wait),
            Seen(10_400, c(2), Wait),
            Seen(10_500, c(3), Restless),
            Seen(11_000, c(4), Wait),
            Seen(11_500, c(4), Load),
            Loads(c(4), c(4), Steady),
            Seen(12_000, B, Wait),
            Seen(30_000, c(9), Wait),
        ],
    );
}

#[test]
fn a_file_that_is_named_no_more_may_go_at_the_same_time() {
    let mut watch = Watch::new(files(A));
    let at = Instant::now();
    let gone = Watched::made_up(&[("gateway.yaml", Some(("no policy", 2))), ("policy.yaml", None)]);
    assert_eq!((watch.seen(gone.clone(), at), watch.seen(gone, at)), (Wait, Load));
    let now = Watched::made_up(&[("gateway.yaml", Some(("no policy", 2)))]);
    assert_eq!(watch.loaded(&now, now.clone(), at), Not, "another list");
    assert_eq!(watch.seen(now.clone(), at), Load);
    assert_eq!(watch.loaded(&now, now.clone(), at), Steady);
}
