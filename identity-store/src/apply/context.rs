//! Leaf: what the rules know besides the state.

/// What a command may depend on besides the state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    /// The term it was proposed in.
    pub(super) term: u64,
    /// Log time, milliseconds since 1970.
    pub(super) now_unix_ms: u64,
    pub(super) cluster_id: &'a [u8; 16],
}
