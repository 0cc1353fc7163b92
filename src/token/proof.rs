//! Another library secret: it has to mint a token before it replaces the one in force.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::secret::Secret;
use crate::token::Issued;
use crate::token::keeper::{Done, Keeper};
use crate::token::mint::{self, Fresh, MintError, Order};
use crate::token::pace::pause;

/// A secret that was read but not yet seen to work.
pub(super) struct Proof {
    pub(super) secret: Secret,
    pub(super) running: bool,
    pub(super) not_before: Instant,
    pub(super) failures: u32,
    /// SMH said that it is wrong: only another one is worth a try.
    pub(super) wrong: bool,
}

impl Keeper {
    /// A new library secret has to mint a token before it replaces the one in force.
    pub(super) fn prove(&mut self, secret: Secret) {
        match &self.proof {
            Some(proof) if proof.secret == secret => {}
            _ => self.start_proof(secret),
        }
    }

    pub(super) fn start_proof(&mut self, secret: Secret) {
        let Some(right) = self.right.clone() else { return };
        let Some((caller, tenant)) = self.book.some_grantee() else {
            // Nobody can use it: nothing to prove it with, and nothing to lose.
            *self.book.secret.lock() = Some(secret);
            return;
        };
        let known = self.proof.as_ref().filter(|proof| proof.secret == secret);
        let failures = known.map_or(0, |proof| proof.failures);
        let not_before = Instant::now();
        let proof =
            Proof { secret: secret.clone(), running: true, not_before, failures, wrong: false };
        self.proof = Some(proof);
        let book = Arc::clone(&self.book);
        self.jobs.spawn(async move {
            right.have().await;
            let _place = Arc::clone(&book.places).acquire_owned().await;
            let (plan, caller, instance) = (&book.plan, &caller.name, &*book.instance);
            let order = Order { plan, secret: &secret, caller, tenant: &tenant, instance };
            let settings = book.settings.load_full();
            let result = mint::mint(&order, &settings).await;
            Done::Proved(secret, result)
        });
    }

    pub(super) fn proved(&mut self, secret: Secret, result: Result<Fresh, MintError>) {
        // A newer secret may have overtaken this one.
        let latest = self.proof.as_mut().filter(|proof| proof.secret == secret);
        let error = match (&result, latest) {
            (Ok(_), Some(_)) => {
                *self.book.secret.lock() = Some(secret);
                *self.book.proof.lock() = None;
                self.proof = None;
                self.end_pauses();
                None
            }
            (Err(error), Some(proof)) => {
                proof.running = false;
                proof.failures = proof.failures.saturating_add(1);
                proof.not_before = Instant::now() + pause(proof.failures);
                proof.wrong = *error == MintError::WrongSecret;
                *self.book.proof.lock() = Some(*error);
                Some(*error)
            }
            (_, None) => return self.revoke_proof(result),
        };
        self.metrics.tokens.secret_proved(error.is_none());
        let library = &self.book.library.id;
        match error {
            None => tracing::info!(%library, "another library secret was proved, and is in force"),
            Some(error) => tracing::error!(
                %library, %error,
                "the new library secret mints no token; the old one stays in force"
            ),
        }
        self.revoke_proof(result);
    }

    /// A token that nobody keeps: it proved a secret, or came too late.
    pub(super) fn revoke_proof(&mut self, result: Result<Fresh, MintError>) {
        if let Ok(fresh) = result {
            self.revoke(Arc::new(Issued::minted(fresh, Duration::ZERO)));
        }
    }

    /// SMH mints for this library: what failed for others because it did not need not wait any longer.
    pub(super) fn end_pauses(&mut self) {
        let pairs = self.book.pairs.read();
        for (key, work) in &mut self.work {
            let Some(entry) = pairs.entries.get(key) else { continue };
            if matches!(
                entry.health.lock().last_error,
                Some(
                    MintError::NoSecret
                        | MintError::WrongSecret
                        | MintError::Unreachable
                        | MintError::Timeout
                )
            ) {
                (work.not_before, work.failures) = (Instant::now(), work.failures.min(1));
            }
        }
    }
}
