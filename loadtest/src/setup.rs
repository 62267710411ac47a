//! Before a run: a currency, a meter, and wallets that hold one grant each.

use crate::client::{CallError, Client, Target};
use crate::encode::{CURRENCY, METER, Names};
use crate::http::Request;
use crate::units;
use crate::verify::total;
use crate::workload::GRANT_UNITS;
use indicatif::ProgressBar;
use serde::Deserialize;
use std::borrow::Cow;
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Grants in one call.
const GRANTS_MAX: u32 = 10_000;

/// Calls at once: the server works on one while another is written and a third is made.
const CONNECTIONS: u32 = 4;

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
struct Results<'a> {
    #[serde(borrow)]
    results: Vec<GrantResult<'a>>,
}

#[derive(Deserialize)]
struct GrantResult<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
}

/// Prepares the server; all of it may be repeated. Returns what all wallets of the currency held before, in units.
pub fn prepare(
    runtime: &Runtime,
    target: &Arc<Target>,
    names: &Names,
    wallets: u32,
    bar: &ProgressBar,
) -> Result<i128, SetupError> {
    let before = runtime.block_on(async {
        let mut client = Client::new(Arc::clone(target));
        let currency = format!(r#"{{"name":"Load test","symbol":"LT","scale":{}}}"#, units::SCALE);
        put(&mut client, target, &format!("/v1/credit-currencies/{CURRENCY}"), &currency).await?;
        let meter = format!(r#"{{"currency":"{CURRENCY}","rate":"0.01"}}"#);
        put(&mut client, target, &format!("/v1/meters/{METER}"), &meter).await?;
        let before = total(&mut client, target).await?;
        let mut granters = JoinSet::new();
        for first in 0..CONNECTIONS {
            let calls = (first..wallets.div_ceil(GRANTS_MAX)).step_by(CONNECTIONS as usize);
            granters.spawn(grants(Arc::clone(target), names.clone(), wallets, calls, bar.clone()));
        }
        while let Some(granted) = granters.join_next().await {
            granted.expect("a granter does not panic")?;
        }
        Ok(before)
    });
    bar.finish_and_clear();
    before
}

async fn put(client: &mut Client, target: &Target, path: &str, body: &str) -> Result<(), CallError> {
    client.send(&Request::put(target.common(), path, body)).await?.success(&format!("PUT {path}"))?;
    Ok(())
}

async fn grants(
    target: Arc<Target>,
    names: Names,
    wallets: u32,
    calls: impl Iterator<Item = u32>,
    bar: ProgressBar,
) -> Result<(), SetupError> {
    let mut client = Client::new(Arc::clone(&target));
    for call in calls {
        let range = call * GRANTS_MAX..wallets.min((call + 1) * GRANTS_MAX);
        grant(&mut client, &target, &names, range.clone()).await?;
        bar.inc(range.len() as u64);
    }
    Ok(())
}

async fn grant(client: &mut Client, target: &Target, names: &Names, wallets: Range<u32>) -> Result<(), SetupError> {
    let key = format!("{}-grants-{}", names.run(), wallets.start);
    let mut request = Request::post(target.common(), "/v1/grants", "application/json", &[("idempotency-key", &key)]);
    request.fill(|body| grants_body(names, wallets.clone(), body));
    let reply = client.send(&request).await?;
    let results: Results<'_> = reply.json("POST /v1/grants")?;
    let (sent, answered) = (wallets.len(), results.results.len());
    if sent != answered {
        return Err(SetupError::Count { sent, answered });
    }
    let is_there = |status: &str| ["created", "replayed"].contains(&status);
    match wallets.zip(results.results).find(|(_, result)| !is_there(&result.status)) {
        Some((wallet, result)) => {
            Err(SetupError::Grant { customer: names.customer(wallet), status: result.status.into_owned() })
        }
        None => Ok(()),
    }
}

fn grants_body(names: &Names, wallets: Range<u32>, out: &mut Vec<u8>) {
    let mut amount = Vec::new();
    units::write(&mut amount, GRANT_UNITS);
    let amount = String::from_utf8(amount).expect("digits");
    let tail = format!(r#"","currency":"{CURRENCY}","amount":"{amount}","source":"package","category":"paid"}}"#);
    for (index, wallet) in wallets.enumerate() {
        out.push(if index == 0 { b'[' } else { b',' });
        // Writing to a Vec cannot fail.
        let _ = write!(out, r#"{{"customer":"{}{tail}"#, names.customer(wallet));
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_json_with_what_the_books_start_from() {
        let mut body = Vec::new();
        grants_body(&Names::new("r"), 3..5, &mut body);
        let grants: Vec<serde_json::Value> = serde_json::from_slice(&body).expect("is JSON");
        let customers: Vec<_> = grants.iter().map(|grant| grant["customer"].as_str()).collect();
        assert_eq!(customers, [Some("rw00000003"), Some("rw00000004")]);
        let amount = grants[0]["amount"].as_str().and_then(units::parse);
        assert_eq!(amount, Some(GRANT_UNITS.cast_signed()));
    }
}
