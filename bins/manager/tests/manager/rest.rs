//! Every route with every kind of bad input, and what one manager shows of the good cases.

use crate::cases::{Case, Cast, good_body, own_cases, path_of};
use crate::harness::{Answered, Running, Site, answered};
use crate::person::Person;
use serde_json::json;
use std::time::Duration;
use telegraph_manager::{Access, Kind, Route, routes};

/// Long enough that nobody's presence changes during a test.
const LONG: Duration = Duration::from_secs(3600);

async fn alone() -> (Site, Running) {
    let site = Site::new(1, LONG);
    let running = site.start(1).await;
    running.until_ready().await;
    (site, running)
}

/// One request as it is sent, and what is to be said to it.
struct Bad {
    name: String,
    method: &'static str,
    path: String,
    token: Option<String>,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    expect: Kind,
}

/// What is wrong with a request to any route of this sort.
fn common(route: &Route, cast: &Cast) -> Vec<Bad> {
    let token = (route.access == Access::Session).then(|| cast.alice_token.clone());
    let good = good_body(route, cast).map(|body| body.to_string().into_bytes());
    let bad = |name: &str, expect| Bad {
        name: name.into(),
        method: route.method,
        path: path_of(route, cast),
        token: token.clone(),
        content_type: Some("application/json"),
        body: good.clone().unwrap_or_default(),
        expect,
    };
    let mut all = vec![Bad {
        path: format!("{}?{}", path_of(route, cast), "x".repeat(2000)),
        ..bad("a long query", Kind::TooLarge)
    }];
    if route.access == Access::Session {
        let with = |name: &str, token: Option<&str>, expect| Bad {
            token: token.map(str::to_owned),
            ..bad(name, expect)
        };
        let unknown = format!("tg_{}", "A".repeat(43));
        all.push(with("no token", None, Kind::Unauthenticated));
        all.push(with("no token at all", Some("garbage"), Kind::Unauthenticated));
        all.push(with("nobody's token", Some(&unknown), Kind::Unauthenticated));
        all.push(with("an ended token", Some(&cast.ended_token), Kind::SessionEnded));
    }
    let Some(good) = &good else { return all };
    let with = |name: &str, body: &[u8], expect| Bad { body: body.to_vec(), ..bad(name, expect) };
    let mut more: serde_json::Value = serde_json::from_slice(good).unwrap();
    more["more"] = json!(1);
    let padded = format!("{}{}", String::from_utf8_lossy(good), " ".repeat(70_000));
    let deep = "[".repeat(10_000);
    all.push(with("no body", b"", Kind::Malformed));
    all.push(with("no JSON", b"{", Kind::Malformed));
    all.push(with("no text", &[0xff; 40], Kind::Malformed));
    all.push(with("no object", b"[]", Kind::Malformed));
    all.push(with("no field", b"{}", Kind::Malformed));
    all.push(with("another type", b"{\"username\":1,\"port\":\"a\"}", Kind::Malformed));
    all.push(with("an unknown field", more.to_string().as_bytes(), Kind::Malformed));
    all.push(with("much nesting", deep.as_bytes(), Kind::Malformed));
    all.push(with("too much", padded.as_bytes(), Kind::TooLarge));
    for content_type in [None, Some("text/plain")] {
        all.push(Bad { content_type, ..bad("another content type", Kind::UnsupportedMediaType) });
    }
    all
}

fn own(route: &Route, cast: &Cast) -> Vec<Bad> {
    let bad = |case: Case| Bad {
        name: case.name.into(),
        method: route.method,
        path: case.path,
        token: case.token,
        content_type: case.body.as_ref().map(|_| "application/json"),
        body: case.body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        expect: case.expect,
    };
    own_cases(route, cast).into_iter().map(bad).collect()
}

async fn send(at: &Running, bad: &Bad) -> Answered {
    let method = bad.method.parse().unwrap();
    let mut request = at.client.request(method, format!("{}{}", at.base, bad.path));
    if let Some(token) = &bad.token {
        request = request.bearer_auth(token);
    }
    if let Some(content_type) = bad.content_type {
        request = request.header("content-type", content_type);
    }
    answered(request.body(bad.body.clone()).send().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_refuses_each_kind_of_bad_input_and_changes_nothing() {
    let (_site, at) = alone().await;
    let cast = Cast::gather(&at).await;
    let mut tried = 0;
    for route in routes() {
        for bad in common(route, &cast).into_iter().chain(own(route, &cast)) {
            let name = format!("{} {}, {}", route.method, bad.path, bad.name);
            let name: String = name.chars().take(200).collect();
            // The state and how much of the log it has seen: bad input is refused before the log.
            let before = at.manager.reader().digest().unwrap();
            let answered = send(&at, &bad).await;
            assert_eq!(answered.kind(), bad.expect.slug(), "{name}: {answered:?}");
            assert_eq!(answered.status, bad.expect.status().as_u16(), "{name}");
            assert_eq!(answered.content_type, "application/problem+json", "{name}");
            assert!(answered.body["request_id"].is_string(), "{name}");
            assert!(route.problems().contains(&bad.expect), "{name}: not in the route's table");
            assert_eq!(before, at.manager.reader().digest().unwrap(), "{name} changed something");
            tried += 1;
        }
    }
    assert!(tried > 180, "only {tried} were tried");
    // That all of it was bad, and not the way it was sent, the good requests show.
    for route in routes() {
        if route.path == "/account" && route.method == "DELETE" {
            continue;
        }
        let token = (route.access == Access::Session).then_some(cast.bob_token.as_str());
        if route.request.is_none() && route.method == "GET" {
            let answered = at.ask("GET", &path_of(route, &cast), token, None).await;
            assert_eq!(answered.status, 200, "{}: {answered:?}", route.path);
        }
    }
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_and_other_paths_are_refused_as_problems() {
    let (_site, at) = alone().await;
    let cast = Cast::gather(&at).await;
    for route in routes() {
        let path = path_of(route, &cast);
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let known = routes().iter().any(|r| r.path == route.path && r.method == method);
            if known {
                continue;
            }
            let answered = at.ask(method, &path, Some(&cast.alice_token), None).await;
            // `/users/reconnect/…` and `/users/…` share no depth, so nothing else can match.
            assert_eq!(answered.kind(), "method-not-allowed", "{method} {path}: {answered:?}");
            assert_eq!(answered.status, 405);
        }
    }
    for path in ["/", "/users", "/users/", "/Register", "/register/", "/../etc", "/%2e%2e"] {
        let answered = at.ask("GET", path, None, None).await;
        assert_eq!((answered.status, answered.kind()), (404, "not-found"), "{path}");
    }
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_lives_from_registration_to_deletion() {
    let (_site, at) = alone().await;
    let alice = Person::new("alice", at.manager.node().cluster_id());
    let body = alice.register_body();
    for _ in 0..2 {
        // Asked again after a lost answer: the same registration.
        let answered = at.ask("POST", "/register", None, Some(body.clone())).await;
        assert_eq!(answered.message()["account_id"], alice.account_id());
    }
    let token = alice.login(&at).await;
    let token = Some(token.as_str());
    let statement = alice.address_statement("127.0.0.1:4000");
    let body = alice.reconnect_body(4000, &statement);
    let moved = at.ask("PUT", "/users/reconnect/127.0.0.1/alice", token, Some(body)).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let seen = at.ask("GET", "/users/Alice", token, None).await;
    let seen = seen.message();
    assert_eq!((&seen["ip"], &seen["port"]), (&json!("127.0.0.1"), &json!(4000)));
    assert_eq!(seen["status"], "online");
    assert!(seen.get("password_hash").is_none());
    let by_id = at.ask("GET", &format!("/accounts/{}", alice.account_id()), token, None).await;
    assert_eq!(by_id.message()["username"], "alice");
    let own = at.ask("GET", "/account", token, None).await;
    assert_eq!(own.message()["sequence"], alice.sequence.get());
    let peers = at.ask("GET", "/peers", token, None).await;
    assert_eq!(peers.message()["peers"][0]["username"], "alice");
    assert!(peers.message()["next"].is_null());

    let change = alice.password_body("another password", &alice.password_statement(1));
    assert_eq!(at.ask("POST", "/account/password", token, Some(change)).await.status, 200);
    let old = at.ask("POST", "/login", None, Some(alice.login_body())).await;
    assert_eq!(old.kind(), "wrong-credentials");
    let alice = Person { password: "another password".into(), ..alice };
    let delete = alice.delete_body(&alice.delete_statement());
    assert_eq!(at.ask("DELETE", "/account", token, Some(delete)).await.status, 200);
    let gone = at.ask("GET", "/users/alice", token, None).await;
    assert_eq!(gone.status, 401, "{gone:?}");
    let again = at.ask("POST", "/register", None, Some(alice.register_body())).await;
    assert_eq!(again.kind(), "username-retired");
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_login_wins_and_the_older_one_is_told() {
    let (_site, at) = alone().await;
    let mut alice = Person::new("alice", at.manager.node().cluster_id());
    let first = alice.settle(&at).await;
    alice.device = [0xaa; 16];
    let second = alice.login(&at).await;
    let refused = at.ask("GET", "/account", Some(&first), None).await;
    assert_eq!(refused.kind(), "session-ended");
    assert!(refused.body["detail"].as_str().unwrap().contains("newer login"), "{refused:?}");
    let sessions = at.ask("GET", "/sessions", Some(&second), None).await;
    let sessions = sessions.message().as_array().unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0]["current"], true);
    let name = sessions[0]["session_id"].as_str().unwrap();
    let others = at.ask("POST", "/sessions/revoke-others", Some(&second), None).await;
    assert_eq!(others.status, 200);
    let revoked = at.ask("DELETE", &format!("/sessions/{name}"), Some(&second), None).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let refused = at.ask("GET", "/account", Some(&second), None).await;
    assert_eq!(refused.kind(), "session-ended", "{refused:?}");
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_logs_out_can_still_log_in() {
    let (_site, at) = alone().await;
    let alice = Person::new("alice", at.manager.node().cluster_id());
    let mut tokens = vec![alice.settle(&at).await];
    for _ in 0..40 {
        tokens.push(alice.login(&at).await);
    }
    let (first, last) = (tokens.first().unwrap(), tokens.last().unwrap());
    let live = at.ask("GET", "/sessions", Some(last), None).await;
    assert_eq!(live.message().as_array().unwrap().len(), 32);
    assert_eq!(at.ask("GET", "/account", Some(first), None).await.kind(), "session-ended");
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_online_is_told_a_page_at_a_time() {
    let (_site, at) = alone().await;
    let mut token = String::new();
    for name in ["carol", "alice", "bob"] {
        token = Person::new(name, at.manager.node().cluster_id()).settle(&at).await;
    }
    let (mut seen, mut path) = (Vec::new(), "/peers?limit=2".to_owned());
    loop {
        let page = at.ask("GET", &path, Some(&token), None).await;
        let page = page.message();
        let names = page["peers"].as_array().unwrap().iter();
        seen.extend(names.map(|peer| peer["username"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/peers?limit=2&after={next}");
    }
    assert_eq!(seen, ["alice", "bob", "carol"]);
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_passwords_is_slowed_down_known_name_or_not() {
    let (_site, at) = alone().await;
    let alice = Person::new("alice", at.manager.node().cluster_id());
    alice.register(&at).await;
    let mut answers = Vec::new();
    for name in ["alice", "mallory"] {
        let mut body = alice.login_body();
        body["username"] = json!(name);
        body["password"] = json!("wrong");
        let mut texts = Vec::new();
        let limited = loop {
            let answered = at.ask("POST", "/login", None, Some(body.clone())).await;
            texts.push((answered.status, answered.body["detail"].clone()));
            if answered.status == 429 {
                break answered;
            }
            assert_eq!(answered.kind(), "wrong-credentials");
            assert!(texts.len() <= 250, "never slowed down");
        };
        assert_eq!(limited.kind(), "too-many-requests");
        texts.dedup();
        answers.push(texts);
    }
    let (known, unknown) = (&answers[0][0], &answers[1][0]);
    assert_eq!(known, unknown, "nothing tells a known name from an unknown one");
    at.manager.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_named_and_operations_answered() {
    let (_site, at) = alone().await;
    let get = |path: &str| at.client.get(format!("{}{path}", at.base));
    let given = get("/livez").header("x-request-id", "mine-1").send().await.unwrap();
    assert_eq!(given.headers()["x-request-id"], "mine-1");
    let bad = get("/livez").header("x-request-id", "mine 1").send().await.unwrap();
    assert_eq!(bad.headers()["x-request-id"].len(), 32);
    let refused = get("/account").header("x-request-id", "mine-2").send().await.unwrap();
    assert_eq!(answered(refused).await.body["request_id"], "mine-2");
    let ready = answered(get("/readyz?verbose").send().await.unwrap()).await;
    assert!(ready.body.as_str().unwrap().starts_with("[+]running node 1\n"), "{ready:?}");
    let cluster = at.ask("GET", "/cluster", None, None).await;
    let port = at.manager.rest_addr().port();
    assert_eq!(cluster.message()["managers"], json!([format!("127.0.0.1:{port}")]));
    assert_eq!(cluster.message()["leader"], 1);
    let document = answered(get("/openapi.json").send().await.unwrap()).await;
    assert_eq!(document.body["openapi"], "3.1.0");
    let metrics = answered(get("/metrics").send().await.unwrap()).await;
    let metrics = metrics.body.as_str().unwrap();
    for line in ["raft_", "telegraph_accounts 0", "route=\"/livez\",status=\"200\""] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    at.manager.shutdown().await.unwrap();
    assert!(get("/livez").send().await.is_err(), "a stopped manager does not answer");
}
