//! Whose share is counted.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::directory::Fingerprint;
use crate::ids::UserId;
use crate::policy::Subject;

/// What a limit counts for each of: with nothing chosen, one count for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set of four: each is in it or not")]
pub struct Per {
    /// For each caller.
    pub caller: bool,
    /// For each tenant.
    pub tenant: bool,
    /// For each library.
    pub library: bool,
    /// For each `user_id`; deletes without one are counted together.
    pub user_id: bool,
}

impl Per {
    /// The share that a delete is counted in.
    #[must_use]
    pub fn key(self, subject: &Subject<'_>) -> Key {
        let Subject { caller, tenant, user_id, .. } = subject;
        Key {
            caller: self.caller.then_some(caller.fingerprint),
            tenant: self.tenant.then_some(tenant.fingerprint),
            library: self.library.then_some(tenant.library.fingerprint),
            user_id: self
                .user_id
                .then(|| user_id.map(UserId::as_str))
                .flatten()
                .map(Fingerprint::of),
        }
    }

    /// The dimensions, by the words of policy.yaml.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.caller, "caller"),
            (self.tenant, "tenant"),
            (self.library, "library"),
            (self.user_id, "user_id"),
        ];
        all.into_iter().filter(|(is_counted, _)| *is_counted).map(|(_, word)| word)
    }
}

/// Whose share it is: what a limit is `per`, the rest left out. The same in every process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Key {
    /// The caller's.
    pub caller: Option<Fingerprint>,
    /// The tenant's.
    pub tenant: Option<Fingerprint>,
    /// The library's.
    pub library: Option<Fingerprint>,
    /// The user's.
    pub user_id: Option<Fingerprint>,
}

impl Key {
    const fn parts(self) -> [Option<Fingerprint>; 4] {
        [self.caller, self.tenant, self.library, self.user_id]
    }
}

/// Four words: no fingerprint is 0, so that is what is left out.
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for part in self.parts() {
            state.write_u64(part.map_or(0, Fingerprint::number));
        }
    }
}

/// In a shared store and a state file: four fingerprints with `-` for what is left out.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts().into_iter().enumerate() {
            let separator = if index == 0 { "" } else { "." };
            match part {
                Some(fingerprint) => write!(f, "{separator}{fingerprint}")?,
                None => write!(f, "{separator}-")?,
            }
        }
        Ok(())
    }
}

/// As it is displayed.
impl TryFrom<&str> for Key {
    type Error = ();

    fn try_from(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.').map(|part| match part {
            "-" => Ok(None),
            hex => Fingerprint::try_from(hex).map(Some),
        });
        let mut next = || parts.next().unwrap_or(Err(()));
        let key = Self { caller: next()?, tenant: next()?, library: next()?, user_id: next()? };
        if parts.next().is_some() { Err(()) } else { Ok(key) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = Key {
            caller: Some(Fingerprint::of("app")),
            user_id: Some(Fingerprint::of("u1")),
            ..Key::default()
        };
        let text = key.to_string();
        assert_eq!(text.matches('-').count(), 2, "{text}");
        assert_eq!(Key::try_from(text.as_str()), Ok(key));
        for wrong in ["", "-", "-.-.-", "-.-.-.-.-", "-.-.-.x", "-.-.-.0000000000000000"] {
            assert_eq!(Key::try_from(wrong), Err(()), "{wrong}");
        }
    }
}
