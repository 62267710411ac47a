//! Values in memory, shared by threads: wallet slots, the index that finds them, the table that remembers events. It knows no rule.

mod chain;
pub mod hash;
pub mod idempotency;
pub mod index;
mod mac;
mod prefetch;
pub mod slab;
pub mod slot;
mod sync;
pub mod texts;
pub mod word;
mod zeroed;

pub use sync::{Guard, pin};
pub use zeroed::ZeroValid;
