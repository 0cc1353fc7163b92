//! From the tree to checked values: every mistake is reported, and decoding goes on.
//!
//! A decoder returns `None` when it has reported a problem, so `Some` is a whole value. Ask for
//! every field first and use `?` after [`Fields::finish`]: then one run shows all mistakes.

use std::borrow::Cow;
use std::fmt::Display;

use super::report::{Problem, Report, nearest};
use super::shown::{self, listed};
use super::source::{Place, Spanned};
use super::yaml::{Entry, Node, Scalar, Value};

mod scalar;

pub use scalar::{MAX_DURATION, duration, duration_or_zero, parsed, word};

/// A value that can stand in the file.
pub trait Decode: Sized {
    /// The value, or `None` after what is wrong with it was reported.
    fn decode(node: &Node, report: &mut Report) -> Option<Self>;
}

impl<T: Decode> Decode for Spanned<T> {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        T::decode(node, report).map(|value| Self { place: node.place, value })
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, report: &mut Report) -> Option<Self> {
        list(node, report, T::decode)
    }
}

/// A list, of which every item is decoded; `None` if one was wrong.
pub fn list<T>(
    node: &Node,
    report: &mut Report,
    mut item: impl FnMut(&Node, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    let Value::List(items) = &node.value else {
        mismatch(node, report, "a list", Some("an empty list is written `[]`"));
        return None;
    };
    // Collecting into an `Option` would stop at the first mistake.
    let decoded: Vec<_> = items.iter().map(|node| item(node, report)).collect();
    decoded.into_iter().collect()
}

/// One value or a list of them: `api_key: { … }` and `api_key: [{ … }, { … }]`.
pub fn one_or_many<T>(
    node: &Node,
    report: &mut Report,
    mut item: impl FnMut(&Node, &mut Report) -> Option<T>,
) -> Option<Vec<T>> {
    match &node.value {
        Value::List(_) => list(node, report, item),
        Value::Null | Value::Scalar(_) | Value::Map(_) => item(node, report).map(|one| vec![one]),
    }
}

/// A map of names, such as `tenants:`. `what` says what a name names: `a tenant`.
///
/// Entries whose name is wrong are left out. One whose value is wrong stays without it, so that
/// a rule naming it is not reported as well; [`whole`] then makes the result all or nothing.
pub fn named<K, V, E: Display>(
    node: &Node,
    what: &str,
    report: &mut Report,
    name: impl Fn(&str) -> Result<K, E>,
    mut value: impl FnMut(&Node, &mut Report) -> Option<V>,
) -> Option<Vec<(Spanned<K>, Option<V>)>> {
    let Value::Map(entries) = &node.value else {
        let help = "an empty map is written `{}`";
        mismatch(node, report, &format!("a map with the name of {what} as key"), Some(help));
        return None;
    };
    let mut decoded = Vec::with_capacity(entries.len());
    for Entry { key, key_place, value: node, .. } in entries {
        let value = value(node, report);
        match name(&key.text) {
            Ok(name) => decoded.push((Spanned { place: *key_place, value: name }, value)),
            Err(error) => {
                scalar::reject(key, *key_place, &format!("the name of {what}"), &error, report)
            }
        }
    }
    Some(decoded)
}

/// The entries of a map of names if all of them are whole.
#[must_use]
pub fn whole<K, V>(entries: Vec<(K, Option<V>)>) -> Option<Vec<(K, V)>> {
    entries.into_iter().map(|(name, value)| value.map(|value| (name, value))).collect()
}

/// The fields of a map, asked for one by one.
#[must_use = "unknown fields are found by `finish`"]
pub struct Fields<'n, 'r> {
    entries: &'n [Entry],
    place: Place,
    what: Cow<'static, str>,
    asked: Vec<&'static str>,
    report: &'r mut Report,
}

impl<'n, 'r> Fields<'n, 'r> {
    /// The fields of a map. `what` is what they make, with its article: `a listener`.
    pub fn of(
        node: &'n Node,
        what: impl Into<Cow<'static, str>>,
        report: &'r mut Report,
    ) -> Option<Self> {
        let what = what.into();
        let Value::Map(entries) = &node.value else {
            // A text in place of `{ env: … }` is likely the secret itself.
            report.hide(node);
            mismatch(node, report, &format!("the fields of {what}"), None);
            return None;
        };
        Some(Self { entries, place: node.place, what, asked: Vec::new(), report })
    }

    /// Where the map begins.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// For problems that concern several fields.
    #[must_use]
    pub fn report(&mut self) -> &mut Report {
        self.report
    }

    /// The node under a key, which is known from now on.
    #[must_use]
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A field that may be left out.
    pub fn optional<T: Decode>(&mut self, key: &'static str) -> Option<T> {
        self.optional_with(key, T::decode)
    }

    /// A field that may be left out, decoded by a function.
    pub fn optional_with<T>(
        &mut self,
        key: &'static str,
        decode: impl FnOnce(&Node, &mut Report) -> Option<T>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        if matches!(entry.value.value, Value::Null) {
            let message = format!("{} has no value", shown::quoted(key));
            let help = "give it one, or leave the field out";
            self.report.push(Problem::error(entry.key_place, message).with_help(help));
            return None;
        }
        decode(&entry.value, self.report)
    }

    /// A field with a default: `None` only if what stands there is wrong.
    pub fn or<T: Decode>(&mut self, key: &'static str, default: T) -> Option<T> {
        self.or_with(key, default, T::decode)
    }

    /// A field with a default, decoded by a function.
    pub fn or_with<T>(
        &mut self,
        key: &'static str,
        default: T,
        decode: impl FnOnce(&Node, &mut Report) -> Option<T>,
    ) -> Option<T> {
        if self.entry(key).is_none() { Some(default) } else { self.optional_with(key, decode) }
    }

    /// A field that must be there.
    pub fn required<T: Decode>(&mut self, key: &'static str) -> Option<T> {
        self.required_with(key, T::decode)
    }

    /// A field that must be there, decoded by a function.
    pub fn required_with<T>(
        &mut self,
        key: &'static str,
        decode: impl FnOnce(&Node, &mut Report) -> Option<T>,
    ) -> Option<T> {
        if self.entry(key).is_none() {
            let message = format!("{} needs {}", self.what, shown::quoted(key));
            self.report.error(self.place, message);
            return None;
        }
        self.optional_with(key, decode)
    }

    /// The one field of several that is there: a token is `{ env }`, `{ file }` or `{ mint }`.
    pub fn one_of(&mut self, keys: &[&'static str]) -> Option<(&'static str, &'n Node)> {
        let mut present = Vec::new();
        for &key in keys {
            present.extend(self.entry(key).map(|entry| (key, entry)));
        }
        let alternatives = listed(keys.iter().copied());
        match present.as_slice() {
            [(key, entry)] => return Some((key, &entry.value)),
            [] => {
                let message = format!("{} needs one of {alternatives}", self.what);
                self.report.error(self.place, message);
            }
            [(first, _), (second, entry), ..] => {
                let message = format!(
                    "{} has both {} and {}",
                    self.what,
                    shown::quoted(first),
                    shown::quoted(second)
                );
                let help = format!("keep one of {alternatives}");
                self.report.push(Problem::error(entry.key_place, message).with_help(help));
            }
        }
        None
    }

    /// Reports every field that was not asked for.
    pub fn finish(self) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&&*entry.key.text)) {
            let known = self.asked.iter().copied();
            let near = nearest(&entry.key.text, known.clone());
            // A misspelt `token` would not be known as one.
            if near.is_none_or(shown::names_a_secret) {
                self.report.hide(&entry.value);
            }
            let name = shown_field(entry, near.is_some(), self.report);
            let message = format!("unknown field {name} in {}", self.what);
            let help = match near {
                Some(near) => format!("did you mean {}?", shown::quoted(near)),
                None => format!("it may have {}", listed(known)),
            };
            self.report.push(Problem::error(entry.key_place, message).with_help(help));
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'n Entry> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

/// The name of an unknown field, as far as it is one. Where a `:` was forgotten the value is part
/// of the name, and only its first word is shown; what has neither a value nor a known name near
/// to it is rather a piece of some value.
fn shown_field(entry: &Entry, is_near: bool, report: &mut Report) -> String {
    let name = &entry.key.text;
    let end = name.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.'));
    if entry.key.sensitive || (!is_near && matches!(entry.value.value, Value::Null)) {
        report.hide_key(entry);
        return shown::REDACTED.to_owned();
    }
    match end.and_then(|end| name.get(..end)) {
        Some(word) => {
            report.hide_key(entry);
            shown::quoted(&format!("{word}…"))
        }
        None => shown::quoted(name),
    }
}

/// Reports that something else stands here. What stands here is not repeated.
fn mismatch(node: &Node, report: &mut Report, expected: &str, help: Option<&str>) {
    let message = format!("expected {expected}, found {}", node.kind());
    let problem = Problem::error(node.place, message);
    report.push(match help {
        Some(help) => problem.with_help(help),
        None => problem,
    });
}

/// The text that stands here, or nothing and a problem.
fn scalar_of<'n>(node: &'n Node, report: &mut Report, expected: &str) -> Option<&'n Scalar> {
    if let Value::Scalar(scalar) = &node.value {
        return Some(scalar);
    }
    mismatch(node, report, expected, None);
    None
}

#[cfg(test)]
mod tests;
