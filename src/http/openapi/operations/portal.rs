//! The operations on the portal.

use super::Operation;
use serde_json::json;

const TAG: &str = "Portal";

pub(super) fn post_session() -> Operation {
    Operation::new(TAG, "createPortalSession", "A link that opens the portal to one customer")
        .about(
            "Send the customer there; do not keep the link. It opens the portal for some minutes, and the portal stays open for about an hour \
             (`--portal-link-time`, `--portal-session-time`). Without a `page` it leads to the balance. The customer need not be known. The link is \
             a secret: an `Idempotency-Key` that is sent again is given another one.",
        )
        .takes("PortalSessionRequest")
        .answers(201, "Made.", &json!({"$ref": "#/components/schemas/PortalSession"}))
        .fails(&[400, 409, 422])
}

pub(super) fn delete_sessions() -> Operation {
    let mut operation = Operation::new(TAG, "closePortal", "Make all links and sessions of a customer worthless")
        .about(
            "For when a link or a device got into wrong hands. The customer need not be known; it comes by a new link as before. Repeating it is \
             success.",
        )
        .fails(&[422])
        .writes();
    operation.answers.push((204, json!({"description": "Nothing that was given out before opens the portal."})));
    operation
}

pub(super) fn get_limits() -> Operation {
    Operation::new(TAG, "getPortalLimits", "The limits on what customers buy for themselves")
        .ok("PortalLimits")
        .fails(&[404])
}

pub(super) fn put_limits() -> Operation {
    Operation::new(TAG, "setPortalLimits", "Set the limits on what customers buy for themselves")
        .about(
            "They bind what customers buy in the portal, by hand and by rules that they set there, and nobody else. What is left out is not \
             limited.",
        )
        .takes("PortalLimitsRequest")
        .ok("PortalLimits")
        .fails(&[400, 404, 409, 422])
}
