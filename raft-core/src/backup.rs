//! A backup: one file that holds a snapshot and the committed entries behind it.
//!
//! # The format
//!
//! All numbers are little-endian; checksums are CRC32C (Castagnoli).
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `RAFTBKUP` |
//! | 8 | 4 | version of this format: 1 |
//! | 12 | 4 | length of the head, `h` |
//! | 16 | 4 | checksum of bytes 8 to 16 and of the head |
//! | 20 | `h` | the head: an encoded `BackupHead` of `raft.proto` |
//! | 20 + `h` | | frames, the last of which is the end frame; nothing follows |
//!
//! A frame is 12 bytes and a payload:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | checksum of bytes 4 to 12, the frame's offset in the file (8 bytes), the payload |
//! | 4 | 4 | kind: 1 a piece of the snapshot's body, 2 an entry, 3 the end |
//! | 8 | 4 | length of the payload |
//!
//! First come the pieces of the body, which together are what the head says of the snapshot; then
//! the entries, each an encoded `Entry`, in order and without gap; then the end, whose payload is
//! the SHA-256 of everything before it.

mod frame;
pub(crate) mod reader;
pub(crate) mod writer;

#[cfg(test)]
mod tests;
