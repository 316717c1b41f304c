//! Members as they are written on a command line: `1=a.example:7000/a.example:8000`.

use serde::Deserialize;
use std::str::FromStr;

/// A member of the static list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct MemberFlag(pub(crate) raft_core::Member);

impl FromStr for MemberFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{text:?} {what}: write ID=HOST:PORT/HOST:PORT");
        let (id, addresses) = text.split_once('=').ok_or_else(|| wrong("has no id"))?;
        let id = id.parse().ok().filter(|id| *id != 0);
        let id = id.ok_or_else(|| wrong("has an id that is no number above 0"))?;
        let (address, service) =
            addresses.split_once('/').ok_or_else(|| wrong("has no REST address"))?;
        for part in [address, service] {
            let place = part.rsplit_once(':').map(|(host, port)| (host, port.parse()));
            let sound = matches!(place, Some((host, Ok(1_u16..))) if !host.is_empty());
            if !sound {
                return Err(wrong(&format!("names {part:?}, which is not host:port")));
            }
        }
        let (address, service_address) = (address.to_owned(), service.to_owned());
        Ok(Self(raft_core::Member { id, address, service_address, ..raft_core::Member::default() }))
    }
}

impl TryFrom<String> for MemberFlag {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_an_id_and_two_addresses() {
        let MemberFlag(member) = "2=b.example:7000/[::1]:8000".parse().unwrap();
        assert_eq!((member.id, member.address.as_str()), (2, "b.example:7000"));
        assert_eq!(member.service_address, "[::1]:8000");
    }

    #[test]
    fn what_is_missing_is_said() {
        for (text, what) in [
            ("a:1/a:2", "no id"),
            ("0=a:1/a:2", "above 0"),
            ("1=a:1", "no REST address"),
            ("1=a/a:2", "\"a\""),
            ("1=a:1/:2", "\":2\""),
            ("1=a:1/a:0", "\"a:0\""),
        ] {
            let error = text.parse::<MemberFlag>().unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
