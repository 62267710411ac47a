//! What things are called in the portal: for customers, who know neither grants' sources nor slugs.

use crate::billing::method::CardExpiry;
use crate::billing::top_up::{Failure, Purchase};
use crate::billing::{CreditPackage, Money, PaymentMethod};
use crate::engine::view::{Entry, EntryKind, GrantView};
use crate::engine::{CommandError, Engine};
use crate::ledger::Source;
use drawdown_pages::text::grouped;

/// A detail of ours as a sentence.
pub(super) fn sentence(detail: &str) -> String {
    let mut letters = detail.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if detail.ends_with(['.', '!', '?']) || detail.is_empty() { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

/// Money with its currency.
pub(super) fn money(money: Money) -> String {
    format!("{} {}", grouped(&money.to_string()), money.code)
}

/// A name as it stands at the beginning of a sentence.
fn capital(name: &str) -> String {
    let mut letters = name.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    first + letters.as_str()
}

/// A card's brand.
pub(super) fn brand(method: &PaymentMethod) -> String {
    method.brand.as_deref().map_or_else(|| "Card".to_owned(), capital)
}

/// A card to choose.
pub(super) fn card(method: &PaymentMethod) -> String {
    let ending = method.last4.as_ref().map(|last4| format!(" ending in {last4}")).unwrap_or_default();
    brand(method) + &ending
}

/// The month that a card is good up to.
pub(super) fn good_until(expiry: CardExpiry) -> String {
    format!("{:02}/{:02}", expiry.month(), expiry.year() % 100)
}

/// What a purchase is of.
pub(super) fn goods(engine: &Engine, purchase: &Purchase) -> String {
    let Some(id) = &purchase.package else { return "Credits".to_owned() };
    let name = engine.package(id).map_or_else(|| id.clone(), |package| package.name.clone());
    if purchase.quantity == 1 { name } else { format!("{} × {name}", purchase.quantity) }
}

/// Where a grant comes from.
pub(super) fn grant(engine: &Engine, grant: &GrantView) -> String {
    let bought = || {
        let id = grant.payment.as_deref()?;
        let view = engine.top_up_of(&grant.customer, id).ok()?;
        view.top_up.purchase.package.is_some().then(|| goods(engine, &view.top_up.purchase))
    };
    let of = |what: &str| bought().map_or_else(|| what.to_owned(), |goods| format!("{what}: {goods}"));
    match grant.source {
        Source::Plan => "Plan".to_owned(),
        Source::Drip => "Regular refill".to_owned(),
        Source::Rollover => "Carried over".to_owned(),
        Source::Contract => "Contract".to_owned(),
        Source::Promotional => "Gift".to_owned(),
        Source::Package => of("Package"),
        Source::TopUp => of("Bought"),
        Source::AutoTopUp => of("Automatic top-up"),
        Source::Adjustment => "Correction".to_owned(),
        Source::Migration => "Brought over".to_owned(),
    }
}

/// What an entry of the history is called.
pub(super) const fn entry(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Debit | EntryKind::LateCapture => "Usage",
        EntryKind::Grant => "Credits added",
        EntryKind::GrantScheduled => "Credits announced",
        EntryKind::Expiry => "Credits expired",
        EntryKind::Void => "Credits withdrawn",
        EntryKind::DebtRepayment => "Debt paid",
        EntryKind::WriteOff => "Written off",
        EntryKind::Settings => "Terms changed",
        EntryKind::Reversal => "Usage taken back",
        EntryKind::Adjustment => "Correction",
        EntryKind::Charge => "Invoice paid",
        EntryKind::Hold => "Set aside",
        EntryKind::Capture => "Usage of what was set aside",
        EntryKind::Release | EntryKind::HoldExpiry => "No longer set aside",
        EntryKind::GrantPending => "Credits that wait for their payment",
        EntryKind::GrantPaid => "Credits paid for",
        EntryKind::Rollover => "Carried over",
        EntryKind::TransferOut => "Passed on",
        EntryKind::TransferIn => "Received",
        EntryKind::Freeze => "Set aside while a payment is disputed",
        EntryKind::Thaw => "No longer set aside for a dispute",
    }
}

/// What an entry was for, as far as it is the customer's to know.
pub(super) fn entry_detail(engine: &Engine, entry: &Entry) -> Option<String> {
    if let Some(event) = &entry.event {
        return Some(match &event.metered {
            Some((meter, quantity)) => format!("{meter}, {quantity}"),
            None => event.id.clone(),
        });
    }
    if let Some(grant) = entry.grant {
        let known = engine.grant_view(&engine.grant_text(grant)).ok()?;
        return Some(self::grant(engine, &known));
    }
    let correction = entry.correction.as_ref()?;
    correction.invoice.clone().or_else(|| correction.reason.clone())
}

/// A package to choose.
pub(super) fn package(package: &CreditPackage, credits: &str, symbol: &str) -> String {
    format!("{}: {} {symbol} for {}", package.name, grouped(credits), money(package.price))
}

/// How long credits last.
pub(super) fn duration(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")];
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| ms.is_multiple_of(*unit)).unwrap_or((1_000, "second"));
    let count = ms / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Why a payment failed.
pub(super) fn failure(failure: Option<&Failure>) -> &'static str {
    match failure.map(|failure| failure.code.as_str()) {
        Some("insufficient_funds") => "There is not enough money on the card. Nothing was paid.",
        Some("expired_card") => "The card has expired. Nothing was paid.",
        Some("incorrect_cvc" | "incorrect_number" | "invalid_number") => {
            "The card's details are not right. Nothing was paid."
        }
        Some("authentication_required" | "authentication_failed") => {
            "Your bank wanted a confirmation, and did not get it. Nothing was paid."
        }
        _ => "The card was declined. Nothing was paid.",
    }
}

/// Why an order was refused, if that is the customer's to know.
pub(super) fn refusal(error: &CommandError) -> Option<String> {
    match error {
        CommandError::FieldConflict { slug: "customer_archived", .. } => {
            Some("This account takes no new credits.".to_owned())
        }
        CommandError::FieldConflict { field: "amount", detail, .. } => Some(sentence(&format!("the payment {detail}"))),
        CommandError::FieldConflict { detail, .. } => Some(sentence(detail)),
        CommandError::Conflict { slug, detail } => Some(match *slug {
            "package_limit_reached" => "You have bought this package as often as you may.".to_owned(),
            "package_archived" => "This package is not sold any more.".to_owned(),
            "idempotency_conflict" => {
                "This order was sent before with other content. Nothing was bought now: look at your balance first."
                    .to_owned()
            }
            _ => sentence(detail),
        }),
        CommandError::Invalid { field, detail } => Some(field_error(field, detail)),
        CommandError::Rejected(_)
        | CommandError::NotFound { .. }
        | CommandError::Retired { .. }
        | CommandError::Unavailable(_)
        | CommandError::Inconsistent { .. } => None,
    }
}

/// What is wrong with a field, as a sentence.
pub(super) fn field_error(field: &str, detail: &str) -> String {
    let name = match field {
        "threshold" => "the threshold",
        "package" => "the package",
        "quantity" => "the number of packages",
        "amount" | "amount_currency" => "the amount",
        "target" => "the balance to fill up to",
        "limits" => "the limits",
        "payment_method" => "the card",
        "provider" => "the payment provider",
        other => other,
    };
    sentence(&format!("{name} {detail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_become_sentences() {
        assert_eq!(sentence("must be 5 at most"), "Must be 5 at most.");
        assert_eq!(sentence("Done."), "Done.");
        assert_eq!(sentence(""), "");
        assert_eq!(field_error("target", "must not be low"), "The balance to fill up to must not be low.");
    }

    #[test]
    fn durations_are_told_in_their_largest_whole_unit() {
        for (ms, words) in [
            (86_400_000, "1 day"),
            (90 * 86_400_000, "90 days"),
            (5_400_000, "90 minutes"),
            (7_200_000, "2 hours"),
            (1_000, "1 second"),
            (1_500, "1 second"),
        ] {
            assert_eq!(duration(ms), words);
        }
    }
}
