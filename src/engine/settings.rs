//! Currencies, meters and API keys: logged, then shown.

use super::catalog::{Catalog, CreditCurrency, CurrencyKind, CurrencyNumber, CurrencySpec, Meter, MeterSpec};
use super::grants::{check_active, check_text};
use super::ticket::Ticket;
use super::view::CommandError;
use super::{Engine, Inner, MAX_ID_BYTES};
use crate::journal::admin::{AdminRecord, ApiKeyRecord};
use crate::ledger::{Amount, Decimal, MAX_PRIORITY, Scale};
use crate::store::await_guards;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, TryLockError};

/// The catalogue as it stands, and the lock of those who change it.
#[derive(Debug, Default)]
pub(super) struct CatalogCell {
    present: RwLock<Arc<Catalog>>,
    writer: Mutex<()>,
    /// Held shared while a wallet is found or made for a grant, or amounts of money in are recorded, and alone while a currency that is not used changes its scale or kind. So no
    /// grant that was read in the old scale makes a wallet in the new one; and no event finds a wallet in the new one that was read in the old
    /// one, since those that were begun before the change are waited for before any wallet can be made.
    uses: RwLock<()>,
}

impl CatalogCell {
    /// The catalogue now.
    pub(super) fn snapshot(&self) -> Arc<Catalog> {
        Arc::clone(&self.present.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, catalog: Catalog) {
        *self.present.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no currency is about to change its scale or kind. Not for threads that hold a guard of the store: the change waits for those.
    pub(super) fn settle(&self) {
        drop(self.uses.read().unwrap_or_else(PoisonError::into_inner));
    }

    /// Held while a wallet is found or made for a grant: no currency changes its scale or kind meanwhile. Refuses if this one has, since the
    /// caller looked it up, or if one is about to. Never waits.
    pub(super) fn steady(&self, currency: &CreditCurrency) -> Result<RwLockReadGuard<'_, ()>, CommandError> {
        let steady = match self.uses.try_read() {
            Ok(steady) => Some(steady),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        match (steady, self.snapshot().currency_by_number(currency.number)) {
            (Some(steady), Some(present)) if present.scale == currency.scale && present.kind == currency.kind => {
                Ok(steady)
            }
            _ => Err(CommandError::FieldConflict {
                slug: "currency_changed",
                field: "currency",
                detail: format!("credit currency {} was changed meanwhile: send the request again", currency.id),
            }),
        }
    }
}

impl Engine {
    /// Makes or changes a credit currency. Scale and kind of a currency that wallets or meters use do not change: amounts that are recorded
    /// would stand for others. An archived currency stays archived.
    pub fn put_currency(&self, spec: CurrencySpec) -> Result<(Arc<CreditCurrency>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("id", &spec.id, 64)?;
        check_length("name", &spec.name)?;
        check_length("symbol", &spec.symbol)?;
        check_kind(&spec.kind)?;
        let scale = Scale::new(spec.scale)
            .ok_or_else(|| CommandError::Invalid { field: "scale", detail: "must be 0 to 9".to_owned() })?;
        let max_balance = spec.max_balance.map(|max| positive("max_balance", max, scale)).transpose()?;
        if spec.default_priorities.values().any(|priority| *priority > MAX_PRIORITY) {
            let detail = "priorities are 0 to 100".to_owned();
            return Err(CommandError::Invalid { field: "default_priorities", detail });
        }
        let _writer = inner.catalog.lock();
        let mut catalog = (*inner.catalog.snapshot()).clone();
        let old = catalog.currency(&spec.id).cloned();
        let alone = match &old {
            Some(old) if old.scale != scale || old.kind != spec.kind => {
                let alone = inner.catalog.uses.write().unwrap_or_else(PoisonError::into_inner);
                if inner.is_currency_used(old.number, &catalog) {
                    let field = if old.scale == scale { "kind" } else { "scale" };
                    return Err(CommandError::FieldConflict {
                        slug: "currency_in_use",
                        field,
                        detail: format!("the {field} of {} cannot change: wallets or meters use it", spec.id),
                    });
                }
                Some(alone)
            }
            _ => None,
        };
        let number = match &old {
            Some(old) => old.number,
            None => CurrencyNumber(next_number(catalog.currencies().len())?),
        };
        let currency = CreditCurrency {
            id: spec.id,
            number,
            name: spec.name,
            symbol: spec.symbol,
            scale,
            kind: spec.kind,
            max_balance,
            archived: old.is_some_and(|old| old.archived),
            default_priorities: spec.default_priorities,
        };
        inner.append_admin(&AdminRecord::Currency(currency.clone()))?;
        catalog.set_currency(currency).expect("numbers are given out without gaps");
        inner.catalog.replace(catalog);
        if alone.is_some() {
            await_guards();
        }
        drop(alone);
        let currency = inner.catalog.snapshot().currency_by_number(number).cloned().expect("just set");
        Ok((currency, self.barrier()))
    }

    /// Archives a currency, or takes it up again. An archived one takes no new grants and no new meters; what is granted stays spendable.
    pub fn archive_currency(&self, id: &str, archived: bool) -> Result<(Arc<CreditCurrency>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let _writer = inner.catalog.lock();
        let mut catalog = (*inner.catalog.snapshot()).clone();
        let old = catalog.currency(id).cloned().ok_or(CommandError::NotFound { what: "credit_currency" })?;
        if old.archived == archived {
            return Ok((old, self.barrier()));
        }
        let currency = CreditCurrency { archived, ..(*old).clone() };
        inner.append_admin(&AdminRecord::Currency(currency.clone()))?;
        catalog.set_currency(currency).expect("its number is known");
        inner.catalog.replace(catalog);
        inner.billing.look_again(inner.now(), |rule| rule.currency == old.number);
        let currency = inner.catalog.snapshot().currency_by_number(old.number).cloned().expect("just set");
        Ok((currency, self.barrier()))
    }

    /// Archives a meter, or takes it up again. An archived one takes no events.
    pub fn archive_meter(&self, event_type: &str, archived: bool) -> Result<(Arc<Meter>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        let _writer = inner.catalog.lock();
        let mut catalog = (*inner.catalog.snapshot()).clone();
        let old = catalog.meter(event_type).cloned().ok_or(CommandError::NotFound { what: "meter" })?;
        if old.archived == archived {
            return Ok((old, self.barrier()));
        }
        let meter = Meter { archived, ..(*old).clone() };
        inner.append_admin(&AdminRecord::Meter(meter.clone()))?;
        catalog.set_meter(meter).expect("its number is known");
        inner.catalog.replace(catalog);
        let meter = inner.catalog.snapshot().meter_by_number(old.number).cloned().expect("just set");
        Ok((meter, self.barrier()))
    }

    /// The currency of that id.
    pub fn currency(&self, id: &str) -> Option<Arc<CreditCurrency>> {
        self.inner.catalog.snapshot().currency(id).cloned()
    }

    /// All currencies, in order of creation.
    pub fn currencies(&self) -> Vec<Arc<CreditCurrency>> {
        self.inner.catalog.snapshot().currencies().to_vec()
    }

    /// The currency of that number.
    pub fn currency_by_number(&self, number: CurrencyNumber) -> Option<Arc<CreditCurrency>> {
        self.inner.catalog.snapshot().currency_by_number(number).cloned()
    }

    /// Makes or changes a meter.
    pub fn put_meter(&self, spec: MeterSpec) -> Result<(Arc<Meter>, Ticket), CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("event_type", &spec.event_type, MAX_ID_BYTES)?;
        if spec.rate.mantissa() <= 0 {
            return Err(CommandError::Invalid { field: "rate", detail: "must be greater than zero".to_owned() });
        }
        let _writer = inner.catalog.lock();
        let mut catalog = (*inner.catalog.snapshot()).clone();
        let currency = catalog.currency(&spec.currency).ok_or(CommandError::NotFound { what: "credit_currency" })?;
        let old = catalog.meter(&spec.event_type);
        if old.is_none_or(|old| old.currency != currency.number) {
            check_active(currency)?;
        }
        let currency = currency.number;
        let (number, archived) = match old {
            Some(old) => (old.number, old.archived),
            None => (next_number(catalog.meters().len())?, false),
        };
        let meter = Meter {
            event_type: spec.event_type,
            number,
            currency,
            rate: spec.rate,
            rounding: spec.rounding,
            policy: spec.policy,
            archived,
        };
        inner.append_admin(&AdminRecord::Meter(meter.clone()))?;
        catalog.set_meter(meter).expect("numbers are given out without gaps");
        inner.catalog.replace(catalog);
        let meter = inner.catalog.snapshot().meter_by_number(number).cloned().expect("just set");
        Ok((meter, self.barrier()))
    }

    /// The meter of that event type.
    pub fn meter(&self, event_type: &str) -> Option<Arc<Meter>> {
        self.inner.catalog.snapshot().meter(event_type).cloned()
    }

    /// All meters, in order of creation.
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        self.inner.catalog.snapshot().meters().to_vec()
    }

    /// Makes or changes an API key.
    pub fn put_api_key(&self, key: ApiKeyRecord) -> Result<Ticket, CommandError> {
        let inner = &*self.inner;
        inner.check_open()?;
        check_text("id", &key.id, 64)?;
        check_length("name", &key.name)?;
        inner.append_admin(&AdminRecord::ApiKey(key.clone()))?;
        inner.api_keys.insert(key.id.clone(), Arc::new(key));
        Ok(self.barrier())
    }

    /// The API key of that public id.
    pub fn api_key(&self, id: &str) -> Option<Arc<ApiKeyRecord>> {
        self.inner.api_keys.get(id).map(|key| Arc::clone(&key))
    }

    /// All API keys, by creation.
    pub fn api_keys(&self) -> Vec<Arc<ApiKeyRecord>> {
        let mut keys: Vec<_> = self.inner.api_keys.iter().map(|key| Arc::clone(&key)).collect();
        keys.sort_by(|a, b| (a.created_ms, &a.id).cmp(&(b.created_ms, &b.id)));
        keys
    }
}

impl Inner {
    /// The named currency, or the only one.
    pub(super) fn currency_or_default(&self, id: Option<&str>) -> Result<Arc<CreditCurrency>, CommandError> {
        currency_of(&self.catalog.snapshot(), id)
    }

    /// Whether amounts of the currency stand anywhere. Reads every wallet's name in the worst case; scales seldom change.
    fn is_currency_used(&self, number: CurrencyNumber, catalog: &Catalog) -> bool {
        let by_defaults = self.defaults.use_currency(number) || self.billing.use_currency(number);
        let by_meter = catalog.meters().iter().any(|meter| meter.currency == number);
        let named = |slot| self.names.get(slot).is_some_and(|name| name.currency == number);
        by_defaults || by_meter || (0..self.slab.len() as u32).any(named)
    }
}

/// The currency of that id in a catalogue; without one, the only currency.
pub(super) fn currency_of(catalog: &Catalog, id: Option<&str>) -> Result<Arc<CreditCurrency>, CommandError> {
    match id {
        Some(id) => catalog.currency(id).cloned().ok_or(CommandError::NotFound { what: "credit_currency" }),
        None => catalog.default_currency().cloned().ok_or_else(|| CommandError::Invalid {
            field: "currency",
            detail: "must be given: the server has not exactly one credit currency".to_owned(),
        }),
    }
}

fn next_number(count: usize) -> Result<u16, CommandError> {
    u16::try_from(count).map_err(|_| CommandError::Conflict {
        slug: "too_many",
        detail: "a server holds at most 65 536 currencies and as many meters".to_owned(),
    })
}

fn positive(field: &'static str, decimal: Decimal, scale: Scale) -> Result<Amount, CommandError> {
    match Amount::from_decimal(decimal, scale) {
        Ok(amount) if amount > Amount::ZERO => Ok(amount),
        Ok(_) => Err(CommandError::Invalid { field, detail: "must be greater than zero".to_owned() }),
        Err(error) => Err(CommandError::Invalid { field, detail: error.to_string() }),
    }
}

fn check_length(field: &'static str, text: &str) -> Result<(), CommandError> {
    if text.len() > MAX_ID_BYTES {
        return Err(CommandError::Invalid { field, detail: format!("must have at most {MAX_ID_BYTES} bytes") });
    }
    Ok(())
}

fn check_kind(kind: &CurrencyKind) -> Result<(), CommandError> {
    match kind {
        CurrencyKind::Fiat(code) if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            let detail = "a fiat denomination needs an ISO 4217 code of three capitals".to_owned();
            Err(CommandError::Invalid { field: "kind", detail })
        }
        CurrencyKind::Unit | CurrencyKind::Fiat(_) => Ok(()),
    }
}
