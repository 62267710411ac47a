//! What only the portal asks: of one customer, and never of another.

use super::missing;
use crate::billing::invoice::{Invoice, Number};
use crate::engine::Engine;
use crate::engine::billing::TopUpView;
use crate::engine::view::CommandError;
use std::sync::Arc;

impl Engine {
    /// A customer's invoices below a number, the newest first; at most `limit` of them.
    pub fn invoices_of(&self, customer: &str, before: Option<Number>, limit: usize) -> Vec<Arc<Invoice>> {
        self.inner.billing.lock().invoices_of(customer, before).take(limit).cloned().collect()
    }

    /// A customer's invoice. Another's is as unknown as one that there is not.
    pub fn invoice_of(&self, customer: &str, number: Number) -> Result<Arc<Invoice>, CommandError> {
        self.invoice(number).ok().filter(|invoice| invoice.customer == customer).ok_or(missing("invoice"))
    }

    /// A customer's top-up. Another's is as unknown as one that there is not.
    pub fn top_up_of(&self, customer: &str, id: &str) -> Result<TopUpView, CommandError> {
        self.top_up(id).ok().filter(|view| view.top_up.customer == customer).ok_or(missing("top_up"))
    }
}
