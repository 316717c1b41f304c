//! Nobody is given what somebody else's password opens.

use crate::harness::{Running, Site};
use crate::person::Person;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::Duration;
use telegraph_proto::identity::SealedKeys;
use telegraph_proto::statement::sealed_keys_hash;

/// What an answer says: every text in it as it is, and as the base64 and the hexadecimal it may be.
fn told(answer: &Value, into: &mut Vec<Vec<u8>>) {
    match answer {
        Value::String(text) => {
            into.push(text.as_bytes().to_vec());
            into.extend(STANDARD.decode(text));
            into.extend(hex::decode(text));
        }
        Value::Array(all) => all.iter().for_each(|one| told(one, into)),
        Value::Object(fields) => fields.values().for_each(|one| told(one, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// True when any 16 bytes of `secret` in a row are somewhere in what was told.
fn leaks(answer: &Value, secret: &[u8]) -> bool {
    let mut all = Vec::new();
    told(answer, &mut all);
    let parts = || secret.windows(16);
    all.iter().any(|bytes| bytes.windows(16).any(|at| parts().any(|part| at == part)))
}

/// Every answer to `token` in which somebody else occurs.
async fn answers_about(person: &Person, at: &Running, token: &str) -> Vec<(String, Value)> {
    let mut answers = Vec::new();
    let by_id = format!("/accounts/{}", person.account_id());
    for path in [format!("/users/{}", person.username), by_id, "/peers".to_owned()] {
        let answered = at.ask("GET", &path, Some(token), None).await;
        answers.push((path, answered.message().clone()));
    }
    let watch = json!({ "username": "bob", "watch": [person.username] });
    let answered = at.ask("POST", "/heartbeat", Some(token), Some(watch)).await;
    answers.push(("/heartbeat".into(), answered.message().clone()));
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_the_sealed_keys_of_somebody_else() {
    let site = Site::new(1, Duration::from_secs(3600));
    let at = site.start(1).await;
    at.until_ready().await;
    let cluster = at.manager.node().cluster_id();
    let (alice, bob) = (Person::new("alice", cluster), Person::new("bob", cluster));
    let (alices, bobs) = (alice.settle(&at).await, bob.settle(&at).await);
    let first = alice.sealed();
    check(&alice, &first, &[&first], &at, [&alices, &bobs]).await;
    let change = alice.password_body("another password", &alice.password_statement(1));
    let changed = at.ask("POST", "/account/password", Some(&alices), Some(change)).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    let second = alice.resealed();
    check(&alice, &second, &[&first, &second], &at, [&alices, &bobs]).await;
    at.manager.shutdown().await.unwrap();
}

/// `now` is what alice is given, and nothing of `ever` what bob is.
async fn check(
    alice: &Person,
    now: &SealedKeys,
    ever: &[&SealedKeys],
    at: &Running,
    [alices, bobs]: [&str; 2],
) {
    // Whose key it is gets both back as they were sent: the search finds what is there.
    let own = at.ask("GET", "/account", Some(alices), None).await;
    for sealed in [&now.by_password, &now.by_recovery_code] {
        assert!(leaks(own.message(), sealed), "{own:?}");
    }
    let hash = sealed_keys_hash(&alice.sealed());
    for (path, answer) in answers_about(alice, at, bobs).await {
        // It looks into statements as well: the registration's has the hash.
        assert!(leaks(&answer, &hash), "{path} says nothing of alice: {answer}");
        for keys in ever {
            for sealed in [&keys.by_password, &keys.by_recovery_code] {
                assert!(!leaks(&answer, sealed), "{path} leaks a sealed key: {answer}");
            }
        }
    }
}
