//! Counting: what a hot path may raise without minding who else does, and what the system says about the process.
//!
//! A counter or histogram here costs its writer an addition or two to memory that it shares with nobody who runs at the same time
//! ([`Striped`]); the work of adding up falls to whoever reads, which is a scrape every few seconds. Nothing is inferred from one
//! counter about another, so all orderings are Relaxed. Which metrics there are, with names and units, is `http`'s; the text is [`Page`]'s.

mod histogram;
mod page;
pub mod process;
mod striped;

pub use histogram::{Histogram, Reading};
pub use page::{CONTENT_TYPE, Extras, Family, Number, Page};
pub use striped::Striped;
