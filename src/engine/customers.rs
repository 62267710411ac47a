//! Customers: who the owners of wallets are, beside the id that the ledger knows them by.
//!
//! Wallets exist without a customer: the first grant makes them, by id alone. A customer adds how it pays, whether it is archived, and its
//! personal data: name, email, metadata. Those are logged sealed, each customer's under a key of its own (`vault.rs`), and are erased
//! by destroying the key. The id is the wallet's name for ever, and so should say nothing about the person.
//!
//! An archived customer takes no new credit: no grants, and so no wallets, and no holds. Usage goes on to be debited, for it has already
//! happened, and what is granted stays spendable; reads, voids and alerts are as before.

use super::grants::{check_metadata, check_text};
use super::once::RequestKey;
use super::ticket::Ticket;
use super::vault::Vault;
use super::view::{CommandError, Metadata, Unavailable};
use super::{Engine, Inner, MAX_ID_BYTES};
pub use crate::catalog::CollectionMethod;
use crate::catalog::CustomerChange;
use crate::journal::admin::AdminRecord;
use crate::journal::control::{CustomerRecord, Sealed};
use crate::ledger::Timestamp;
use crate::store::pin;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Bytes of a name at most.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of an email address at most (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;

/// A customer as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerView {
    /// Its id.
    pub id: String,
    /// Its name, unless there is none or it cannot be read any more.
    pub name: Option<String>,
    /// Its email address, alike.
    pub email: Option<String>,
    /// The caller's own data, alike.
    pub metadata: Metadata,
    /// How it pays.
    pub collection_method: CollectionMethod,
    /// It takes no new credit.
    pub archived: bool,
    /// What there is of its personal data.
    pub personal_data: PersonalData,
    /// When it was made; `None` for an owner of wallets of whom nothing was ever said.
    pub created_at: Option<Timestamp>,
    /// When it was changed last.
    pub updated_at: Option<Timestamp>,
}

/// What there is of a customer's personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersonalData {
    /// None were given.
    Absent,
    /// They are there.
    Stored,
    /// They were erased.
    Erased,
    /// They are there, and their key is not: the file of keys is older than the log, damaged or missing.
    Unreadable,
}

impl PersonalData {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            PersonalData::Absent => "none",
            PersonalData::Stored => "stored",
            PersonalData::Erased => "erased",
            PersonalData::Unreadable => "unreadable",
        }
    }
}

/// A change of a customer; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerPatch {
    /// Its name, or that it has none.
    pub name: Option<Option<String>>,
    /// Its email address, or that it has none.
    pub email: Option<Option<String>>,
    /// Replaces the metadata.
    pub metadata: Option<Metadata>,
    /// How it pays.
    pub collection_method: Option<CollectionMethod>,
    /// Whether it takes no new credit.
    pub archived: Option<bool>,
}

impl CustomerPatch {
    fn is_personal(&self) -> bool {
        self.name.is_some() || self.email.is_some() || self.metadata.is_some()
    }
}

/// What is sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Personal {
    name: Option<String>,
    email: Option<String>,
    metadata: Metadata,
}

impl Personal {
    fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec(&(&self.name, &self.email, &self.metadata)).expect("a vector takes what is written to it")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (name, email, metadata) = rmp_serde::from_slice(bytes).ok()?;
        Some(Personal { name, email, metadata })
    }

    fn is_empty(&self) -> bool {
        *self == Personal::default()
    }

    fn patched(mut self, patch: &CustomerPatch) -> Self {
        if let Some(name) = &patch.name {
            self.name.clone_from(name);
        }
        if let Some(email) = &patch.email {
            self.email.clone_from(email);
        }
        if let Some(metadata) = &patch.metadata {
            self.metadata.clone_from(metadata);
        }
        self
    }
}

/// All customers, and the keys of their data.
#[derive(Debug)]
pub(super) struct Customers {
    all: RwLock<BTreeMap<String, Arc<CustomerRecord>>>,
    /// Held by who changes one: what stands in memory last stands in the log last.
    writer: Mutex<()>,
    vault: Vault,
    /// Some customer has been archived at some time: where none has, nobody need be looked for. Set (Release) before such a record is entered,
    /// so whoever knows of the record sees it (Acquire).
    any_archived: AtomicBool,
}

impl Customers {
    /// None, with the keys that there are.
    pub(super) fn new(vault: Vault) -> Self {
        Customers { all: RwLock::default(), writer: Mutex::default(), vault, any_archived: AtomicBool::new(false) }
    }

    /// The keys, which those of webhooks' secrets are among.
    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &str) -> Option<Arc<CustomerRecord>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Enters a customer as a record has it.
    pub(super) fn enter(&self, record: CustomerRecord) {
        if record.archived {
            self.any_archived.store(true, Ordering::Release);
        }
        self.all.write().unwrap_or_else(PoisonError::into_inner).insert(record.id.clone(), Arc::new(record));
    }

    /// All of them as records, by id.
    pub(super) fn records(&self) -> Vec<Arc<CustomerRecord>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Destroys the keys that the log says are to be destroyed, where a crash or a failing disk came between.
    pub(super) fn finish_erasures(&self) {
        for record in self.records() {
            if let Err(error) = self.destroy_keys(&record) {
                tracing::error!(%error, "the key of erased personal data could not be destroyed; the next start tries again");
            }
        }
    }

    fn destroy_keys(&self, record: &CustomerRecord) -> io::Result<()> {
        record.destroyed.iter().try_for_each(|key| self.vault.destroy(key).map(drop))
    }

    /// The data of a customer; `None` if they cannot be read.
    fn personal(&self, record: &CustomerRecord) -> Option<Personal> {
        match &record.sealed {
            Some(sealed) => Personal::decode(&self.vault.open_sealed(&record.id, sealed)?),
            None => Some(Personal::default()),
        }
    }

    fn seal(&self, id: &str, old: Option<&Sealed>, personal: &Personal) -> io::Result<Option<Sealed>> {
        let key = match old {
            // One key a customer, so that destroying it takes all that was ever said: also where there is nothing to say any more.
            Some(old) if self.vault.has(&old.key) => old.key,
            None if personal.is_empty() => return Ok(None),
            _ => self.vault.make()?,
        };
        self.vault.seal(&key, id, &personal.encode()).map(Some)
    }

    fn view(&self, record: &CustomerRecord) -> CustomerView {
        let personal = self.personal(record);
        let personal_data = match &personal {
            None => PersonalData::Unreadable,
            Some(_) if record.erased => PersonalData::Erased,
            Some(personal) if personal.is_empty() => PersonalData::Absent,
            Some(_) => PersonalData::Stored,
        };
        let Personal { name, email, metadata } = personal.unwrap_or_default();
        CustomerView {
            id: record.id.clone(),
            name,
            email,
            metadata,
            collection_method: record.collection_method,
            archived: record.archived,
            personal_data,
            created_at: Some(record.created_at),
            updated_at: Some(record.updated_at),
        }
    }
}

/// A customer of whom nothing was said.
fn unnamed(id: &str) -> CustomerView {
    CustomerView {
        id: id.to_owned(),
        name: None,
        email: None,
        metadata: Metadata::new(),
        collection_method: CollectionMethod::default(),
        archived: false,
        personal_data: PersonalData::Absent,
        created_at: None,
        updated_at: None,
    }
}

impl Engine {
    /// A customer, or an owner of wallets of whom nothing was said.
    pub fn customer(&self, id: &str) -> Result<CustomerView, CommandError> {
        match self.inner.customers.get(id) {
            Some(record) => Ok(self.inner.customers.view(&record)),
            None if self.inner.owns_wallets(id) => Ok(unnamed(id)),
            None => Err(CommandError::NotFound { what: "customer" }),
        }
    }

    /// Customers of whom something was said, by id, behind `after`, whose ids begin with `prefix`; at most `limit` of them.
    pub fn customers(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<CustomerView> {
        let customers = &self.inner.customers;
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let page: Vec<_> = {
            let all = customers.all.read().unwrap_or_else(PoisonError::into_inner);
            let range = all.range::<str, _>((start, Bound::Unbounded));
            range
                .take_while(|(id, _)| id.starts_with(prefix))
                .take(limit)
                .map(|(_, record)| Arc::clone(record))
                .collect()
        };
        page.iter().map(|record| customers.view(record)).collect()
    }

    /// Makes a customer, or changes one. A change to what is there already is none. May wait for the disk.
    pub fn put_customer(&self, id: &str, patch: &CustomerPatch) -> Result<(CustomerView, Ticket), CommandError> {
        self.change_customer(id, patch, true, None)
    }

    /// Changes a customer, or an owner of wallets of whom nothing was said. May wait for the disk.
    pub fn patch_customer(&self, id: &str, patch: &CustomerPatch) -> Result<(CustomerView, Ticket), CommandError> {
        self.change_customer(id, patch, false, None)
    }

    /// Archives a customer; under a request's key once, and not again where it was taken up since. Repeating it is success.
    pub fn archive_customer(&self, id: &str, once: Option<RequestKey>) -> Result<(CustomerView, Ticket), CommandError> {
        let patch = CustomerPatch { archived: Some(true), ..CustomerPatch::default() };
        self.change_customer(id, &patch, false, once)
    }

    fn change_customer(
        &self,
        id: &str,
        patch: &CustomerPatch,
        makes: bool,
        once: Option<RequestKey>,
    ) -> Result<(CustomerView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("customer", id, MAX_ID_BYTES)?;
        check_patch(patch)?;
        let customers = &inner.customers;
        let _writer = customers.writer();
        let old = customers.get(id);
        if old.is_none() && !makes && !inner.owns_wallets(id) {
            return Err(CommandError::NotFound { what: "customer" });
        }
        let is_known = |at: &Timestamp| at.saturating_add(inner.config.idempotency_window_ms) >= inner.now();
        if let (Some(once), Some(old)) = (once, &old)
            && (once.is_replay || old.archived_by.iter().any(|(key, at)| *key == once.digest && is_known(at)))
        {
            return Ok((customers.view(old), self.barrier()));
        }
        let mut record = inner.changed(id, old.as_deref(), patch)?;
        if record.change == CustomerChange::Archived {
            record.archived_by.retain(|(_, at)| is_known(at));
            record.archived_by.extend(once.map(|once| (once.digest, record.updated_at)));
        }
        let is_new = |old: &Arc<CustomerRecord>| {
            CustomerRecord { updated_at: old.updated_at, change: old.change, ..record.clone() } != **old
        };
        if old.as_ref().is_none_or(is_new) {
            inner.append_admin(&AdminRecord::Customer(record.clone()))?;
            let is_taken_up = old.is_some_and(|old| old.archived) && !record.archived;
            customers.enter(record);
            if is_taken_up {
                inner.billing.look_again(inner.now(), |rule| rule.customer == id);
            }
        }
        let view = customers.get(id).map(|record| customers.view(&record)).expect("just entered, or there before");
        Ok((view, self.barrier()))
    }

    /// Logs that a customer's personal data are erased. When the ticket has resolved, [`Engine::finish_erasure`] is to be called; a start
    /// does so for those that a crash interrupted. Repeating it is success.
    pub fn erase_customer(&self, id: &str) -> Result<(CustomerView, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("customer", id, MAX_ID_BYTES)?;
        let customers = &inner.customers;
        let _writer = customers.writer();
        let old = customers.get(id);
        if old.is_none() && !inner.owns_wallets(id) {
            return Err(CommandError::NotFound { what: "customer" });
        }
        if old.as_ref().is_none_or(|old| old.sealed.is_some() || !old.erased) {
            let mut record = inner.changed(id, old.as_deref(), &CustomerPatch::default())?;
            record.destroyed.extend(record.sealed.take().map(|sealed| sealed.key));
            (record.change, record.erased) = (CustomerChange::Erased, true);
            inner.append_admin(&AdminRecord::Customer(record.clone()))?;
            let is_taken_up = old.is_some_and(|old| old.archived) && !record.archived;
            customers.enter(record);
            if is_taken_up {
                inner.billing.look_again(inner.now(), |rule| rule.customer == id);
            }
        }
        let view = customers.get(id).map(|record| customers.view(&record)).expect("just entered, or there before");
        Ok((view, self.durable_barrier()))
    }

    /// Makes worthless whatever opened the portal to a customer until now, one of whom nothing is known included: it may have been let in.
    pub fn close_portal(&self, id: &str) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("customer", id, MAX_ID_BYTES)?;
        let customers = &inner.customers;
        let _writer = customers.writer();
        let old = customers.get(id);
        let mut record = inner.changed(id, old.as_deref(), &CustomerPatch::default())?;
        if old.is_some() {
            record.change = CustomerChange::PortalClosed;
        }
        record.portal_epoch = record.portal_epoch.saturating_add(1);
        inner.append_admin(&AdminRecord::Customer(record.clone()))?;
        customers.enter(record);
        Ok(self.barrier())
    }

    /// How often the portal was closed to a customer.
    pub fn portal_epoch(&self, id: &str) -> u32 {
        self.inner.customers.get(id).map_or(0, |record| record.portal_epoch)
    }

    /// Destroys the keys of what was erased of a customer. Waits for the disk.
    pub fn finish_erasure(&self, id: &str) -> Result<(), Unavailable> {
        let customers = &self.inner.customers;
        let _writer = customers.writer();
        match customers.get(id) {
            Some(record) => customers.destroy_keys(&record).map_err(keyless),
            None => Ok(()),
        }
    }
}

impl Inner {
    /// Refuses what an archived customer does not take any more: grants, holds, wallets.
    pub(super) fn check_customer(&self, id: &str) -> Result<(), CommandError> {
        let any = self.customers.any_archived.load(Ordering::Acquire); // with enter
        if any && self.customers.get(id).is_some_and(|customer| customer.archived) {
            return Err(CommandError::FieldConflict {
                slug: "customer_archived",
                field: "customer",
                detail: format!("customer {id} is archived and takes no new credit"),
            });
        }
        Ok(())
    }

    /// Whether there is a wallet of this customer.
    fn owns_wallets(&self, id: &str) -> bool {
        let (catalog, guard) = (self.catalog.snapshot(), pin());
        let wallet = |number| self.seed.wallet_hash(id.as_bytes(), number);
        catalog.currencies().iter().any(|currency| self.find(wallet(currency.number.0), &guard).is_some())
    }

    /// The record of a customer with a change made to it.
    fn changed(
        &self,
        id: &str,
        old: Option<&CustomerRecord>,
        patch: &CustomerPatch,
    ) -> Result<CustomerRecord, CommandError> {
        let now = self.now();
        let mut record = old.cloned().unwrap_or_else(|| CustomerRecord {
            id: id.to_owned(),
            change: CustomerChange::Created,
            archived: false,
            collection_method: CollectionMethod::default(),
            sealed: None,
            erased: false,
            destroyed: Vec::new(),
            created_at: now,
            updated_at: now,
            archived_by: Vec::new(),
            portal_epoch: 0,
        });
        let archives = patch.archived == Some(true) && !record.archived;
        record.change = match old {
            _ if archives => CustomerChange::Archived,
            Some(_) => CustomerChange::Updated,
            None => CustomerChange::Created,
        };
        record.updated_at = now;
        record.archived = patch.archived.unwrap_or(record.archived);
        record.collection_method = patch.collection_method.unwrap_or(record.collection_method);
        if patch.is_personal() {
            let replaces = patch.name.is_some() && patch.email.is_some() && patch.metadata.is_some();
            let personal = match self.customers.personal(&record) {
                Some(personal) => personal,
                None if replaces => Personal::default(),
                None => {
                    return Err(CommandError::Conflict {
                        slug: "personal_data_unreadable",
                        detail:
                            "what stands cannot be read, so it cannot be changed in part: put all of it, or erase it"
                                .to_owned(),
                    });
                }
            };
            let patched = personal.clone().patched(patch);
            let is_lost = record.sealed.as_ref().is_some_and(|sealed| !self.customers.vault.has(&sealed.key));
            if patched != personal || is_lost {
                record.erased &= patched.is_empty();
                record.sealed = self.customers.seal(id, record.sealed.as_ref(), &patched).map_err(keyless)?;
            }
        }
        Ok(record)
    }
}

fn check_patch(patch: &CustomerPatch) -> Result<(), CommandError> {
    if let Some(Some(name)) = &patch.name {
        check_text("name", name, NAME_BYTES_MAX)?;
    }
    if let Some(Some(email)) = &patch.email {
        check_text("email", email, EMAIL_BYTES_MAX)?;
        let is_address = email.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
        if !is_address || email.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let detail = "must be an address such as ada@example.com".to_owned();
            return Err(CommandError::Invalid { field: "email", detail });
        }
    }
    patch.metadata.as_ref().map_or(Ok(()), check_metadata)
}

/// The file of keys cannot be written, for want of space or otherwise.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn keyless(error: io::Error) -> Unavailable {
    Unavailable::NoSpace(format!("customers.keys: {error}"))
}

impl Inner {
    /// How a customer pays.
    pub(super) fn collection_method(&self, id: &str) -> CollectionMethod {
        self.customers.get(id).map_or_else(CollectionMethod::default, |customer| customer.collection_method)
    }
}
