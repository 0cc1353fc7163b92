//! Another library secret: it has to mint a token before it replaces the one in force.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::ids::LibraryId;
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
    pub(super) fn prove(&mut self, library: LibraryId, secret: Secret) {
        match self.proofs.get(&library) {
            Some(proof) if proof.secret == secret => {}
            _ => self.start_proof(library, secret),
        }
    }

    pub(super) fn start_proof(&mut self, library: LibraryId, secret: Secret) {
        let Some(minting) = self.book.plans.get(&library) else { return };
        let Some((caller, tenant)) = minting.grantee.clone() else {
            // Nobody can use it: nothing to prove it with, and nothing to lose.
            *minting.secret.lock() = Some(secret);
            return;
        };
        let failures = self
            .proofs
            .get(&library)
            .filter(|proof| proof.secret == secret)
            .map_or(0, |proof| proof.failures);
        let not_before = Instant::now();
        let proof =
            Proof { secret: secret.clone(), running: true, not_before, failures, wrong: false };
        self.proofs.insert(library.clone(), proof);
        let places = Arc::clone(&minting.places);
        let (settings, book) = (self.settings.clone(), Arc::clone(&self.book));
        self.jobs.spawn(async move {
            let _place = places.acquire_owned().await;
            let plan = book.plans.get(&library).map(|minting| &minting.plan);
            let result = match plan {
                Some(plan) => {
                    let (caller, instance) = (&caller.name, book.instance.as_str());
                    let order = Order { plan, secret: &secret, caller, tenant: &tenant, instance };
                    mint::mint(&order, &settings).await
                }
                None => Err(MintError::NoSecret),
            };
            Done::Proved(library, secret, result)
        });
    }

    pub(super) fn proved(
        &mut self,
        library: &LibraryId,
        secret: Secret,
        result: Result<Fresh, MintError>,
    ) {
        let Some(minting) = self.book.plans.get(library) else { return };
        // A newer secret may have overtaken this one.
        let latest = self.proofs.get_mut(library).filter(|proof| proof.secret == secret);
        let error = match (&result, latest) {
            (Ok(_), Some(_)) => {
                *minting.secret.lock() = Some(secret);
                *minting.proof.lock() = None;
                self.proofs.remove(library);
                self.end_pauses(library);
                None
            }
            (Err(error), Some(proof)) => {
                proof.running = false;
                proof.failures = proof.failures.saturating_add(1);
                proof.not_before = Instant::now() + pause(proof.failures);
                proof.wrong = *error == MintError::WrongSecret;
                *minting.proof.lock() = Some(*error);
                Some(*error)
            }
            (_, None) => return self.revoke_proof(library, result),
        };
        self.metrics.tokens.secret_proved(error.is_none());
        match error {
            None => tracing::info!(%library, "another library secret was proved, and is in force"),
            Some(error) => tracing::error!(
                %library, %error,
                "the new library secret mints no token; the old one stays in force"
            ),
        }
        self.revoke_proof(library, result);
    }

    /// The token that proved a secret is of no other use.
    pub(super) fn revoke_proof(&mut self, library: &LibraryId, result: Result<Fresh, MintError>) {
        let Some(minting) = self.book.plans.get(library) else { return };
        if let (Ok(fresh), Some((_, tenant))) = (result, minting.grantee.clone()) {
            let issued = Arc::new(Issued::minted(fresh, Duration::ZERO));
            self.revoke(Arc::clone(&tenant.library), issued);
        }
    }

    /// SMH mints for this library: what failed for others because it did not need not wait any longer.
    pub(super) fn end_pauses(&mut self, library: &LibraryId) {
        let entries = self.book.entries.read();
        for (key, work) in &mut self.work {
            let Some(entry) = entries.get(key).filter(|one| one.tenant.library.id == *library)
            else {
                continue;
            };
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
