//! The operations on customers.

use super::{Operation, query};
use serde_json::json;

pub(super) fn put() -> Operation {
    Operation::new("Customers", "putCustomer", "Make a customer, or say all of it anew")
        .about(
            "What is left out is not said any more; its status stays what it is. Name, email and metadata are personal data: they are kept \
             encrypted, and can be erased.",
        )
        .takes("CustomerRequest")
        .ok("CustomerDetail")
        .fails(&[409, 422])
}

pub(super) fn patch() -> Operation {
    Operation::new("Customers", "changeCustomer", "Change a customer, archive it or take it up again")
        .about("What is left out stays; `null` takes name, email or metadata away.")
        .takes("CustomerPatch")
        .ok("CustomerDetail")
        .fails(&[404, 409, 422])
}

pub(super) fn get() -> Operation {
    Operation::new("Customers", "getCustomer", "A customer and its wallets")
        .about("Wallets exist without a customer: of one who owns some and of whom nothing was said, these are shown.")
        .ok("CustomerDetail")
        .fails(&[404])
}

pub(super) fn list() -> Operation {
    let prefix = json!({"type": "string", "minLength": 1, "maxLength": 128});
    Operation::new("Customers", "listCustomers", "All customers of whom something was said, by id")
        .list()
        .parameter(query("prefix", "Those whose ids begin so.", prefix))
        .pages("Customer")
}

pub(super) fn archive() -> Operation {
    Operation::new("Customers", "archiveCustomer", "Archive a customer; repeating it is success")
        .about(
            "An archived customer takes no grants, and so no wallets, and no holds. Usage goes on to be debited, for it has happened, and \
             what is granted stays spendable.",
        )
        .ok("CustomerDetail")
        .fails(&[404, 409, 422])
        .writes()
}

pub(super) fn erase() -> Operation {
    Operation::new("Customers", "erasePersonalData", "Erase a customer's personal data; repeating it is success")
        .about(
            "Their key is destroyed: what the log and its snapshots hold of name, email and metadata cannot be read any more. The id stays, \
             and with it the wallets and their history.",
        )
        .ok("CustomerDetail")
        .fails(&[404, 422])
        .writes()
}
