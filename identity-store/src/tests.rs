//! What the tests of several files share, and the pinned formats.

pub(crate) mod cast;
mod golden;
