//! API keys. The token is shown once; what is stored cannot show it again.

use super::instant;
use crate::engine::ApiKeyRecord;
use crate::http::auth::Scopes;
use crate::ledger::Timestamp;
use serde::Serialize;

/// An API key as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct KeyBody {
    id: String,
    name: String,
    mode: &'static str,
    scopes: Vec<&'static str>,
    status: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl KeyBody {
    pub(crate) fn of(key: &ApiKeyRecord) -> Self {
        KeyBody {
            id: key.id.clone(),
            name: key.name.clone(),
            mode: if key.live { "live" } else { "test" },
            scopes: Scopes::from_bits(key.scopes).names().collect(),
            status: if key.revoked { "revoked" } else { "active" },
            created_at: instant(Timestamp::from_millis(key.created_ms)),
            token: None,
        }
    }

    /// With the token, for the one time that it is shown.
    #[must_use]
    pub(crate) fn with_token(mut self, token: String) -> Self {
        self.token = Some(token);
        self
    }
}
