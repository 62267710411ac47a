//! Keys of requests: what a request with one brings about is found by it when the request is sent again.

/// What the keys and ids begin with that are made of requests' keys. Callers' own do not.
pub const EFFECT_PREFIX: &str = "idk:";

/// The key of a request that is carried out once. It is in the hands of one caller at a time, who sees to that.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey {
    /// Half a digest of who sent the request under which key.
    pub digest: [u8; 16],
    /// The request was answered before: what it did not bring about then is not brought about now.
    pub is_replay: bool,
}
