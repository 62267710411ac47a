//! Buying: what is sold, whose card is charged when credit runs low, how long that may take, and the link to a customer's portal.

use super::DemoError;
use super::client::{Client, ClientError, JSON, unreadable};
use super::credits::{decimal, units};
use super::money::CODE;
use super::plan::{CURRENCY, Card, PACKAGE, Plan, Wallet};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::Instant;

/// How long the last top-ups may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often it is looked whether they have come to an end.
const LOOK: Duration = Duration::from_millis(20);

/// What a page of the payment provider's answers.
#[derive(Deserialize)]
struct Setup {
    checkout_url: String,
}

/// A rule, as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rule {
    pub(super) status: String,
    pub(super) failures: u32,
    pub(super) retry_at: Option<String>,
    in_flight: Option<String>,
    threshold: String,
}

/// Puts a package on sale, and makes it what is bought where nothing else is said.
pub(super) async fn sell(client: &mut Client) -> Result<(), ClientError> {
    let package = json!({
        "name": "Refill", "currency": CURRENCY, "credits": PACKAGE.credits, "bonus": PACKAGE.bonus,
        "price": {"amount": PACKAGE.price, "currency": CODE},
    });
    client.put(&format!("/v1/credit-packages/{}", PACKAGE.id), &package).await?;
    let recharge = json!({"package": PACKAGE.id});
    client.put(&format!("/v1/credit-currencies/{CURRENCY}/recharge-config"), &recharge).await
}

/// Enters a card on the provider's page, as the customer would, and sets the rule that charges it.
pub(super) async fn set_rule(client: &mut Client, wallet: &Wallet, card: Card) -> Result<(), ClientError> {
    let path = format!("/v1/customers/{}/payment-methods", wallet.customer);
    let setup: Setup = client.post(&path, JSON, b"{}".to_vec()).await?;
    let page = setup.checkout_url.splitn(4, '/').nth(3);
    let page = page.ok_or_else(|| unreadable(&path, format!("no page: {}", setup.checkout_url)))?;
    client.post_form(&format!("/{page}"), card.form()).await?;
    let rule = json!({"threshold": decimal(wallet.low()), "mode": "package", "package": PACKAGE.id});
    client.put(&rule_path(wallet), &rule).await
}

fn rule_path(wallet: &Wallet) -> String {
    format!("/v1/customers/{}/auto-topup-rules/{CURRENCY}", wallet.customer)
}

/// A wallet's rule, as it stands.
pub(super) async fn rule(client: &mut Client, wallet: &Wallet) -> Result<Rule, ClientError> {
    client.get(&rule_path(wallet)).await
}

/// Waits until no rule has anything more to do: nothing is in flight, and the wallet is not low or the rule waits for a later attempt.
pub(super) async fn settle(address: SocketAddr, plan: &Plan) -> Result<(), DemoError> {
    let mut client = Client::connect(address).await?;
    let until = Instant::now() + PATIENCE;
    for wallet in plan.wallets.iter().filter(|wallet| wallet.card.is_some()) {
        while !is_settled(&mut client, wallet).await? {
            if Instant::now() > until {
                return Err(DemoError::Unsettled(wallet.customer.clone()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

async fn is_settled(client: &mut Client, wallet: &Wallet) -> Result<bool, ClientError> {
    // The rule first: what it buys after that is seen in the balance.
    let rule = rule(client, wallet).await?;
    if rule.in_flight.is_some() {
        return Ok(false);
    }
    let path = format!("/v1/wallets/{}/{CURRENCY}", wallet.customer);
    let shown: Value = client.get(&path).await?;
    let balance = shown["balance"].as_str().and_then(units).ok_or_else(|| unreadable(&path, "no balance"))?;
    let threshold = units(&rule.threshold).ok_or_else(|| unreadable(&path, "no threshold"))?;
    Ok(balance >= threshold || rule.status != "armed")
}

/// A link to a customer's portal.
#[derive(Debug)]
pub(super) struct Link {
    /// Whose.
    pub(super) customer: String,
    /// Where.
    pub(super) url: String,
}

/// Makes a link to the portal of the first customer who buys, or of the first of all.
pub(super) async fn portal_link(address: SocketAddr, plan: &Plan) -> Result<Link, ClientError> {
    let buys = |wallet: &&Wallet| wallet.card.is_some_and(Card::pays);
    let wallet = plan.wallets.iter().find(buys).unwrap_or(&plan.wallets[0]);
    let ask = json!({"customer": wallet.customer, "currency": CURRENCY});
    let path = "/v1/portal-sessions";
    let made: Value = Client::connect(address).await?.post(path, JSON, ask.to_string().into_bytes()).await?;
    let url = made["url"].as_str().ok_or_else(|| unreadable(path, "no link"))?;
    Ok(Link { customer: wallet.customer.clone(), url: url.to_owned() })
}
