//! Grants found by the texts that clients have of them, and what was declared of them, wherever that can still be read.

use super::Declaration;
use crate::engine::Inner;
use crate::engine::history::unreadable;
use crate::engine::ticket::poisoned_error;
use crate::engine::view::CommandError;
use crate::journal::admin::{AdminRecord, GrantRecord};
use crate::journal::{Corrupt, Record};
use crate::ledger::GrantId;
use drawdown_wal::Lsn;

/// Separates the checks in grants' texts from other hashes.
const TEXT_DOMAIN: u8 = 2;

impl Inner {
    /// See [`Engine::grant_text`](crate::engine::Engine::grant_text).
    pub(in crate::engine) fn grant_text(&self, id: GrantId) -> String {
        format!("grt_{:012x}{:08x}", id.get(), self.grant_check(id))
    }

    /// What was declared of a grant, from where it was said once more.
    fn redeclaration(&self, id: GrantId) -> Result<Option<GrantRecord>, CommandError> {
        let Some(lsn) = self.redeclared.get(&id.get()).map(|lsn| *lsn) else { return Ok(None) };
        let mut view = None;
        match self.read_record(lsn, &mut view) {
            Ok(Record::Admin(AdminRecord::Redeclared(again))) if again.number == id.get() => Ok(Some(again.grant)),
            Ok(_) => Err(unreadable(Corrupt::Malformed("redeclaration"))),
            Err(_) if self.is_retired(lsn) => Ok(None),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// What was declared of a grant, or of the one that it was the remainder of, wherever that can still be read.
    pub(in crate::engine) fn declared_grant(&self, id: GrantId) -> Result<Option<Declaration>, CommandError> {
        match self.declaration(id) {
            Ok(declaration) => Ok(Some(declaration)),
            Err(CommandError::Retired { .. }) => Ok(None),
            Err(CommandError::NotFound { .. }) => Err(unreadable(Corrupt::Malformed("number of a grant"))),
            Err(error) => Err(error),
        }
    }

    pub(super) fn find_grant(&self, text: &str) -> Result<Declaration, CommandError> {
        let id = self.parse_grant(text).ok_or(CommandError::NotFound { what: "grant" })?;
        self.declaration(id)
    }

    pub(super) fn declaration(&self, id: GrantId) -> Result<Declaration, CommandError> {
        let missing = CommandError::NotFound { what: "grant" };
        let lsn = Lsn::new(id.get());
        if lsn >= self.log.tail() {
            return Err(missing);
        }
        if self.is_retired(id.get()) {
            return self.find_retired_grant(id);
        }
        if lsn >= self.log.durable() {
            // Clients have the text of a durable grant only, so this wait is seldom one.
            self.log.wait_durable(self.log.tail()).map_err(|poisoned| poisoned_error(&poisoned))?;
        }
        // The text may be of a grant that a crash took back, and something else may stand at its place by now.
        let mut view = None;
        let is_record = self.is_record(id.get());
        let record = is_record.then(|| self.read_record(id.get(), &mut view)).transpose();
        match record {
            Ok(Some(Record::Admin(AdminRecord::Grant(record)))) => Ok(Declaration::own(id, record)),
            // It went while it was looked for.
            Ok(None) | Err(_) if self.is_retired(id.get()) => self.find_retired_grant(id),
            // No record begins here; one that may roll over may begin before.
            Ok(None) => self.parent_declaration(id),
            Ok(_) => Err(missing),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// A grant whose declaration has been retired: the snapshots have those that wallets still hold.
    fn find_retired_grant(&self, id: GrantId) -> Result<Declaration, CommandError> {
        match self.retired_declaration(id.get())? {
            Some(AdminRecord::Grant(record)) => return Ok(Declaration::own(id, record)),
            Some(_) => return Err(CommandError::NotFound { what: "grant" }),
            None => {}
        }
        if let Some(record) = self.redeclaration(id)? {
            return Ok(Declaration::own(id, record));
        }
        let parent = match self.retired_declaration(id.rolled_from().get())? {
            Some(AdminRecord::Grant(record)) => Some(record),
            _ => self.redeclaration(id.rolled_from())?,
        };
        parent.and_then(|record| Declaration::of_parent(id, record)).ok_or_else(|| self.retired())
    }

    pub(super) fn parse_grant(&self, text: &str) -> Option<GrantId> {
        let digits = text.strip_prefix("grt_")?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits.len() < 20 || !is_hex {
            return None;
        }
        let (number, check) = digits.split_at(digits.len() - 8);
        let id = GrantId::new(u64::from_str_radix(number, 16).ok()?);
        let canonical = number.len() == 12 || !number.starts_with('0');
        (canonical && u32::from_str_radix(check, 16).ok()? == self.grant_check(id)).then_some(id)
    }

    fn grant_check(&self, id: GrantId) -> u32 {
        self.seed.key_fingerprint(TEXT_DOMAIN, &id.get().to_le_bytes()) as u32
    }
}
