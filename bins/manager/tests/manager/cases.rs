//! The table of bad input: for each route, what is wrong in a way of its own.

use crate::harness::Running;
use crate::person::Person;
use serde_json::{Value, json};
use telegraph_manager::{Access, Kind, Route};
use telegraph_proto::identity::SignedStatement;

/// The people of the table test, and their tokens.
pub(crate) struct Cast {
    pub(crate) alice: Person,
    pub(crate) alice_token: String,
    pub(crate) alice_session: String,
    pub(crate) bob: Person,
    pub(crate) bob_token: String,
    pub(crate) ended_token: String,
    pub(crate) nobody: Person,
}

impl Cast {
    pub(crate) async fn gather(at: &Running) -> Self {
        let cluster = at.manager.node().cluster_id();
        let (alice, bob) = (Person::new("alice", cluster), Person::new("bob", cluster));
        alice.register(at).await;
        let ended_token = alice.login(at).await;
        let ended = at.ask("POST", "/logout", Some(&ended_token), None).await;
        assert_eq!(ended.status, 200);
        let alice_token = alice.login(at).await;
        let sessions = at.ask("GET", "/sessions", Some(&alice_token), None).await;
        let alice_session = sessions.message()[0]["session_id"].as_str().unwrap().to_owned();
        let bob_token = bob.settle(at).await;
        let nobody = Person::new("nobody", cluster);
        Self { alice, alice_token, alice_session, bob, bob_token, ended_token, nobody }
    }
}

/// One bad request and what is to be said to it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) body: Option<Value>,
    pub(crate) expect: Kind,
}

pub(crate) fn path_of(route: &Route, cast: &Cast) -> String {
    route
        .path
        .replace("{username}", &cast.alice.username)
        .replace("{account_id}", &cast.alice.account_id())
        .replace("{session_id}", &"0".repeat(32))
        .replace("{ip}", "127.0.0.1")
}

/// The same statement with one bit of its signature changed.
fn forged(mut statement: SignedStatement) -> SignedStatement {
    statement.signature[10] ^= 1;
    statement
}

/// A body that the route accepts from alice, but for what a case changes.
pub(crate) fn good_body(route: &Route, cast: &Cast) -> Option<Value> {
    let alice = &cast.alice;
    Some(match (route.method, route.path) {
        ("POST", "/register") => cast.nobody.register_body(),
        ("POST", "/login") => alice.login_body(),
        ("POST", "/heartbeat") => alice.heartbeat_body(),
        ("PUT", "/users/reconnect/{ip}/{username}") => {
            alice.reconnect_body(9, &alice.address_statement("127.0.0.1:9"))
        }
        ("POST", "/account/password") => {
            alice.password_body("another password", &alice.password_statement(1))
        }
        ("DELETE", "/account") => alice.delete_body(&alice.delete_statement()),
        _ => {
            assert!(route.request.is_none(), "no body for {} {}", route.method, route.path);
            return None;
        }
    })
}

/// What is wrong in a way of this route's own.
pub(crate) fn own_cases(route: &Route, cast: &Cast) -> Vec<Case> {
    let token = (route.access == Access::Session).then(|| cast.alice_token.clone());
    let path = path_of(route, cast);
    let case =
        |name, body, expect| Case { name, path: path.clone(), token: token.clone(), body, expect };
    let at = |name, path: &str, expect| Case {
        name,
        path: path.into(),
        token: token.clone(),
        body: None,
        expect,
    };
    match (route.method, route.path) {
        ("POST", "/register") => registration_cases(cast, &case),
        ("POST", "/login") => login_cases(cast, &case),
        ("PUT", "/users/reconnect/{ip}/{username}") => reconnect_cases(cast, &case),
        ("POST", "/account/password") => password_cases(cast, &case),
        ("DELETE", "/account") => deletion_cases(cast, &case),
        ("POST", "/heartbeat") => vec![
            case("bob's lease", Some(json!({ "username": "bob" })), Kind::Forbidden),
            case("no name", Some(json!({ "username": "" })), Kind::Malformed),
            case(
                "too many watched",
                Some(json!({ "username": "alice", "watch": vec!["bob"; 101] })),
                Kind::Malformed,
            ),
        ],
        ("GET", "/users/{username}") => vec![
            at("a stranger", "/users/mallory", Kind::UnknownUser),
            at("no name", "/users/%00", Kind::Malformed),
            at("no text", "/users/%ff", Kind::Malformed),
        ],
        ("GET", "/accounts/{account_id}") => vec![
            at("a stranger", &format!("/accounts/{}", "ab".repeat(32)), Kind::UnknownUser),
            at("no id", "/accounts/alice", Kind::Malformed),
        ],
        ("GET", "/peers") => vec![
            at("no limit", "/peers?limit=0", Kind::Malformed),
            at("no number", "/peers?limit=all", Kind::Malformed),
            at("no name", "/peers?after=..", Kind::Malformed),
            at("another question", "/peers?offset=1", Kind::Malformed),
        ],
        ("DELETE", "/sessions/{session_id}") => vec![
            at("nobody's", &format!("/sessions/{}", "ab".repeat(16)), Kind::NotFound),
            Case {
                token: Some(cast.bob_token.clone()),
                ..at(
                    "with bob's token",
                    &format!("/sessions/{}", cast.alice_session),
                    Kind::NotFound,
                )
            },
            at("no id", "/sessions/1", Kind::Malformed),
        ],
        ("POST", "/logout" | "/sessions/revoke-others")
        | (
            "GET",
            "/account" | "/sessions" | "/cluster" | "/livez" | "/readyz" | "/metrics"
            | "/openapi.json",
        ) => vec![],
        (method, path) => panic!("{method} {path} is missing from this table"),
    }
}

type MakeCase<'a> = &'a dyn Fn(&'static str, Option<Value>, Kind) -> Case;

fn registration_cases(cast: &Cast, case: MakeCase<'_>) -> Vec<Case> {
    let (nobody, alice) = (&cast.nobody, &cast.alice);
    let with = |field: &str, value: Value| {
        let mut body = nobody.register_body();
        body[field] = value;
        Some(body)
    };
    let foreign = Person { cluster: [9; 16], ..Person::new("nobody", nobody.cluster) };
    let taken = Person { username: "alice".into(), ..Person::new("thief", nobody.cluster) };
    let second = Person { username: "alice2".into(), ..Person::new("alice", alice.cluster) };
    vec![
        case("forged", Some(forged_registration(nobody)), Kind::BadStatement),
        case("another cluster's", Some(foreign.register_body()), Kind::BadStatement),
        case("no statement", with("statement", json!("AAAA")), Kind::BadStatement),
        case("another name than signed", with("username", json!("mallory")), Kind::BadStatement),
        case("another sealed key", with("sealed_by_password", json!("AA==")), Kind::BadStatement),
        case("another code's key", with("sealed_by_recovery_code", json!("")), Kind::BadStatement),
        case("sealed keys exchanged", Some(exchanged(nobody.register_body())), Kind::BadStatement),
        case("somebody's name", Some(taken.register_body()), Kind::UsernameTaken),
        case("somebody's key", Some(second.register_body()), Kind::KeyInUse),
        case("no key", with("public_key", json!("AA==")), Kind::Malformed),
        case("no base64", with("public_key", json!("*")), Kind::Malformed),
        case("no name", with("username", json!(".")), Kind::Malformed),
        case("no device", with("device_id", json!("00")), Kind::Malformed),
        case("no password", with("password", json!("")), Kind::Malformed),
        case("a password of 72 bytes", with("password", json!("x".repeat(72))), Kind::Malformed),
        case("a password with NUL", with("password", json!("a\0b")), Kind::Malformed),
    ]
}

/// A body whose two sealed keys are each in the other's place.
fn exchanged(mut body: Value) -> Value {
    let by_password = body["sealed_by_password"].take();
    body["sealed_by_password"] = body["sealed_by_recovery_code"].take();
    body["sealed_by_recovery_code"] = by_password;
    body
}

fn forged_registration(person: &Person) -> Value {
    person.register_body_with(&forged(person.register_statement()))
}

fn login_cases(cast: &Cast, case: MakeCase<'_>) -> Vec<Case> {
    let alice = &cast.alice;
    let with = |field: &str, value: Value| {
        let mut body = alice.login_body();
        body[field] = value;
        Some(body)
    };
    let reached = |port: u16, statement: &SignedStatement| {
        let mut body = alice.login_body();
        body["ip"] = json!("127.0.0.1");
        body["port"] = json!(port);
        body["address_statement"] =
            alice.reconnect_body(port, statement)["address_statement"].clone();
        Some(body)
    };
    let mut half = reached(9, &alice.address_statement("127.0.0.1:9")).unwrap();
    half.as_object_mut().unwrap().remove("ip");
    let stale = Person::new("alice", alice.cluster).address_statement("127.0.0.1:9");
    vec![
        case("a wrong password", with("password", json!("wrong")), Kind::WrongCredentials),
        case("a stranger", with("username", json!("mallory")), Kind::WrongCredentials),
        case("a password of 72 bytes", with("password", json!("x".repeat(72))), Kind::Malformed),
        case("a long device name", with("device_name", json!("x".repeat(65))), Kind::Malformed),
        case("a device name that rings", with("device_name", json!("a\u{7}")), Kind::Malformed),
        case("half an address", Some(half), Kind::Malformed),
        case(
            "another port than signed",
            reached(10, &alice.address_statement("127.0.0.1:9")),
            Kind::BadStatement,
        ),
        case(
            "forged",
            reached(9, &forged(alice.address_statement("127.0.0.1:9"))),
            Kind::BadStatement,
        ),
        case("bob's", reached(9, &cast.bob.address_statement("127.0.0.1:9")), Kind::BadStatement),
        case("stale", reached(9, &stale), Kind::StaleSequence),
    ]
}

fn reconnect_cases(cast: &Cast, case: MakeCase<'_>) -> Vec<Case> {
    let alice = &cast.alice;
    let body = |port, statement: &SignedStatement| Some(alice.reconnect_body(port, statement));
    let foreign = Person { cluster: [9; 16], ..Person::new("alice", alice.cluster) };
    foreign.sequence.set(1000);
    let mut other_device = Person::new("alice", alice.cluster);
    other_device.device = [0xee; 16];
    other_device.sequence.set(1000);
    let stale = Person::new("alice", alice.cluster);
    let good = || alice.address_statement("127.0.0.1:9");
    let bobs = Case {
        token: Some(cast.bob_token.clone()),
        ..case("with bob's token", body(9, &good()), Kind::Forbidden)
    };
    vec![
        bobs,
        case("forged", body(9, &forged(good())), Kind::BadStatement),
        case(
            "another cluster's",
            body(9, &foreign.address_statement("127.0.0.1:9")),
            Kind::BadStatement,
        ),
        case("another kind", body(9, &alice.delete_statement()), Kind::BadStatement),
        case("another port", body(10, &good()), Kind::BadStatement),
        case(
            "another device",
            body(9, &other_device.address_statement("127.0.0.1:9")),
            Kind::BadStatement,
        ),
        case("port 0", body(0, &good()), Kind::Malformed),
        case("stale", body(9, &stale.address_statement("127.0.0.1:9")), Kind::StaleSequence),
    ]
}

fn password_cases(cast: &Cast, case: MakeCase<'_>) -> Vec<Case> {
    let alice = &cast.alice;
    let new = "another password";
    let stale = Person::new("alice", alice.cluster);
    let mut wrong = alice.password_body(new, &alice.password_statement(1));
    wrong["old_password"] = json!("wrong");
    let with = |field: &str, value: Value| {
        let mut body = alice.password_body(new, &alice.password_statement(1));
        body[field] = value;
        Some(body)
    };
    let swapped = exchanged(alice.password_body(new, &alice.password_statement(1)));
    let bobs = Case {
        token: Some(cast.bob_token.clone()),
        ..case(
            "with bob's token",
            Some(alice.password_body(new, &alice.password_statement(1))),
            Kind::BadStatement,
        )
    };
    vec![
        bobs,
        case("a wrong password", Some(wrong), Kind::WrongCredentials),
        case("another sealed key", with("sealed_by_password", json!("AA==")), Kind::BadStatement),
        case("another code's key", with("sealed_by_recovery_code", json!("")), Kind::BadStatement),
        case("sealed keys exchanged", Some(swapped), Kind::BadStatement),
        case("no base64", with("sealed_by_password", json!("*")), Kind::Malformed),
        case(
            "a password of 72 bytes",
            Some(alice.password_body(&"x".repeat(72), &alice.password_statement(1))),
            Kind::Malformed,
        ),
        case(
            "forged",
            Some(alice.password_body(new, &forged(alice.password_statement(1)))),
            Kind::BadStatement,
        ),
        case(
            "of another version",
            Some(alice.password_body(new, &alice.password_statement(2))),
            Kind::StaleCredential,
        ),
        case(
            "stale",
            Some(alice.password_body(new, &stale.password_statement(1))),
            Kind::StaleSequence,
        ),
    ]
}

fn deletion_cases(cast: &Cast, case: MakeCase<'_>) -> Vec<Case> {
    let alice = &cast.alice;
    let stale = Person::new("alice", alice.cluster);
    let mut wrong = alice.delete_body(&alice.delete_statement());
    wrong["password"] = json!("wrong");
    let bobs = Case {
        token: Some(cast.bob_token.clone()),
        ..case(
            "with bob's token",
            Some(alice.delete_body(&alice.delete_statement())),
            Kind::BadStatement,
        )
    };
    let forged = forged(alice.delete_statement());
    vec![
        bobs,
        case("a wrong password", Some(wrong), Kind::WrongCredentials),
        case("forged", Some(alice.delete_body(&forged)), Kind::BadStatement),
        case("stale", Some(alice.delete_body(&stale.delete_statement())), Kind::StaleSequence),
    ]
}
