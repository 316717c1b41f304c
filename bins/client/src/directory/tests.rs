use super::*;
use telegraph_proto::{
    account::PublicKey,
    identity::{RegisterBody, SignedStatement, StatementKind},
    rest::{Base64, Peer, Status},
    statement,
};

const CLUSTER: [u8; 16] = [3; 16];

fn bob() -> Username {
    Username::parse("bob").unwrap()
}

fn register(seed: u8) -> (PublicKey, SignedStatement) {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let public = PublicKey::from(key.verifying_key());
    let body = RegisterBody {
        username: "bob".into(),
        public_key: public.as_bytes().to_vec(),
        sealed_keys_hash: vec![9; 32],
        issued_unix_ms: 1,
    };
    (public, statement::sign(&key, CLUSTER, StatementKind::Register, 1, &body))
}

fn address(seed: u8, sequence: u64) -> Base64 {
    let key = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
    let body = telegraph_proto::identity::AddressBody {
        addresses: vec![format!("127.0.0.1:{sequence}")],
        device_id: vec![5; 16],
        issued_unix_ms: 1,
    };
    Base64::statement(&statement::sign(&key, CLUSTER, StatementKind::Address, sequence, &body))
}

fn answer(seed: u8, sequence: u64, status: Status) -> Peer {
    let (public, register) = register(seed);
    Peer {
        username: "bob".into(),
        account_id: public.account_id().to_string(),
        public_key: Base64(public.as_bytes().to_vec()),
        register_statement: Base64::statement(&register),
        ip: None,
        port: None,
        address_statement: Some(address(seed, sequence)),
        status,
        last_seen: None,
        term: 1,
        index: 1,
    }
}

fn person(seed: u8, sequence: u64) -> Result<Person, LookupError> {
    Ok(Person::believe(&answer(seed, sequence, Status::Online), &CLUSTER).unwrap())
}

fn unknown() -> Result<Person, LookupError> {
    Err(LookupError::Unknown("bob".into()))
}

#[test]
fn managers_that_agree_are_believed_with_the_newest_address() {
    let agreed = agreement(&bob(), [person(1, 5), person(1, 7), person(1, 6)].into_iter());
    assert_eq!(agreed.unwrap().address_sequence, 7);
}

#[test]
fn one_manager_that_names_another_key_spoils_the_answer() {
    for answers in [[person(1, 5), person(2, 9)], [person(2, 9), person(1, 5)]] {
        let outcome = agreement(&bob(), answers.into_iter());
        let Err(Mixed::Failed(LookupError::Distrust(Distrust::Disagreement(name)))) = outcome
        else {
            panic!("{outcome:?}")
        };
        assert_eq!(name, "bob");
    }
}

#[test]
fn a_manager_that_lags_behind_is_asked_again_and_is_no_disagreement() {
    for answers in [[person(1, 5), unknown()], [unknown(), person(1, 5)]] {
        assert!(matches!(agreement(&bob(), answers.into_iter()), Err(Mixed::Behind)));
    }
    let nobody = agreement(&bob(), [unknown(), unknown()].into_iter());
    assert!(matches!(nobody, Err(Mixed::Unknown)));
}

fn book() -> AddressBook {
    let trust = crate::trust::Trust::Fingerprint([1; 32]);
    let find = raft_core_discovery::Discovery::fixed(["127.0.0.1:1"]);
    let directory = tempfile::tempdir().unwrap();
    let profile = Arc::new(Profile::open(directory.path()).unwrap());
    let managers = ManagerClient::new(&trust, find, Duration::ZERO).unwrap();
    AddressBook::new(managers, CLUSTER, Events::new(), &profile)
}

#[test]
fn a_heartbeat_is_a_reason_to_try_only_when_somebody_came_or_moved() {
    let book = book();
    book.keep(person(1, 5).unwrap());
    assert!(book.refresh(&answer(1, 5, Status::Online)).is_none(), "nothing new");
    assert!(book.refresh(&answer(1, 6, Status::Online)).is_some(), "moved");
    assert!(book.refresh(&answer(1, 6, Status::Offline)).is_none(), "left");
    assert!(book.refresh(&answer(1, 6, Status::Online)).is_some(), "came back");
    assert!(book.refresh(&answer(1, 5, Status::Online)).is_none(), "an older state");
    assert!(book.refresh(&answer(2, 9, Status::Online)).is_none(), "another key");
}

#[test]
fn an_older_answer_does_not_replace_a_newer_address() {
    let book = book();
    book.keep(person(1, 8).unwrap());
    assert_eq!(book.keep(person(1, 5).unwrap()).address_sequence, 8);
}

#[tokio::test]
async fn without_managers_what_was_learnt_before_still_serves() {
    let book = book();
    assert!(matches!(book.by_name(&bob()).await, Err(LookupError::Managers(_))));
    book.keep(person(1, 5).unwrap());
    assert_eq!(book.by_name(&bob()).await.unwrap().address_sequence, 5);
}
