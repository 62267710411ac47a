//! Whether the server should be sent requests, and why not: what `/readyz` says.

use super::app::App;
use super::problem::{Problem, Reason};
use crate::engine::{Space, Unavailable};
use serde_json::{Value, json};

/// The checks at one instant.
#[derive(Debug)]
pub(crate) struct Readiness {
    checks: Vec<Check>,
}

/// One thing that must be well.
#[derive(Debug)]
pub(crate) struct Check {
    /// Its name in the answer and in the metrics.
    pub(crate) name: &'static str,
    verdict: Verdict,
}

#[derive(Debug)]
enum Verdict {
    /// All is well.
    Fine,
    /// It will fail before long, unless something is done.
    Warning { detail: String },
    /// Writes are refused.
    Failing { reason: Reason, detail: String },
}

impl Check {
    /// Whether it speaks against being ready.
    pub(crate) fn fails(&self) -> bool {
        matches!(self.verdict, Verdict::Failing { .. })
    }

    fn show(&self) -> Value {
        match &self.verdict {
            Verdict::Fine => json!({"name": self.name, "status": "ok"}),
            Verdict::Warning { detail } => json!({"name": self.name, "status": "warning", "detail": detail}),
            Verdict::Failing { reason, detail } => {
                json!({"name": self.name, "status": "failing", "reason": reason.describe().1, "detail": detail})
            }
        }
    }
}

impl Readiness {
    /// Looks at everything.
    pub(crate) fn of(app: &App) -> Self {
        let log = match app.engine.health() {
            Err(unavailable @ Unavailable::Poisoned(_)) => failing(
                Reason::Unavailable(unavailable),
                "a sync of the log failed: what it left on the disk is known after a restart, and the server is ending",
            ),
            _ => Verdict::Fine,
        };
        let space = match app.engine.space() {
            Space::Enough => Verdict::Fine,
            Space::RunningOut { left_bytes } => Verdict::Warning {
                detail: format!(
                    "the next segment of the log cannot be prepared; what is prepared takes {left_bytes} bytes more"
                ),
            },
            Space::Exhausted => failing(
                Reason::Unavailable(Unavailable::NoSpace(String::new())),
                "the disk has no room for the log; writes go on by themselves when there is room again",
            ),
        };
        let load = match app.metrics.refusals.recent_overload() {
            Some(what) => {
                failing(Reason::Unavailable(Unavailable::Overloaded), format!("requests were refused: {what}"))
            }
            None => Verdict::Fine,
        };
        let draining = if *app.draining.borrow() || matches!(app.engine.health(), Err(Unavailable::Closed)) {
            failing(Reason::Unavailable(Unavailable::Closed), "the server was told to stop")
        } else {
            Verdict::Fine
        };
        let check = |name, verdict| Check { name, verdict };
        Readiness {
            checks: vec![
                check("recovery", Verdict::Fine),
                check("log", log),
                check("space", space),
                check("draining", draining),
                check("load", load),
            ],
        }
    }

    /// What is said while the log is being replayed.
    pub(crate) fn recovering() -> Self {
        let verdict = failing(Reason::Recovering, "the log is being replayed");
        Readiness { checks: vec![Check { name: "recovery", verdict }] }
    }

    pub(crate) fn checks(&self) -> &[Check] {
        &self.checks
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.checks.iter().any(Check::fails)
    }

    fn show(&self) -> Vec<Value> {
        self.checks.iter().map(Check::show).collect()
    }

    /// The answer when ready, or the problem of the first check that fails.
    pub(crate) fn answer(&self) -> Result<Value, Problem> {
        let failing = self.checks.iter().find_map(|check| match &check.verdict {
            Verdict::Failing { reason, detail } => Some((reason, detail)),
            Verdict::Fine | Verdict::Warning { .. } => None,
        });
        match failing {
            None => Ok(json!({"status": "ready", "checks": self.show()})),
            Some((reason, detail)) => Err(Problem::new(reason.clone(), detail.clone()).with("checks", self.show())),
        }
    }
}

fn failing(reason: Reason, detail: impl Into<String>) -> Verdict {
    Verdict::Failing { reason, detail: detail.into() }
}
