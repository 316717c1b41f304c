use super::*;
use ed25519_dalek::SigningKey;
use telegraph_proto::rest::Base64;

const CLUSTER: [u8; 16] = [3; 16];

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// What an honest manager says about `name` with the key of `seed`.
fn peer(name: &str, seed: u8) -> rest::Peer {
    let key = key(seed);
    let public = PublicKey::from(key.verifying_key());
    let register = RegisterBody {
        username: name.into(),
        public_key: public.as_bytes().to_vec(),
        sealed_keys_hash: vec![9; 32],
        issued_unix_ms: 1,
    };
    let address = AddressBody {
        addresses: vec!["127.0.0.1:9000".into(), "not an address".into()],
        device_id: vec![5; 16],
        issued_unix_ms: 2,
    };
    let sign = statement::sign::<RegisterBody>;
    let register = sign(&key, CLUSTER, StatementKind::Register, 1, &register);
    let address = statement::sign(&key, CLUSTER, StatementKind::Address, 7, &address);
    rest::Peer {
        username: name.into(),
        account_id: public.account_id().to_string(),
        public_key: Base64(public.as_bytes().to_vec()),
        register_statement: Base64::statement(&register),
        ip: Some("10.6.6.6".into()),
        port: Some(666),
        address_statement: Some(Base64::statement(&address)),
        status: rest::Status::Online,
        last_seen: None,
        term: 1,
        index: 1,
    }
}

fn bob() -> Username {
    Username::parse("bob").unwrap()
}

#[test]
fn only_what_was_signed_counts() {
    let person = Person::believe(&peer("bob", 1), &CLUSTER).unwrap();
    assert_eq!(person.username, bob());
    // The manager's own idea of the address is not used.
    assert_eq!(person.addresses, ["127.0.0.1:9000".parse().unwrap()]);
    assert_eq!(person.address_sequence, 7);
}

#[test]
fn a_stranger_under_a_known_name_is_refused() {
    // Mallory's key, but Bob's statements.
    let mut forged = peer("bob", 1);
    let mallory = peer("mallory", 2);
    forged.public_key = mallory.public_key.clone();
    assert!(Person::believe(&forged, &CLUSTER).is_err());
    forged.account_id = mallory.account_id.clone();
    assert!(Person::believe(&forged, &CLUSTER).is_err());
    // Mallory's statement says mallory.
    forged.register_statement = mallory.register_statement.clone();
    let outcome = Person::believe(&forged, &CLUSTER);
    assert!(matches!(outcome, Err(Distrust::SomebodyElse { .. })), "{outcome:?}");
    // An honest answer about somebody who was not asked for.
    let outcome = Person::believe(&mallory, &CLUSTER).unwrap().named(&bob());
    assert!(matches!(outcome, Err(Distrust::SomebodyElse { .. })));
}

#[test]
fn a_foreign_address_statement_is_refused() {
    let mut mixed = peer("bob", 1);
    mixed.address_statement = peer("mallory", 2).address_statement;
    assert!(matches!(Person::believe(&mixed, &CLUSTER), Err(Distrust::Unsigned(_))));
    mixed.address_statement = Some(Base64(vec![0xff; 9]));
    assert!(matches!(Person::believe(&mixed, &CLUSTER), Err(Distrust::Malformed(_))));
    mixed.address_statement = None;
    assert!(Person::believe(&mixed, &CLUSTER).unwrap().addresses.is_empty());
}

#[test]
fn another_cluster_and_every_changed_byte_are_refused() {
    assert!(Person::believe(&peer("bob", 1), &[4; 16]).is_err());
    let good = peer("bob", 1);
    for at in 0..good.register_statement.0.len() {
        let mut changed = good.clone();
        changed.register_statement.0[at] ^= 1;
        if let Ok(person) = Person::believe(&changed, &CLUSTER) {
            panic!("byte {at}: {person:?}");
        }
    }
}
