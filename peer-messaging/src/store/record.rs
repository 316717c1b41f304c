//! What is sealed: disk formats, in protobuf so that fields can be added. Numbers are never reused.

/// A person, by the account that was pinned.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PeerRow {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) account_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) public_key: Vec<u8>,
    /// Empty: not known yet.
    #[prost(string, tag = "3")]
    pub(crate) username: String,
    #[prost(string, repeated, tag = "4")]
    pub(crate) addresses: Vec<String>,
    #[prost(uint64, tag = "5")]
    pub(crate) address_sequence: u64,
    /// The last number given to a message of ours to them; 0: none.
    #[prost(uint64, tag = "6")]
    pub(crate) last_sequence: u64,
    /// SHA-256 of that message's envelope; empty: none.
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) last_hash: Vec<u8>,
    /// What they have read of ours.
    #[prost(uint64, tag = "8")]
    pub(crate) read_up_to: u64,
    #[prost(uint64, tag = "9")]
    pub(crate) read_unix_ms: u64,
    /// We wrote to them or read what they wrote.
    #[prost(bool, tag = "10")]
    pub(crate) known: bool,
    /// The public key the directory names in the pinned one's place; empty: none.
    #[prost(bytes = "vec", tag = "11")]
    pub(crate) new_public_key: Vec<u8>,
    /// The peer number that had the name before; 0: none.
    #[prost(uint64, tag = "12")]
    pub(crate) predecessor: u64,
}

/// A message, either way.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct MessageRow {
    #[prost(uint64, tag = "1")]
    pub(crate) peer: u64,
    #[prost(bool, tag = "2")]
    pub(crate) outgoing: bool,
    /// The envelope as it travels, encoded.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) envelope: Vec<u8>,
    #[prost(uint64, tag = "4")]
    pub(crate) delivered_unix_ms: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) read_unix_ms: u64,
    /// Why it was refused for good; empty: it was not.
    #[prost(string, tag = "6")]
    pub(crate) failed: String,
    #[prost(bool, tag = "7")]
    pub(crate) gap: bool,
}

/// One device that sends to us.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct DeviceRow {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) device_id: Vec<u8>,
    /// The highest number received.
    #[prost(uint64, tag = "2")]
    pub(crate) received_up_to: u64,
    /// SHA-256 of that envelope.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) received_hash: Vec<u8>,
    /// What of theirs was shown here, and when.
    #[prost(uint64, tag = "4")]
    pub(crate) read_up_to: u64,
    #[prost(uint64, tag = "5")]
    pub(crate) read_unix_ms: u64,
    /// What they know of that.
    #[prost(uint64, tag = "6")]
    pub(crate) told_up_to: u64,
}
