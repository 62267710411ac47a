//! Before a run: a currency, a meter, and wallets that hold one grant each.

use crate::client::{Call, CallError, Client};
use crate::encode::{CURRENCY, METER, Names};
use crate::units;
use crate::workload::GRANT_UNITS;
use hyper::header::HeaderValue;
use indicatif::ProgressBar;
use serde::Deserialize;
use std::fmt::Write;
use std::ops::Range;
use thiserror::Error;

/// Grants in one call.
const GRANTS_MAX: u32 = 5000;

/// Why the server could not be prepared.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A request failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A wallet did not get what the books say.
    #[error("the grant of {customer} is {status}")]
    Grant {
        /// Whose wallet.
        customer: String,
        /// What became of the grant.
        status: String,
    },
    /// The answer leaves grants out.
    #[error("{sent} grants were answered by {answered} results")]
    Count {
        /// Grants sent.
        sent: usize,
        /// Results received.
        answered: usize,
    },
}

#[derive(Deserialize)]
struct Results {
    results: Vec<GrantResult>,
}

#[derive(Deserialize)]
struct GrantResult {
    status: String,
}

/// Prepares the server; all of it may be repeated.
pub async fn prepare(client: &mut Client, names: &Names, wallets: u32, bar: &ProgressBar) -> Result<(), SetupError> {
    let currency = format!(r#"{{"name":"Load test","symbol":"LT","scale":{}}}"#, units::SCALE);
    put(client, format!("/v1/credit-currencies/{CURRENCY}"), currency).await?;
    let meter = format!(r#"{{"currency":"{CURRENCY}","rate":"0.01"}}"#);
    put(client, format!("/v1/meters/{METER}"), meter).await?;
    let mut begin = 0;
    while begin < wallets {
        let end = wallets.min(begin + GRANTS_MAX);
        grant(client, names, begin..end).await?;
        bar.inc(u64::from(end - begin));
        begin = end;
    }
    bar.finish_and_clear();
    Ok(())
}

async fn put(client: &mut Client, path: String, body: String) -> Result<(), CallError> {
    let what = format!("PUT {path}");
    client.send(&Call::put(path, body)).await?.success(&what)?;
    Ok(())
}

async fn grant(client: &mut Client, names: &Names, wallets: Range<u32>) -> Result<(), SetupError> {
    let key = HeaderValue::from_str(&format!("{}-grants-{}", names.run(), wallets.start)).expect("visible ASCII");
    let call = Call::post("/v1/grants".to_owned(), "application/json", grants_body(names, wallets.clone()));
    let reply = client.send(&call.header("idempotency-key", key)).await?;
    let what = "POST /v1/grants";
    let results: Results = serde_json::from_slice(reply.success(what)?)
        .map_err(|source| CallError::Unreadable { what: what.to_owned(), source })?;
    let (sent, answered) = (wallets.len(), results.results.len());
    if sent != answered {
        return Err(SetupError::Count { sent, answered });
    }
    let is_there = |status: &str| ["created", "replayed"].contains(&status);
    match wallets.zip(results.results).find(|(_, result)| !is_there(&result.status)) {
        Some((wallet, result)) => Err(SetupError::Grant { customer: names.customer(wallet), status: result.status }),
        None => Ok(()),
    }
}

fn grants_body(names: &Names, wallets: Range<u32>) -> String {
    let mut amount = Vec::new();
    units::write(&mut amount, GRANT_UNITS);
    let amount = String::from_utf8(amount).expect("digits");
    let mut body = String::new();
    for wallet in wallets {
        body.push(if body.is_empty() { '[' } else { ',' });
        // Writing to a String cannot fail.
        let _ = write!(
            body,
            r#"{{"customer":"{}","currency":"{CURRENCY}","amount":"{amount}","source":"package","category":"paid"}}"#,
            names.customer(wallet)
        );
    }
    body.push(']');
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_json_with_what_the_books_start_from() {
        let body = grants_body(&Names::new("r"), 3..5);
        let grants: Vec<serde_json::Value> = serde_json::from_str(&body).expect("is JSON");
        let customers: Vec<_> = grants.iter().map(|grant| grant["customer"].as_str()).collect();
        assert_eq!(customers, [Some("rw00000003"), Some("rw00000004")]);
        let amount = grants[0]["amount"].as_str().and_then(units::parse);
        assert_eq!(amount, Some(GRANT_UNITS.cast_signed()));
    }
}
