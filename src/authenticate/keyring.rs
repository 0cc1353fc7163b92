//! Where the callers' credentials come from, and what was last read there.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::authenticate::jwt::Issuers;
use crate::authenticate::spiffe::SpiffePattern;
use crate::authenticate::{Authenticator, JwtRule, KeyDigest};
use crate::directory::Caller;
use crate::files::Seen;
use crate::secret::{KeyRead, Source, SourceError};

/// One way in which a caller proves who it is, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API key, of which the configuration holds the SHA-256.
    Digest(KeyDigest),
    /// An API key, read from where it lies.
    Key(Source),
    /// A client certificate with such a SPIFFE id.
    SpiffeId(SpiffePattern),
    /// A JWT with such claims.
    Jwt(JwtRule),
    /// Coming from a loopback address, or over a unix socket, is enough.
    Loopback,
}

/// All credentials, with the keys that were read last.
#[derive(Debug, Default)]
pub struct Keyring {
    entries: Vec<Entry>,
    /// Of the sources in the entries, those that could ever be read.
    read: HashMap<Source, Known>,
    issuers: Arc<Issuers>,
}

#[derive(Debug)]
struct Entry {
    caller: Arc<Caller>,
    credential: Credential,
}

/// What was last read of a source.
#[derive(Debug, Clone, Copy)]
struct Known {
    digest: KeyDigest,
    seen: Option<Seen>,
}

/// A source that is to be read if it is not as it was seen.
#[derive(Debug)]
pub struct Asked {
    source: Source,
    seen: Option<Seen>,
}

impl Keyring {
    /// Reads every key once; what cannot be read is reported, and looked for again later.
    pub fn read(
        credentials: impl IntoIterator<Item = (Arc<Caller>, Credential)>,
        issuers: Arc<Issuers>,
        report: &mut dyn FnMut(&Caller, &SourceError),
    ) -> Self {
        let mut keyring = Self::default().succeeded_by(credentials, issuers);
        let read = read_all(keyring.sources());
        keyring.take(read, report);
        keyring
    }

    /// Other credentials that come after these. What was read of a source that is still among them
    /// stays known, even if it cannot be read at this moment; the others are yet to be read.
    #[must_use]
    pub fn succeeded_by(
        &self,
        credentials: impl IntoIterator<Item = (Arc<Caller>, Credential)>,
        issuers: Arc<Issuers>,
    ) -> Self {
        let entry = |(caller, credential)| Entry { caller, credential };
        let entries = credentials.into_iter().map(entry).collect();
        let mut keyring = Self { entries, read: HashMap::new(), issuers };
        let sources = keyring.entries.iter().filter_map(Entry::source);
        let known = |source: &Source| Some((source.clone(), *self.read.get(source)?));
        keyring.read = sources.filter_map(known).collect();
        keyring
    }

    /// Who issues the JWTs.
    #[must_use]
    pub fn issuers(&self) -> &Arc<Issuers> {
        &self.issuers
    }

    /// Where keys are to be read, to be done without holding the keyring: a file can be slow.
    #[must_use]
    pub fn sources(&self) -> Vec<Asked> {
        let mut asked = HashSet::new();
        let sources = self.entries.iter().filter_map(Entry::source);
        let each_once = sources.filter(|source| asked.insert(*source));
        let asked = |source: &Source| Asked {
            source: source.clone(),
            seen: self.read.get(source).and_then(|known| known.seen),
        };
        each_once.map(asked).collect()
    }

    /// Takes what was read of the sources and says whether a key changed. A key that could not be
    /// read stays what it was: mounts are replaced in more than one step.
    pub fn take(
        &mut self,
        read: Vec<(Source, Result<KeyRead, SourceError>)>,
        report: &mut dyn FnMut(&Caller, &SourceError),
    ) -> bool {
        if read.is_empty() {
            return false;
        }
        let Self { entries, read: known, .. } = self;
        let mut callers: HashMap<&Source, Vec<&Caller>> = HashMap::new();
        for entry in &*entries {
            if let Some(source) = entry.source() {
                callers.entry(source).or_default().push(&entry.caller);
            }
        }
        let mut changed = false;
        for (source, key) in read {
            // Nobody's by now.
            let Some(callers) = callers.get(&source) else { continue };
            match key {
                Ok(KeyRead { key, seen }) => {
                    let digest = KeyDigest::of(key.expose());
                    let before = known.insert(source, Known { digest, seen });
                    changed |= before.is_none_or(|before| before.digest != digest);
                }
                Err(error) => callers.iter().for_each(|caller| report(caller, &error)),
            }
        }
        changed
    }

    /// Everything that is known, ready to be looked up. A key that two callers read from their
    /// files names neither: who called could not be told.
    #[must_use]
    pub fn authenticator(&self) -> Authenticator {
        let mut authenticator = Authenticator::new(Arc::clone(&self.issuers));
        let mut spiffe_ids = Vec::new();
        for Entry { caller, credential } in &self.entries {
            match credential {
                Credential::Digest(digest) => authenticator.add_key(*digest, caller),
                Credential::Key(source) => {
                    if let Some(known) = self.read.get(source) {
                        authenticator.add_key(known.digest, caller);
                    }
                }
                Credential::SpiffeId(pattern) => {
                    spiffe_ids.push((pattern.clone(), Arc::clone(caller)));
                }
                Credential::Jwt(rule) => authenticator.subjects.add(rule, caller),
                Credential::Loopback => authenticator.loopback = Some(Arc::clone(caller)),
            }
        }
        authenticator.spiffe_ids = spiffe_ids.into_iter().collect();
        authenticator
    }

    /// The callers with a key that was never read and no other way to prove themselves, in the order
    /// of the configuration. The next one of two keys may be named before it is there.
    pub fn pending(&self) -> impl Iterator<Item = &Caller> {
        let able = self.entries.iter().filter(|entry| !self.is_missing(entry));
        let able: HashSet<_> = able.map(|entry| &entry.caller.name).collect();
        let missing = self.entries.iter().filter(|entry| self.is_missing(entry));
        missing.filter(move |entry| !able.contains(&entry.caller.name)).map(|entry| &*entry.caller)
    }

    fn is_missing(&self, entry: &Entry) -> bool {
        entry.source().is_some_and(|source| !self.read.contains_key(source))
    }
}

impl Entry {
    fn source(&self) -> Option<&Source> {
        match &self.credential {
            Credential::Key(source) => Some(source),
            Credential::Digest(_)
            | Credential::SpiffeId(_)
            | Credential::Jwt(_)
            | Credential::Loopback => None,
        }
    }
}

/// Reads every source that is not known to be as it was. Blocks on files.
#[must_use]
pub fn read_all(sources: Vec<Asked>) -> Vec<(Source, Result<KeyRead, SourceError>)> {
    let read = |Asked { source, seen }: Asked| {
        let read = source.read_key_again(seen).transpose()?;
        Some((source, read))
    };
    sources.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authenticate::Peer;
    use crate::ids::CallerName;
    use http::{HeaderMap, HeaderValue};
    use std::net::SocketAddr;
    use std::time::SystemTime;

    fn caller(name: &str) -> Arc<Caller> {
        Arc::new(Caller::new(CallerName::try_from(name).unwrap(), Vec::new()))
    }

    fn refresh(keyring: &mut Keyring) -> bool {
        let read = read_all(keyring.sources());
        keyring.take(read, &mut |_, _| {})
    }

    fn who(keyring: &Keyring, key: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("x-api-key", HeaderValue::from_static(key));
        let peer = Peer::from("10.0.0.1:1".parse::<SocketAddr>().unwrap());
        let authenticator = keyring.authenticator();
        let found = authenticator.authenticate(&headers, &peer, SystemTime::now());
        found.ok().map(|found| found.caller.name.to_string())
    }

    #[test]
    fn a_key_file_is_followed_and_its_absence_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = Credential::Key(Source::File(path.clone()));
        let mut missing = 0;
        let mut keyring =
            Keyring::read([(caller("a"), key)], Arc::default(), &mut |_, _| missing += 1);
        assert_eq!((missing, keyring.pending().count()), (1, 1));
        assert_eq!(who(&keyring, "key-number-one-1"), None);

        std::fs::write(&path, "key-number-one-1\n").unwrap();
        assert!(refresh(&mut keyring));
        assert!(!refresh(&mut keyring));
        assert_eq!(who(&keyring, "key-number-one-1"), Some("a".into()));

        std::fs::remove_file(&path).unwrap();
        assert!(!refresh(&mut keyring));
        assert_eq!(who(&keyring, "key-number-one-1"), Some("a".into()));

        std::fs::write(&path, "key-number-two-2").unwrap();
        assert!(refresh(&mut keyring));
        assert_eq!(who(&keyring, "key-number-one-1"), None);
        assert_eq!(who(&keyring, "key-number-two-2"), Some("a".into()));
    }

    #[test]
    fn the_next_of_two_keys_may_be_missing() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name: &str| Credential::Key(Source::File(folder.path().join(name)));
        std::fs::write(folder.path().join("now"), "key-number-one-1").unwrap();
        let pending = |keys: &[&str]| {
            let ways = keys.iter().map(|name| (caller("a"), key(name)));
            Keyring::read(ways, Arc::default(), &mut |_, _| {}).pending().count()
        };
        assert_eq!((pending(&["now"]), pending(&["now", "next"])), (0, 0));
        assert_eq!((pending(&["next"]), pending(&["next", "later"])), (1, 2));
    }

    #[test]
    fn a_key_that_could_be_guessed_is_none_and_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "key-number-one-1").unwrap();
        let key = Credential::Key(Source::File(path.clone()));
        let mut keyring = Keyring::read([(caller("a"), key)], Arc::default(), &mut |_, _| {});
        std::fs::write(&path, "key-number-one-").unwrap();
        assert!(!refresh(&mut keyring));
        assert_eq!(who(&keyring, "key-number-one-"), None);
        assert_eq!(who(&keyring, "key-number-one-1"), Some("a".into()));
    }

    #[test]
    fn a_key_that_was_read_is_known_to_the_credentials_that_come_after() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name: &str| Credential::Key(Source::File(folder.path().join(name)));
        std::fs::write(folder.path().join("one"), "key-number-one-1").unwrap();
        let before = Keyring::read([(caller("a"), key("one"))], Arc::default(), &mut |_, _| {});
        std::fs::remove_file(folder.path().join("one")).unwrap();
        let ways = [(caller("b"), key("one")), (caller("c"), key("new"))];
        let mut after = before.succeeded_by(ways, Arc::default());
        assert!(!refresh(&mut after));
        assert_eq!(who(&after, "key-number-one-1"), Some("b".into()));
        assert_eq!(after.pending().map(|caller| caller.name.as_str()).collect::<Vec<_>>(), ["c"]);
        // What nobody names is forgotten, and not taken from a look that began before.
        std::fs::write(folder.path().join("one"), "key-number-one-1").unwrap();
        let late = read_all(after.sources());
        let mut without = after.succeeded_by([], Arc::default());
        assert!(!without.take(late, &mut |_, _| {}));
        let again = without.succeeded_by([(caller("a"), key("one"))], Arc::default());
        assert_eq!(who(&again, "key-number-one-1"), None);
    }

    #[test]
    fn a_key_of_two_callers_names_neither() {
        let digest = || Credential::Digest(KeyDigest::of(b"key-of-both-0000"));
        let keyring = Keyring::read(
            [(caller("a"), digest()), (caller("b"), digest())],
            Arc::default(),
            &mut |_, _| {},
        );
        assert_eq!(who(&keyring, "key-of-both-0000"), None);
        let same = Keyring::read(
            [(caller("a"), digest()), (caller("a"), digest())],
            Arc::default(),
            &mut |_, _| {},
        );
        assert_eq!(who(&same, "key-of-both-0000"), Some("a".into()));
    }
}
