//! The HTTP edge.
pub mod decode;
mod percent;
