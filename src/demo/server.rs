//! The server of the demo: the real one, in this process, with the simulated payment provider and with webhooks that may go to this machine.

use super::DemoError;
use drawdown::engine::Engine;
use drawdown::http::auth::Gate;
use drawdown::http::{App, Limits, Listener, PortalSettings, Server, WebhookRules, webhook_body};
use drawdown::notify::{self, Courier, HttpSender, Worker};
use drawdown::payments::{Config, Payments, SimulatedBank};
use drawdown_outbound::http::{AddressPolicy, Client, Settings};
use drawdown_outbound::providers::simulated::Local;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The first pause before a provider is asked again. One of the demo's cards loses its answers, and nobody wants to wait for that.
const RETRY: Duration = Duration::from_millis(50);

/// How long a receiver of webhooks has for its answer.
const WEBHOOK_TIME: Duration = Duration::from_secs(20);

/// How long a link to the portal is good: as long as somebody may want to look at a ledger that a demo has left behind.
const LINK_TIME: Duration = Duration::from_hours(24);

/// A server at work.
pub(super) struct Running {
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The simulated provider's own record.
    pub(super) bank: Local,
    payments: Payments,
    webhooks: Worker,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

/// Starts it, on the loopback and a port that the system chooses.
pub(super) async fn start(engine: &Engine, directory: &Path) -> Result<Running, DemoError> {
    let mut process = [0; 8];
    getrandom::fill(&mut process).map_err(|error| io::Error::other(error.to_string()))?;
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let pages = format!("http://{address}");
    let opening = {
        let (engine, directory, pages) = (engine.clone(), directory.to_owned(), pages.clone());
        move || SimulatedBank::of_directory(&engine, &directory, pages)
    };
    let opened = tokio::task::spawn_blocking(opening).await?;
    let (simulated, bank) = opened.map_err(|error| io::Error::other(error.to_string()))?;
    let mut config = Config::new(vec![Arc::new(simulated.provider().clone())], pages.clone());
    (config.simulated, config.retry) = (Some(simulated), RETRY);
    let payments = Payments::start(engine.clone(), config);

    let app = App::new(engine.clone(), Gate::Open, Limits::default(), u64::from_le_bytes(process))
        .with_webhooks(WebhookRules { allow_private: true, ..WebhookRules::default() })
        .with_portal(PortalSettings { pages, link_time: LINK_TIME, ..PortalSettings::default() })
        .with_payments(payments.clone());
    let settings = Settings { policy: AddressPolicy::anywhere(), require_https: false, ..Settings::default() };
    let sender = HttpSender::new(Arc::new(Client::new(settings)), WEBHOOK_TIME);
    let courier = Courier::new(engine.clone(), notify::Settings::default(), webhook_body);
    let webhooks = Worker::start(courier, Arc::new(sender), tokio::runtime::Handle::current())?;

    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(Server::on(app, listener).run(async {
        // Whether it is sent or dropped, it means the same.
        let _ = stopped.await;
    }));
    Ok(Running { address, bank, payments, webhooks, stop, serving })
}

impl Running {
    /// Finishes what is under way. The engine may be closed then.
    pub(super) async fn stop(self) -> Result<(), DemoError> {
        drop(self.stop);
        self.serving.await?;
        self.payments.stop();
        tokio::task::block_in_place(|| self.webhooks.stop());
        Ok(())
    }
}
