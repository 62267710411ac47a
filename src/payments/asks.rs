//! Questions to providers, each a function of the top-up that it is about.

use super::{Failed, Payments, seconds};
use crate::billing::Money;
use crate::billing::top_up::TopUp;
use drawdown_outbound::providers::{
    self, Charge, CustomerRef, FindCharge, Key, MethodRef, NewCheckout, NewCustomer, Provider,
};

/// Where a provider that was not given an address leads a customer back to, below the server's own.
const DONE: &str = "/payments/done";
const CANCELED: &str = "/payments/canceled";

/// The prefix of customers among references.
pub(super) const CUSTOMER: &str = "customer:";

/// Money as providers count it, if it is of a kind that they move.
pub(super) fn money_out(money: Money) -> Result<providers::Money, Failed> {
    let wrong = || providers::CallError::Refused {
        code: "unsupported_currency".to_owned(),
        message: format!("{} is no money that a card can pay", money.code),
    };
    let currency: providers::Currency = money.code.as_str().parse().map_err(|_| wrong())?;
    if currency.exponent() != u32::from(money.code.places()) {
        return Err(wrong().into());
    }
    Ok(providers::Money { amount: money.units, currency })
}

/// Money as the ledger counts it.
pub(super) fn money_in(money: providers::Money) -> Option<Money> {
    let code = crate::billing::MoneyCode::iso(money.currency.as_str())?;
    (u32::from(code.places()) == money.currency.exponent()).then_some(Money::new(money.amount, code))
}

/// What a top-up's charge, checkout and lookups are asked under.
pub(super) fn key_of(top_up: &TopUp) -> Key {
    top_up.id.parse().expect("the id of a top-up is letters, digits and underscores")
}

/// What is bought, in words that do not change as long as the top-up does not.
fn title(top_up: &TopUp) -> String {
    match (&top_up.purchase.package, top_up.purchase.quantity) {
        (Some(package), 1) => format!("Credits: {package}"),
        (Some(package), quantity) => format!("Credits: {quantity} x {package}"),
        (None, _) => "Credits".to_owned(),
    }
}

/// An address with something added to its query.
pub(crate) fn with_query(url: &str, query: &str) -> String {
    let (before, fragment) = url.split_once('#').map_or((url, ""), |(before, fragment)| (before, fragment));
    let joint = if before.contains('?') { '&' } else { '?' };
    let hash = if fragment.is_empty() { "" } else { "#" };
    format!("{before}{joint}{query}{hash}{fragment}")
}

impl Payments {
    /// Where the customer goes after a page of the provider's: with the top-up's id, and the session's where there is one.
    fn return_url(&self, top_up: &TopUp, is_done: bool, with_session: bool) -> String {
        let own = format!("{}{}", self.pages(), if is_done { DONE } else { CANCELED });
        let url = top_up.return_url.clone().unwrap_or(own);
        let session = if with_session { "&session={CHECKOUT}" } else { "" };
        with_query(&url, &format!("top_up={}{session}", top_up.id))
    }

    /// What a provider calls a customer: as it was noted, or as it says now.
    pub(super) async fn customer_ref(&self, provider: &dyn Provider, customer: &str) -> Result<CustomerRef, Failed> {
        let engine = &self.shared.engine;
        let of = format!("{CUSTOMER}{customer}");
        if let Some(known) = engine.reference(provider.name(), &of) {
            return Ok(CustomerRef::new(known));
        }
        let known = engine.customer(customer).ok();
        let digest = blake3::keyed_hash(&engine.secret_for("drawdown provider customers v1"), customer.as_bytes());
        let ask = NewCustomer {
            key: format!("cus_{}", &digest.to_hex()[..32]).parse().expect("hexadecimal digits"),
            reference: customer.to_owned(),
            name: known.as_ref().and_then(|known| known.name.clone()),
            email: known.and_then(|known| known.email),
        };
        let reference = provider.ensure_customer(&ask).await?;
        engine.note_reference(provider.name(), &of, reference.as_str())?.await?;
        Ok(reference)
    }

    pub(super) async fn ask_charge(
        &self,
        provider: &dyn Provider,
        top_up: &TopUp,
        repeat: bool,
    ) -> Result<Charge, Failed> {
        let id = top_up.method.as_deref().unwrap_or_default();
        let method = self.shared.engine.payment_method(&top_up.customer, id)?;
        let price = top_up.purchase.price.expect("what is charged has a price");
        Ok(Charge {
            key: key_of(top_up),
            customer: self.customer_ref(provider, &top_up.customer).await?,
            method: MethodRef::new(method.reference.clone()),
            money: money_out(price)?,
            description: title(top_up),
            return_url: Some(self.return_url(top_up, true, false)),
            decided_at_s: seconds(top_up.created_at),
            repeat,
        })
    }

    pub(super) async fn ask_checkout(
        &self,
        provider: &dyn Provider,
        top_up: &TopUp,
        price: Money,
    ) -> Result<NewCheckout, Failed> {
        let expires_at = top_up.expires_at.unwrap_or(top_up.created_at);
        Ok(NewCheckout {
            key: key_of(top_up),
            customer: self.customer_ref(provider, &top_up.customer).await?,
            money: money_out(price)?,
            title: title(top_up),
            save_method: top_up.saves_method,
            success_url: self.return_url(top_up, true, true),
            cancel_url: self.return_url(top_up, false, false),
            decided_at_s: seconds(top_up.created_at),
            expires_at_s: seconds(expires_at),
        })
    }

    pub(super) async fn ask_after(&self, provider: &dyn Provider, top_up: &TopUp) -> Result<FindCharge, Failed> {
        let customer = self.customer_ref(provider, &top_up.customer).await?;
        Ok(FindCharge { key: key_of(top_up), customer, since_s: seconds(top_up.created_at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::MoneyCode;

    #[test]
    fn a_query_goes_before_the_fragment() {
        assert_eq!(with_query("https://a.example/x", "t=1"), "https://a.example/x?t=1");
        assert_eq!(with_query("https://a.example/x?y=2#z", "t=1"), "https://a.example/x?y=2&t=1#z");
    }

    #[test]
    fn money_goes_out_and_comes_back_unless_its_places_differ() {
        let euros = Money::new(1_999, MoneyCode::iso("EUR").expect("euros"));
        let out = money_out(euros).expect("cards pay euros");
        assert_eq!((out.amount, money_in(out)), (1_999, Some(euros)));
        let dinars = Money::new(1, MoneyCode::iso("KWD").expect("dinars"));
        assert_eq!(money_out(dinars).ok().and_then(money_in), Some(dinars));
        assert!(money_out(Money::new(1, MoneyCode::iso("CLF").expect("four places"))).is_err());
        assert!(money_out(Money::new(1, MoneyCode::coin("USDT", 6).expect("a coin"))).is_err());
    }
}
