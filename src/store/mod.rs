//! Values in memory, shared by threads: wallet slots, the index that finds them, the table that remembers events. It knows no rule.

pub mod slot;
mod sync;
pub mod word;

pub use sync::{Guard, pin};
