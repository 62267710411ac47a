//! A simulated bank in another place: its charges are recorded there, whatever becomes of the answers.

use crate::server::{Server, client, reply};
use drawdown_outbound::providers::simulated::{Faults, Local, Remote, Settings, Simulated, serve};
use drawdown_outbound::providers::{
    Charge, ChargeOutcome, Collect, CustomerRef, Key, MethodRef, Money, NewCustomer, NewSetup, Provider,
};
use drawdown_outbound::webhooks::{Secret, verify};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const NOW_S: u64 = 1_700_000_000;

fn key(text: &str) -> Key {
    text.parse().expect("a key")
}

fn secret() -> Secret {
    Secret::new(&[7; 32]).expect("32 bytes")
}

async fn bank(faults: Faults) -> (Local, String, JoinHandle<std::io::Result<()>>) {
    let bank = Local::in_memory();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (bank.clone(), url, tokio::spawn(serve(listener, bank, faults)))
}

fn provider(url: &str) -> Simulated {
    let remote = Remote::new(Arc::new(client()), url, Duration::from_secs(10)).expect("a URL");
    let settings =
        Settings { pages: "http://127.0.0.1:1/simulated".to_owned(), secrets: vec![secret()], tolerance_s: 300 };
    Simulated::new(Arc::new(remote), settings)
}

async fn saved(provider: &Simulated) -> (CustomerRef, MethodRef) {
    let ask = NewCustomer { key: key("cu_1"), reference: "acme".to_owned(), name: None, email: None };
    let customer = provider.ensure_customer(&ask).await.expect("a customer");
    let ask = NewSetup { key: key("su_1"), customer: customer.clone(), collect: Collect::InPage, decided_at_s: NOW_S };
    let setup = provider.begin_setup(&ask).await.expect("a setup");
    let method = provider.collect(&setup.reference, "4242424242424242", NOW_S).await.expect("a card");
    (customer, method.reference)
}

fn charge(number: usize, who: &(CustomerRef, MethodRef), repeat: bool) -> Charge {
    Charge {
        key: key(&format!("tu_{number}")),
        customer: who.0.clone(),
        method: who.1.clone(),
        money: Money { amount: 100, currency: "EUR".parse().expect("a currency") },
        description: "credits".to_owned(),
        return_url: None,
        decided_at_s: NOW_S,
        repeat,
    }
}

#[tokio::test]
async fn every_other_answer_is_lost_and_every_charge_is_made_once() {
    // The first three commands get through; from then on every fourth answer is lost.
    let (bank, url, server) = bank(Faults { lose_answer_every: 4 }).await;
    let provider = provider(&url);
    let who = saved(&provider).await;
    let mut unknown = 0;
    for number in 0..20 {
        let mut repeat = false;
        loop {
            match provider.charge(&charge(number, &who, repeat)).await {
                ChargeOutcome::Succeeded { .. } => break,
                ChargeOutcome::Unknown { .. } => unknown += 1,
                outcome => panic!("{outcome:?}"),
            }
            repeat = true;
        }
    }
    assert!(unknown >= 5, "{unknown} answers were lost");
    assert_eq!(bank.book().charges().len(), 20);
    let remote = Remote::new(Arc::new(client()), &url, Duration::from_secs(10)).expect("a URL");
    assert_eq!(remote.book().await.expect("the book"), bank.book());
    server.abort();
    let outcome = provider.charge(&charge(99, &who, false)).await;
    assert!(matches!(outcome, ChargeOutcome::Unknown { .. } | ChargeOutcome::Succeeded { .. }), "{outcome:?}");
}

#[tokio::test]
async fn events_stay_due_until_they_arrive() {
    let (_, url, server) = bank(Faults::default()).await;
    let provider = provider(&url);
    let who = saved(&provider).await;
    provider.charge(&charge(1, &who, false)).await;
    // Attached, set up, charged. The receiver fails at first.
    let receiver = Server::new(|_, at| reply(if at < 3 { 503 } else { 200 }, "")).await;
    let hooks = receiver.url("/provider");
    assert_eq!(provider.dispatch(&client(), &hooks, NOW_S).await, Ok(0));
    assert_eq!(provider.dispatch(&client(), &hooks, NOW_S + 1).await, Ok(0), "not so soon");
    assert_eq!(provider.dispatch(&client(), &hooks, NOW_S + 2).await, Ok(3));
    assert_eq!(provider.dispatch(&client(), &hooks, NOW_S + 1000).await, Ok(0), "once");
    let seen = receiver.seen();
    let id = |at: usize| seen[at].headers["webhook-id"].to_str().expect("ASCII").to_owned();
    assert_eq!([id(0), id(1), id(2)], [id(3), id(4), id(5)], "the same, in the same order");
    for (at, now_s) in [(0, NOW_S), (5, NOW_S + 2)] {
        assert!(verify(&[secret()], &seen[at].headers, &seen[at].body, now_s, 0).is_ok());
        assert!(provider.receive(&seen[at].headers, &seen[at].body, now_s).is_ok());
    }
    server.abort();
}
