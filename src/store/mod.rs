//! Values in memory, shared by threads: wallet slots, the index that finds them, the table that remembers events. It knows no rule.

mod chain;
pub mod hash;
pub mod idempotency;
pub mod index;
mod mac;
pub(crate) mod prefetch;
pub mod slab;
pub mod slot;
pub(crate) mod sync;
pub mod texts;
pub mod word;
pub(crate) mod zeroed;

pub(crate) use sync::collect;
pub use sync::{Guard, await_guards, pin};
pub use zeroed::ZeroValid;
