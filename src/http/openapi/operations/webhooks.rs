//! The operations on webhook endpoints and deliveries.

use super::{Operation, query, reference};
use serde_json::json;

const TAG: &str = "Webhooks";

pub(super) fn create() -> Operation {
    Operation::new(TAG, "createWebhookEndpoint", "Make a webhook endpoint")
        .about(
            "It is told of what happens from now on: at least once, in order per wallet, signed as Standard Webhooks. The secret is in this \
             answer and nowhere else; a repeat with the same Idempotency-Key shows the endpoint without it. The URL is https and leads to a \
             public address, unless the server allows others (`--webhook-allow-private`).",
        )
        .takes("WebhookEndpointRequest")
        .answers(201, "Made.", &reference("NewWebhookEndpoint"))
        .fails(&[409, 422])
}

pub(super) fn list() -> Operation {
    Operation::new(TAG, "listWebhookEndpoints", "All webhook endpoints, without their secrets")
        .list()
        .pages("WebhookEndpoint")
}

pub(super) fn get() -> Operation {
    Operation::new(TAG, "getWebhookEndpoint", "A webhook endpoint").ok("WebhookEndpoint").fails(&[404])
}

pub(super) fn patch() -> Operation {
    Operation::new(TAG, "changeWebhookEndpoint", "Change a webhook endpoint, disable it or enable it again")
        .about(
            "What is left out stays; `null` takes customer, currency, description or metadata away. One that is enabled again goes on where it \
             was; with `resume: now`, at the end of the feed.",
        )
        .takes("WebhookEndpointPatch")
        .ok("WebhookEndpoint")
        .fails(&[404, 409, 422])
}

pub(super) fn delete() -> Operation {
    let mut operation = Operation::new(TAG, "deleteWebhookEndpoint", "Delete a webhook endpoint and its secrets")
        .about("What is under way may still arrive.")
        .fails(&[404])
        .writes();
    operation.answers.push((204, json!({"description": "It is gone."})));
    operation
}

pub(super) fn rotate() -> Operation {
    Operation::new(TAG, "rotateWebhookSecret", "Give a webhook endpoint another secret")
        .about(
            "The secret before signs beside the new one for a day (`--webhook-secret-overlap`). The new one is in this answer and nowhere else.",
        )
        .ok("NewWebhookEndpoint")
        .fails(&[404, 409])
        .writes()
}

pub(super) fn test() -> Operation {
    Operation::new(TAG, "testWebhookEndpoint", "Send a webhook endpoint a test event")
        .about("`webhook_endpoint.test`, whatever types it asks for, to this endpoint only. How it went is among its deliveries.")
        .answers(202, "It is on its way.", &reference("WebhookEndpoint"))
        .fails(&[404, 409])
        .writes()
}

pub(super) fn deliveries() -> Operation {
    let status = json!({"type": "string", "enum": ["retrying", "delivered", "failed"]});
    Operation::new(TAG, "listDeliveries", "What was sent to a webhook endpoint, the latest events first")
        .about(
            "All that is being retried, the latest 200 that failed once and came to an end, and, since the server's start, the latest 200 that arrived \
             at the first attempt: of those there is no record.",
        )
        .list()
        .parameter(query("status", "Those that stand so.", status))
        .pages("Delivery")
        .fails(&[404])
}

pub(super) fn delivery() -> Operation {
    Operation::new(TAG, "getDelivery", "A delivery with its event")
        .about(
            "`not_recorded`: it arrived at the first attempt some time ago, is still to come, or was never meant for the endpoint.",
        )
        .ok("DeliveryDetail")
        .fails(&[404, 410])
}

pub(super) fn redeliver() -> Operation {
    Operation::new(TAG, "redeliver", "Send an event to a webhook endpoint again")
        .about(
            "Under the same `webhook-id`. One that is being retried is retried at once and keeps its place in its wallet's order; any other goes \
             beside that order. Any event that is still in the log can be sent.",
        )
        .answers(202, "It is on its way.", &reference("Delivery"))
        .fails(&[404, 409, 410])
        .writes()
}
