//! What providers call things of ours, kept so that they are found again after a restart, and for longer than providers keep keys.

use super::view::TopUpView;
use crate::billing::check_text;
use crate::engine::Engine;
use crate::engine::ticket::Ticket;
use crate::engine::view::CommandError;
use crate::journal::billing::{BillingRecord, ReferenceRecord};

/// The longest name of ours or theirs, bytes.
const NAME_MAX: usize = 255;

impl Engine {
    /// Notes what a provider calls something of ours. `of` is the kind of thing, a colon and its id. The same again changes nothing; another
    /// name takes the place of the one before.
    pub fn note_reference(&self, provider: &str, of: &str, reference: &str) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("provider", provider, 64)?;
        check_text("of", of, NAME_MAX)?;
        check_text("reference", reference, NAME_MAX)?;
        let mut tables = inner.billing.lock();
        let key = (provider.to_owned(), of.to_owned());
        if tables.references.get(&key).is_none_or(|known| known != reference) {
            let (provider, of) = key;
            let record = ReferenceRecord { provider, of, reference: reference.to_owned() };
            inner.put(&mut tables, BillingRecord::Reference(record))?;
        }
        Ok(self.barrier())
    }

    /// What a provider calls something of ours.
    pub fn reference(&self, provider: &str, of: &str) -> Option<String> {
        self.inner.billing.lock().references.get(&(provider.to_owned(), of.to_owned())).cloned()
    }

    /// What of ours a provider calls so: the kind of thing, a colon and its id.
    pub fn referred(&self, provider: &str, reference: &str) -> Option<String> {
        self.inner.billing.lock().referred.get(&(provider.to_owned(), reference.to_owned())).cloned()
    }

    /// The top-up that a payment at a provider was for.
    pub fn top_up_of_payment(&self, reference: &str) -> Option<TopUpView> {
        let id = self.inner.billing.lock().by_payment.get(reference).cloned()?;
        self.top_up(&id).ok()
    }

    /// A secret of this data directory for one purpose, the same at every start: what it signs is known again, here and nowhere else.
    pub fn secret_for(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, self.inner.seed.secret())
    }
}
