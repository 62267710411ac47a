//! What must stand before usage can come: a currency, meters, a package, wallets with grants, alert levels, cards and automatic rules.

use super::buying;
use super::client::{Client, ClientError, JSON, unreadable};
use super::credits::{SCALE, decimal};
use super::plan::{CURRENCY, METERS, Plan, Wallet};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Connections that set alert levels and rules at once, so that their syncs are shared.
const CONNECTIONS: usize = 8;

/// When credit that expires does. The replay is over long before, so that the sums need no account of expiry.
const EXPIRY: &str = "2099-01-01T00:00:00Z";

/// Sets everything up.
pub(super) async fn run(address: SocketAddr, plan: &Arc<Plan>) -> Result<(), ClientError> {
    let mut client = Client::connect(address).await?;
    let currency = json!({"name": "Credits", "symbol": "cr", "scale": SCALE, "kind": "unit"});
    client.put(&format!("/v1/credit-currencies/{CURRENCY}"), &currency).await?;
    for meter in METERS {
        let body = json!({"currency": CURRENCY, "rate": meter.rate, "on_insufficient": "reject"});
        client.put(&format!("/v1/meters/{}", meter.event_type), &body).await?;
    }
    buying::sell(&mut client).await?;
    grant(&mut client, &plan.wallets).await?;
    let mut lanes = JoinSet::new();
    for lane in 0..CONNECTIONS {
        let plan = Arc::clone(plan);
        lanes.spawn(async move {
            let mut client = Client::connect(address).await?;
            for wallet in plan.wallets.iter().skip(lane).step_by(CONNECTIONS) {
                let path = format!("/v1/wallets/{}/{CURRENCY}/alerts", wallet.customer);
                client.put(&path, &alerts(wallet)).await?;
                if let Some(card) = wallet.card {
                    buying::set_rule(&mut client, wallet, card).await?;
                }
            }
            Ok(())
        });
    }
    lanes.join_all().await.into_iter().collect()
}

/// Makes all grants in calls of a thousand wallets.
async fn grant(client: &mut Client, wallets: &[Wallet]) -> Result<(), ClientError> {
    for wallets in wallets.chunks(1000) {
        let grants: Vec<Value> = wallets.iter().flat_map(grants).collect();
        let answer: Value = client.post("/v1/grants", JSON, Value::Array(grants).to_string().into_bytes()).await?;
        let results = answer["results"].as_array().ok_or_else(|| unreadable("/v1/grants", "no results"))?;
        if let Some(refused) = results.iter().find(|result| result["status"] != "created") {
            return Err(unreadable("/v1/grants", format!("a grant was not made: {refused}")));
        }
    }
    Ok(())
}

fn grants(wallet: &Wallet) -> [Value; 2] {
    let grant = |kind: &str, category: &str, source: &str, amount: i64, expires: bool| {
        json!({
            "customer": wallet.customer, "currency": CURRENCY, "amount": decimal(amount), "category": category, "source": source,
            "expires_at": expires.then_some(EXPIRY), "key": format!("demo/{kind}/{}", wallet.customer),
        })
    };
    [
        grant("welcome", "promotional", "promotional", wallet.promotional, true),
        grant("package", "paid", "package", wallet.paid, wallet.paid_expires),
    ]
}

/// Low at a fifth of what was granted, critical at a twentieth.
fn alerts(wallet: &Wallet) -> Value {
    let level = |name: &str, units: i64| json!({"name": name, "amount": decimal(units)});
    json!({"levels": [level("low", wallet.low()), level("critical", wallet.granted() / 20)]})
}
