//! The two datagrams of the sweep: `{"action":"discover"}` and `{"status":"active"}`.
//!
//! A reply is never longer than the request it answers, so that a forged source address gains an
//! attacker nothing (amplification of at most one). A searcher that wants to hear more than "yes"
//! makes its request longer by padding; one that sends the bare request gets the bare reply.

use serde::{Deserialize, Serialize};

use crate::error::DiscoveryError;

/// Length of the requests we send, in bytes: room for the longest reply.
pub(crate) const REQUEST_BYTES: usize = 128;

/// The longest datagram worth reading, in bytes: an Ethernet frame. What is longer is cut off when
/// it is received, and no longer parses.
pub(crate) const DATAGRAM_MAX_BYTES: usize = 1500;

/// The longest name of a cluster in an answer, in bytes: a SHA-256 in hexadecimal.
const CLUSTER_MAX_BYTES: usize = 64;

/// What a member tells of itself when asked.
///
/// - `cluster` is 1 to 64 ASCII letters and digits, so that it needs no escaping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    port: u16,
    cluster: String,
}

impl Answer {
    /// An answer that names the `port` of the service offered to clients and the cluster.
    ///
    /// # Errors
    ///
    /// [`DiscoveryError::Setting`] if `port` is 0, or `cluster` is not 1 to 64 ASCII letters and
    /// digits.
    pub fn new(port: u16, cluster: &str) -> Result<Answer, DiscoveryError> {
        if port == 0 {
            let reason = "must not be 0: nobody can connect to it".to_owned();
            return Err(DiscoveryError::Setting { setting: "the announced port", reason });
        }
        if !is_cluster_name(cluster) {
            let reason = format!("must be 1 to {CLUSTER_MAX_BYTES} ASCII letters and digits");
            return Err(DiscoveryError::Setting { setting: "the announced cluster", reason });
        }
        Ok(Answer { port, cluster: cluster.to_owned() })
    }

    /// The most telling reply that is not longer than a request of `request_bytes`, if any is.
    pub(crate) fn encode_within(&self, request_bytes: usize) -> Option<Vec<u8>> {
        let bare = Reply { status: ACTIVE.to_owned(), port: None, cluster: None };
        let with_port = Reply { port: Some(self.port), ..bare.clone() };
        let whole = Reply { cluster: Some(self.cluster.clone()), ..with_port.clone() };
        let encoded = [whole, with_port, bare]
            .iter()
            .filter_map(|reply| serde_json::to_vec(reply).ok())
            .find(|bytes| bytes.len() <= request_bytes);
        debug_assert!(encoded.as_ref().is_none_or(|bytes| bytes.len() <= request_bytes));
        encoded
    }
}

/// What a searcher learned from a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Port of the service; `None` if the reply was the bare one.
    pub(crate) port: Option<u16>,
    /// Name of the cluster, of the form [`Answer`] allows.
    pub(crate) cluster: Option<String>,
}

const DISCOVER: &str = "discover";
const ACTIVE: &str = "active";

#[derive(Serialize, Deserialize)]
struct Request {
    action: String,
    #[serde(default)]
    pad: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Reply {
    status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

/// The request, padded to [`REQUEST_BYTES`].
pub(crate) fn encode_request() -> Vec<u8> {
    let encode = |pad: usize| {
        let request = Request { action: DISCOVER.to_owned(), pad: "0".repeat(pad) };
        serde_json::to_vec(&request).expect("two strings are always JSON")
    };
    let unpadded = encode(0).len();
    encode(REQUEST_BYTES.saturating_sub(unpadded))
}

/// Whether `bytes` ask to be answered. Fields we do not know are left alone.
pub(crate) fn is_request(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Request>(bytes).is_ok_and(|request| request.action == DISCOVER)
}

/// Reads a reply; `None` if it is none, or says something no member would.
pub(crate) fn decode_reply(bytes: &[u8]) -> Option<Heard> {
    let reply: Reply = serde_json::from_slice(bytes).ok()?;
    let sound = reply.status == ACTIVE
        && reply.port != Some(0)
        && reply.cluster.as_deref().is_none_or(is_cluster_name);
    sound.then_some(Heard { port: reply.port, cluster: reply.cluster })
}

fn is_cluster_name(name: &str) -> bool {
    (1..=CLUSTER_MAX_BYTES).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest_answer() -> Answer {
        Answer::new(65_535, &"f".repeat(CLUSTER_MAX_BYTES)).unwrap()
    }

    #[test]
    fn our_request_has_room_for_the_longest_reply() {
        let request = encode_request();
        assert_eq!(request.len(), REQUEST_BYTES);
        assert!(is_request(&request));
        let reply = longest_answer().encode_within(request.len()).unwrap();
        let heard = decode_reply(&reply).unwrap();
        assert_eq!(heard.port, Some(65_535));
        assert_eq!(heard.cluster, Some("f".repeat(CLUSTER_MAX_BYTES)));
    }

    #[test]
    fn the_bare_request_gets_the_bare_reply() {
        let request = br#"{"action":"discover"}"#;
        assert!(is_request(request));
        let reply = longest_answer().encode_within(request.len()).unwrap();
        assert_eq!(reply, br#"{"status":"active"}"#);
        assert_eq!(decode_reply(&reply), Some(Heard { port: None, cluster: None }));
    }

    #[test]
    fn no_reply_is_longer_than_its_request() {
        let answer = longest_answer();
        let bare = br#"{"status":"active"}"#.len();
        for request_bytes in 0..=DATAGRAM_MAX_BYTES {
            let reply = answer.encode_within(request_bytes);
            assert_eq!(reply.is_some(), request_bytes >= bare, "{request_bytes}");
            assert!(reply.is_none_or(|bytes| bytes.len() <= request_bytes), "{request_bytes}");
        }
    }

    #[test]
    fn what_is_not_a_request_is_not_taken_for_one() {
        let wrong: [&[u8]; 7] = [
            b"",
            b"discover",
            b"{}",
            br#"{"action":"Discover"}"#,
            br#"{"action":["discover"]}"#,
            br#"{"action":"discover"} x"#,
            &[0xff; 64],
        ];
        for bytes in wrong {
            assert!(!is_request(bytes), "{bytes:?}");
        }
        assert!(!is_request(&[b'['; DATAGRAM_MAX_BYTES]));
    }

    #[test]
    fn replies_that_no_member_would_send_are_dropped() {
        let wrong: [&[u8]; 5] = [
            br#"{"status":"dead"}"#,
            br#"{"status":"active","port":0}"#,
            br#"{"status":"active","port":70000}"#,
            br#"{"status":"active","cluster":""}"#,
            br#"{"status":"active","cluster":"\u001b[31m"}"#,
        ];
        for bytes in wrong {
            assert_eq!(decode_reply(bytes), None, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn an_answer_that_would_need_escaping_or_has_no_port_is_refused() {
        assert!(Answer::new(0, "c1").is_err());
        for cluster in ["", "a\"b", "ä", &"f".repeat(CLUSTER_MAX_BYTES + 1)] {
            assert!(Answer::new(8000, cluster).is_err(), "{cluster:?}");
        }
    }
}
