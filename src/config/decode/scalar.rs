//! Values that are one text: booleans, numbers, durations, words, and names with rules of theirs.

use std::fmt::Display;
use std::time::Duration;

use super::super::report::{Problem, Report, nearest};
use super::super::shown::{listed, quoted};
use super::super::source::Place;
use super::super::yaml::{Node, Scalar};
use super::{Decode, scalar_of};

/// Longest duration. Whatever is longer was meant for another field, and adding it to a clock
/// never overflows.
pub const MAX_DURATION: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// A text turned into a value by a fallible function. `what` is what it should be, with its
/// article: `a tenant name`. A secret is not repeated, nor what the function says about it.
pub fn parsed<T, E: Display>(
    node: &Node,
    what: &str,
    report: &mut Report,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let scalar = scalar_of(node, report, what)?;
    match parse(&scalar.text) {
        Ok(value) => Some(value),
        Err(error) => {
            reject(scalar, node.place, what, &error, report);
            None
        }
    }
}

/// Reports a text that is not what it should be.
pub(super) fn reject(
    scalar: &Scalar,
    place: Place,
    what: &str,
    error: &dyn Display,
    report: &mut Report,
) {
    let shown = scalar.shown();
    report.error(
        place,
        if scalar.sensitive {
            format!("{shown} is not {what}")
        } else {
            format!("{shown} is not {what}: {error}")
        },
    );
}

/// One of a few words. `what` is what they choose: `a recycle bin setting`.
pub fn word<T: Copy>(
    node: &Node,
    what: &str,
    report: &mut Report,
    words: &[(&str, T)],
) -> Option<T> {
    let names = || words.iter().map(|&(name, _)| name);
    let expected = format!("{what}: one of {}", listed(names()));
    let scalar = scalar_of(node, report, &expected)?;
    let found = words.iter().find(|&&(name, _)| name == scalar.text);
    if found.is_none() {
        let message = format!("{} is not {expected}", scalar.shown());
        let problem = Problem::error(node.place, message);
        report.push(match nearest(&scalar.text, names()) {
            Some(near) => problem.with_help(format!("did you mean {}?", quoted(near))),
            None => problem,
        });
    }
    found.map(|&(_, value)| value)
}

impl Decode for String {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        scalar_of(node, report, "a text").map(|scalar| scalar.text.clone())
    }
}

impl Decode for bool {
    /// `true` or `false`, plain. In YAML 1.1 `yes`, `on` and `y` were booleans too; which reader
    /// thinks so is a guess, so they are errors.
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        let scalar = scalar_of(node, report, "`true` or `false`")?;
        match (&*scalar.text, scalar.quoted) {
            ("true", false) => return Some(true),
            ("false", false) => return Some(false),
            _ => {}
        }
        let help = if scalar.quoted && matches!(&*scalar.text, "true" | "false") {
            "write it without quotes"
        } else {
            "write `true` or `false`"
        };
        let message = format!("expected `true` or `false`, found {}", scalar.shown());
        report.push(Problem::error(node.place, message).with_help(help));
        None
    }
}

/// Whole numbers in decimal digits.
macro_rules! decode_unsigned {
    ($($number:ty)*) => {$(
        impl Decode for $number {
            fn decode(node: &Node, report: &mut Report) -> Option<Self> {
                let most = <$number>::MAX.into();
                unsigned(node, most, report).and_then(|number| Self::try_from(number).ok())
            }
        }
    )*};
}

decode_unsigned!(u8 u16 u32 u64);

impl Decode for usize {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        let most = u64::try_from(Self::MAX).unwrap_or(u64::MAX);
        unsigned(node, most, report).and_then(|number| Self::try_from(number).ok())
    }
}

fn unsigned(node: &Node, most: u64, report: &mut Report) -> Option<u64> {
    let scalar = scalar_of(node, report, "a whole number")?;
    let text = &*scalar.text;
    let number = digits(text).filter(|&number| number <= most && !scalar.quoted);
    if number.is_some() {
        return number;
    }
    let problem = |help: &str| {
        let message = format!("expected a whole number, found {}", scalar.shown());
        Problem::error(node.place, message).with_help(help)
    };
    let only_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    report.push(match digits(text) {
        Some(number) if number <= most => problem("write it without quotes"),
        _ if only_digits && text.starts_with('0') => problem("write it without leading zeros"),
        _ if only_digits => problem(&format!("the largest one here is {most}")),
        _ => problem("write it in digits alone"),
    });
    None
}

/// Decimal digits without a leading zero, which elsewhere would mean base eight.
fn digits(text: &str) -> Option<u64> {
    let plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

impl Decode for Duration {
    /// `250ms`, `2s`, `5m`, `2h`, `1d`, and more than nothing.
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        let duration = duration_or_zero(node, report)?;
        if duration.is_zero() {
            report.error(node.place, "this duration must be longer than nothing");
            return None;
        }
        Some(duration)
    }
}

/// A duration that may be `0s`.
pub fn duration_or_zero(node: &Node, report: &mut Report) -> Option<Duration> {
    let scalar = scalar_of(node, report, "a duration such as `250ms`, `2s`, `5m`, `2h` or `1d`")?;
    match duration(&scalar.text) {
        Ok(duration) => Some(duration),
        Err(help) => {
            let message = format!("{} is not a duration", scalar.shown());
            report.push(Problem::error(node.place, message).with_help(help));
            None
        }
    }
}

/// A duration such as `250ms`, `2s`, `5m`, `2h` or `1d`.
///
/// # Errors
/// How to write one.
pub fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: &str = "the units are `ms`, `s`, `m`, `h` and `d`";
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (Some(count), Some(unit)) = (text.get(..split), text.get(split..)) else {
        return Err(UNITS.to_owned());
    };
    if count.is_empty() {
        return Err(format!("write a whole number and a unit; {UNITS}"));
    }
    let unit_in_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        "" => return Err(format!("it has no unit; {UNITS}")),
        unit if unit.starts_with('.') => {
            return Err(format!("write a whole number and a smaller unit; {UNITS}"));
        }
        _ => return Err(UNITS.to_owned()),
    };
    let milliseconds = count.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_in_ms));
    match milliseconds.map(Duration::from_millis) {
        Some(duration) if duration <= MAX_DURATION => Ok(duration),
        _ => Err("the longest one is `3650d`".to_owned()),
    }
}
