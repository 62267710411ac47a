//! Settings of payment providers: tables of the TOML file, and Stripe's secrets by variable or by files of their own, so that they need not stand
//! where settings lie around.

use drawdown_outbound::http::UrlError;
use drawdown_outbound::providers::external::External;
use drawdown_outbound::providers::stripe::{self, ApiKey, WebhookSecret};
use serde::Deserialize;
use std::fmt;
use std::path::{Path, PathBuf};

/// Stripe's secret key.
const KEY_VARIABLE: &str = "DRAWDOWN_STRIPE_SECRET_KEY";
/// The secrets of Stripe's webhook endpoints, separated by commas.
const WEBHOOK_VARIABLE: &str = "DRAWDOWN_STRIPE_WEBHOOK_SECRETS";

/// `[providers.…]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProvidersFile {
    simulated: Option<SimulatedFile>,
    external: Option<ExternalFile>,
    stripe: Option<StripeFile>,
}

/// `[providers.simulated]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SimulatedFile {
    enabled: Option<bool>,
}

/// `[providers.external]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExternalFile {
    payment_url: Option<String>,
}

/// `[providers.stripe]`
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StripeFile {
    secret_key: Option<String>,
    secret_key_file: Option<PathBuf>,
    webhook_secrets: Option<Vec<String>>,
    webhook_secrets_file: Option<PathBuf>,
    /// Another address than Stripe's own: of a mock.
    url: Option<String>,
}

impl fmt::Debug for StripeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StripeFile").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The providers to connect.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProviderSettings {
    /// The simulated one, for tests: no money moves.
    pub(crate) simulated: bool,
    /// Another system's page, where there is one.
    pub(crate) external: Option<External>,
    /// Stripe.
    pub(crate) stripe: Option<stripe::Settings>,
    /// Stripe is a mock at an address of one's own choice, which may be this machine's.
    pub(crate) is_stripe_elsewhere: bool,
}

/// Why the settings of providers cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProvidersError {
    /// Stripe without a key.
    #[error("[providers.stripe] needs its secret key: secret_key_file, {KEY_VARIABLE}, or secret_key")]
    NoKey,
    /// Stripe without webhook secrets: nothing that it tells could be believed.
    #[error(
        "[providers.stripe] needs the secrets of its webhook: webhook_secrets_file, {WEBHOOK_VARIABLE}, or webhook_secrets"
    )]
    NoWebhookSecret,
    /// A secret is none.
    #[error("[providers.stripe] {0}")]
    Secret(String),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// An address is none.
    #[error("[providers.{provider}] {field} is not an address that can be used: {source}")]
    Url {
        /// The table.
        provider: &'static str,
        /// The field.
        field: &'static str,
        /// Why not.
        source: UrlError,
    },
}

impl ProviderSettings {
    /// Reads and checks what the file says; a server for development has the simulated provider unless the file says otherwise.
    pub(crate) fn resolve(
        file: ProvidersFile,
        dev: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ProvidersError> {
        let simulated = file.simulated.map_or(dev, |simulated| simulated.enabled.unwrap_or(true));
        let external = match file.external {
            Some(external) => {
                Some(External::new(external.payment_url.as_deref()).map_err(|source| ProvidersError::Url {
                    provider: "external",
                    field: "payment_url",
                    source,
                })?)
            }
            None => None,
        };
        let is_stripe_elsewhere = file.stripe.as_ref().is_some_and(|stripe| stripe.url.is_some());
        let stripe = file.stripe.map(|stripe| stripe_of(stripe, variable)).transpose()?;
        Ok(ProviderSettings { simulated, external, stripe, is_stripe_elsewhere })
    }
}

fn read(path: &Path) -> Result<String, ProvidersError> {
    std::fs::read_to_string(path).map_err(|source| ProvidersError::Read { path: path.to_owned(), source })
}

fn stripe_of(file: StripeFile, variable: impl Fn(&str) -> Option<String>) -> Result<stripe::Settings, ProvidersError> {
    let key = match (file.secret_key_file, variable(KEY_VARIABLE)) {
        (Some(path), _) => Some(read(&path)?),
        (None, Some(key)) => Some(key),
        (None, None) => file.secret_key,
    };
    let key = key.ok_or(ProvidersError::NoKey)?;
    let key = ApiKey::new(key.trim()).map_err(|error| ProvidersError::Secret(error.to_string()))?;
    let split = |text: String| text.split([',', '\n']).map(str::to_owned).collect();
    let secrets: Vec<String> = match (file.webhook_secrets_file, variable(WEBHOOK_VARIABLE)) {
        (Some(path), _) => split(read(&path)?),
        (None, Some(secrets)) => split(secrets),
        (None, None) => file.webhook_secrets.unwrap_or_default(),
    };
    let secrets = secrets.iter().map(|secret| secret.trim()).filter(|secret| !secret.is_empty());
    let secrets: Result<Vec<_>, _> = secrets.map(WebhookSecret::new).collect();
    let secrets = secrets.map_err(|error| ProvidersError::Secret(error.to_string()))?;
    if secrets.is_empty() {
        return Err(ProvidersError::NoWebhookSecret);
    }
    let settings = stripe::Settings::new(key, secrets);
    match file.url {
        Some(url) => {
            settings.at(&url).map_err(|source| ProvidersError::Url { provider: "stripe", field: "url", source })
        }
        None => Ok(settings),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, dev: bool, variables: &[(&str, &str)]) -> Result<ProviderSettings, String> {
        let file = toml::from_str(text).map_err(|error| error.to_string())?;
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        ProviderSettings::resolve(file, dev, variable).map_err(|error| error.to_string())
    }

    #[test]
    fn development_has_the_simulated_provider_and_nothing_else_has_it_unasked() {
        assert!(resolve("", true, &[]).expect("defaults").simulated);
        assert!(!resolve("", false, &[]).expect("defaults").simulated);
        assert!(resolve("[simulated]", false, &[]).expect("asked for").simulated);
        assert!(!resolve("[simulated]\nenabled = false", true, &[]).expect("refused").simulated);
    }

    #[test]
    fn stripe_needs_both_secrets_and_says_which_is_missing() {
        let error = |text: &str, variables: &[(&str, &str)]| resolve(text, false, variables).expect_err("refused");
        assert!(error("[stripe]", &[]).contains(KEY_VARIABLE));
        assert!(error("[stripe]", &[(KEY_VARIABLE, "sk_test_1")]).contains(WEBHOOK_VARIABLE));
        assert!(error("[stripe]", &[(KEY_VARIABLE, "pk_test_1")]).contains("sk_test_"));
        assert!(error("[stripe]\nsecret = 1", &[]).contains("unknown field"));
        assert!(error("[stripe]\nsecret_key_file = \"/nowhere/key\"", &[]).contains("/nowhere/key"));
        assert!(error("[external]\npayment_url = \"https://pay.example/{who}\"", &[]).contains("payment_url"));
        let both =
            [(KEY_VARIABLE, "sk_test_1\n"), (WEBHOOK_VARIABLE, "whsec_a_secret_for_tests, whsec_another_for_tests")];
        let settings = resolve("[stripe]", false, &both).expect("both are there");
        assert!(settings.stripe.is_some());
        assert!(!format!("{settings:?}").contains("sk_test_1"), "secrets are not shown");
    }
}
