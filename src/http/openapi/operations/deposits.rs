//! The operations on deposit forms.

use super::Operation;

const TAG: &str = "Money in";

pub(super) fn put_form() -> Operation {
    Operation::new(TAG, "putDepositForm", "Make or change a deposit form")
        .about(
            "What may be paid in (each coin or money is a credit currency), where it is to be sent, and where the payer goes afterwards. Deposits \
             are made by it with `POST /v1/top-ups` `{kind: \"deposit\", form, currency, customer}`; their `checkout_url` shows the payer all of it.",
        )
        .takes("DepositFormRequest")
        .ok("DepositForm")
        .fails(&[400, 409, 422])
}

pub(super) fn get_form() -> Operation {
    Operation::new(TAG, "getDepositForm", "A deposit form").ok("DepositForm").fails(&[404])
}

pub(super) fn list_forms() -> Operation {
    Operation::new(TAG, "listDepositForms", "All deposit forms, by id").list().pages("DepositForm")
}
