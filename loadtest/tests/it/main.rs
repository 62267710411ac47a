//! The generator as a whole, against a server of the test's own that answers as the API says, or cheats.

mod audits;
mod fake;
mod mixed;
mod plots;
mod tidy;
