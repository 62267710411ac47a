//! The operations on money in.

use super::{Operation, query};
use serde_json::json;

const TAG: &str = "Money in";

pub(super) fn put_package() -> Operation {
    Operation::new(TAG, "putCreditPackage", "Make or change a credit package")
        .about("Its credit currency does not change. What was bought before keeps its terms.")
        .takes("CreditPackageRequest")
        .ok("CreditPackage")
        .fails(&[400, 409, 422])
}

pub(super) fn get_package() -> Operation {
    Operation::new(TAG, "getCreditPackage", "A credit package").ok("CreditPackage").fails(&[404])
}

pub(super) fn list_packages() -> Operation {
    Operation::new(TAG, "listCreditPackages", "All credit packages, by id").list().pages("CreditPackage")
}

pub(super) fn get_recharge() -> Operation {
    Operation::new(TAG, "getRechargeConfig", "How a currency's credits are bought when nothing else is said")
        .ok("RechargeConfig")
        .fails(&[404])
}

pub(super) fn put_recharge() -> Operation {
    Operation::new(TAG, "putRechargeConfig", "Set a currency's base package, or take it away")
        .takes("RechargeConfigRequest")
        .ok("RechargeConfig")
        .fails(&[400, 404, 409, 422])
}

pub(super) fn post_top_up() -> Operation {
    Operation::new(TAG, "createTopUp", "Begin to buy credits")
        .about(
            "A package, or an amount and the credits that it buys; without either the currency's base package. Credits are granted when the \
             money has come: see `confirm`. The same `key` and content is the first top-up again, for as long as the ledger lasts. Without a \
             payment provider the provider is `external`, or the customer is sent invoices. With one a saved method is charged, or \
             `checkout_url` leads to a page that collects one on the way.",
        )
        .takes("TopUpRequest")
        .answers(201, "Begun.", &json!({"$ref": "#/components/schemas/TopUp"}))
        .fails(&[400, 404, 409, 422])
}

pub(super) fn get_top_up() -> Operation {
    Operation::new(TAG, "getTopUp", "A top-up").ok("TopUp").fails(&[404])
}

pub(super) fn list_top_ups() -> Operation {
    let customer = json!({"type": "string", "minLength": 1, "maxLength": 128});
    Operation::new(TAG, "listTopUps", "Top-ups, the newest first")
        .list()
        .parameter(query("customer", "Of this customer only.", customer))
        .pages("TopUp")
}

pub(super) fn cancel_top_up() -> Operation {
    Operation::new(TAG, "cancelTopUp", "Call a top-up off; repeating it is success")
        .about("Money that comes all the same is credited.")
        .ok("TopUp")
        .fails(&[400, 404, 409, 422])
        .writes()
}

pub(super) fn confirm_top_up() -> Operation {
    Operation::new(TAG, "confirmTopUp", "Money has come")
        .about(
            "All that is due without an amount. When the price is reached the credits are granted, in the same step; with `last` less is \
             enough, and gives its share. The same `key` again is the same payment. A payment that comes after the credits is kept as a surplus.",
        )
        .may_take("MoneyMoved")
        .ok("TopUp")
        .fails(&[400, 404, 409, 422])
}

pub(super) fn refund_top_up() -> Operation {
    Operation::new(TAG, "refundTopUp", "Money goes back")
        .about(
            "All that is left without an amount. Credits are taken back in proportion: what is unspent of the grant first, and what is not \
             covered by that as the server is set, as debt or written off. The same `key` again is the same refund.",
        )
        .may_take("MoneyMoved")
        .ok("TopUp")
        .fails(&[400, 404, 409, 422])
}

pub(super) fn put_rule() -> Operation {
    Operation::new(TAG, "putAutoTopUpRule", "Set a customer's automatic top-up rule")
        .about(
            "It watches the balance less what is held, with what is on the way. One that would still be low after buying is refused. Limits are \
             per day, week (from Monday) and month of UTC, exact, and count attempts that did not fail.",
        )
        .takes("AutoTopUpRuleRequest")
        .ok("AutoTopUpRule")
        .fails(&[400, 404, 409, 422])
}

pub(super) fn get_rule() -> Operation {
    Operation::new(TAG, "getAutoTopUpRule", "A customer's automatic top-up rule").ok("AutoTopUpRule").fails(&[404])
}

pub(super) fn delete_rule() -> Operation {
    Operation::new(TAG, "deleteAutoTopUpRule", "Take a rule away; repeating it is success")
        .about("What it has bought in the present windows still counts if another is set.")
        .ok("Deleted")
        .fails(&[404, 422])
        .writes()
}

pub(super) fn get_invoice() -> Operation {
    let format = json!({"type": "string", "enum": ["json", "html", "pdf"]});
    let mut operation = Operation::new(TAG, "getInvoice", "An invoice, or the receipt that it becomes")
        .about("As JSON, as a page (`Accept: text/html`) or as PDF (`Accept: application/pdf`).")
        .parameter(query("format", "Goes before what the client accepts.", format))
        .ok("Invoice")
        .fails(&[400, 404]);
    let content = &mut operation.answers[0].1["content"];
    content["text/html"] = json!({"schema": {"type": "string"}});
    content["application/pdf"] = json!({"schema": {"type": "string", "format": "binary"}});
    operation
}

pub(super) fn pay_invoice() -> Operation {
    Operation::new(TAG, "payInvoice", "Collect once more what is owed on the open invoice of a charge")
        .about(
            "From `payment_method`, or as with a new charge: from the customer's default one, or on a page. Refused as long as an earlier try may \
             still be paid. The invoice of a purchase is paid by its top-up.",
        )
        .may_take("InvoicePayment")
        .answers(201, "It is being collected.", &json!({"$ref": "#/components/schemas/TopUp"}))
        .fails(&[400, 404, 409, 422])
}

pub(super) fn resume_rule() -> Operation {
    Operation::new(TAG, "resumeAutoTopUpRule", "Let a rule go on that is suspended or waits; repeating it is success")
        .ok("AutoTopUpRule")
        .fails(&[400, 404])
        .writes()
}

pub(super) fn post_method() -> Operation {
    Operation::new(TAG, "addPaymentMethod", "Add a payment method that a provider keeps, or begin to collect one")
        .about(
            "What is kept here is a reference and what may be shown of it. The first one is the default. Another card than the one that was \
             declined lifts what that had suspended. Without a `reference` a page is opened at `checkout_url` on which the customer enters one; it is \
             kept when the provider tells that it has it.",
        )
        .takes("PaymentMethodRequest")
        .answers(201, "Added.", &json!({"$ref": "#/components/schemas/PaymentMethodMade"}))
        .fails(&[400, 409, 422])
}

pub(super) fn list_methods() -> Operation {
    Operation::new(TAG, "listPaymentMethods", "A customer's payment methods, those that were taken away too, by id")
        .list()
        .pages("PaymentMethod")
}

pub(super) fn default_method() -> Operation {
    Operation::new(TAG, "makePaymentMethodDefault", "Charge this one when no other is named; repeating it is success")
        .ok("PaymentMethod")
        .fails(&[404, 409, 422])
        .writes()
}

pub(super) fn delete_method() -> Operation {
    Operation::new(TAG, "deletePaymentMethod", "Take a payment method away, for good; repeating it is success")
        .ok("PaymentMethod")
        .fails(&[404, 422])
        .writes()
}

pub(super) fn provider_webhook() -> Operation {
    let mut operation = Operation::new(TAG, "receiveProviderWebhook", "What a payment provider tells, signed by it")
        .about(
            "Signature and time are verified as the provider prescribes; the same event again changes nothing. What is about a payment that may be \
             ours and is not known yet is refused with 409, so that the provider sends it again.",
        )
        .answers(200, "It is on disk.", &json!({"type": "object", "properties": {"received": {"type": "boolean"}}}))
        .fails(&[400, 404, 408, 409, 413, 503])
        .writes();
    operation.body = None;
    operation
}
