//! STUB
pub(crate) const TEXT: &str = "{}";
