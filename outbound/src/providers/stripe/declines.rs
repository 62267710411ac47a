//! Why a payment was declined, and whether trying the same payment method again can help (docs.stripe.com/declines/codes).

use super::objects::ApiError;
use crate::providers::Decline;

/// Codes after which the same payment method will not do: it is gone, wrong, blocked, or its holder withdrew. Others, unknown ones among them,
/// may pass later.
const HARD: &[&str] = &[
    "card_not_supported",
    "currency_not_supported",
    "expired_card",
    "fraudulent",
    "highest_risk_level",
    "incorrect_number",
    "invalid_account",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "live_mode_test_card",
    "lost_card",
    "merchant_blacklist",
    "new_account_information_available",
    "not_permitted",
    "payment_method_unactivated",
    "payment_method_unexpected_state",
    "pickup_card",
    "resource_missing",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "service_not_allowed",
    "stolen_card",
    "stop_payment_order",
    "test_mode_live_card",
    "testmode_decline",
    "transaction_not_allowed",
];

/// Whether the customer has to authenticate, which is not a decline.
pub(super) fn needs_authentication(error: &ApiError) -> bool {
    let says = |code: &Option<String>| code.as_deref() == Some("authentication_required");
    says(&error.code) || says(&error.decline_code)
}

/// The most telling code is the issuer's. Some issuers advise against another try, whatever their code.
pub(super) fn decline(error: &ApiError) -> Decline {
    let code =
        error.decline_code.clone().or_else(|| error.code.clone()).unwrap_or_else(|| "generic_decline".to_owned());
    let advised = matches!(error.advice_code.as_deref(), Some("do_not_try_again" | "confirm_card_data"));
    // `card_declined` with `fraudulent`, or `expired_card` without a code of the issuer: either may be the telling one.
    let hard =
        advised || [Some(&code), error.code.as_ref()].into_iter().flatten().any(|code| HARD.contains(&code.as_str()));
    let message = error.message.clone().unwrap_or_else(|| "The payment was declined.".to_owned());
    Decline { code, hard, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, decline_code: Option<&str>, advice_code: Option<&str>, expected: (&str, bool)) {
        let error = ApiError {
            code: Some(code.to_owned()),
            decline_code: decline_code.map(str::to_owned),
            advice_code: advice_code.map(str::to_owned),
            ..ApiError::default()
        };
        let decline = decline(&error);
        assert_eq!((decline.code.as_str(), decline.hard), expected, "{error:?}");
    }

    #[test]
    fn hard_and_soft() {
        check("card_declined", Some("generic_decline"), None, ("generic_decline", false));
        check("card_declined", Some("insufficient_funds"), Some("try_again_later"), ("insufficient_funds", false));
        check("card_declined", Some("do_not_honor"), None, ("do_not_honor", false));
        check("card_declined", Some("do_not_honor"), Some("do_not_try_again"), ("do_not_honor", true));
        check("card_declined", Some("lost_card"), None, ("lost_card", true));
        check("card_declined", Some("stolen_card"), None, ("stolen_card", true));
        check("expired_card", None, None, ("expired_card", true));
        check("expired_card", Some("expired_card"), Some("confirm_card_data"), ("expired_card", true));
        check("processing_error", None, None, ("processing_error", false));
        check("card_declined", Some("a_code_of_next_year"), None, ("a_code_of_next_year", false));
    }

    #[test]
    fn the_table_is_sorted_and_without_repetition() {
        assert!(HARD.is_sorted_by(|a, b| a < b));
    }
}
