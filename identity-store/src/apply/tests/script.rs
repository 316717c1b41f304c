//! A small language for stories about accounts.
//!
//! A line with `>` does something, the lines below it say what comes of it. After each command the
//! whole state is audited, and a rejected one must have left it as a meaningless one would have.

use crate::account::Account;
use crate::audit::audit;
use crate::command::{Command, EndWhich, Transition};
use crate::keys::Range;
use crate::lookup::Lookup;
use crate::reply::Reply;
use crate::session::Session;
use crate::tests::cast::{Person, Twin, device, entry, hash, play, sealed, session, token};
use bytes::Bytes;
use raft_core::Position;
use std::collections::BTreeMap;
use telegraph_proto::account::{AccountId, DeviceId};
use telegraph_proto::identity::{
    AddressBody, DeleteBody, PasswordBody, RegisterBody, SealedKeys, SignedStatement, StatementKind,
};
use telegraph_proto::statement::sealed_keys_hash;

/// Plays a story. Panics with what really came of it when that is not what it says.
pub(super) fn play_script(script: &str) {
    let mut stage = Stage::new();
    let mut told = String::new();
    let lines = || script.lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines().filter_map(|line| line.strip_prefix("> ")) {
        told.push_str(&format!("> {line}\n{}", stage.perform(line)));
    }
    let expected: String = lines().map(|line| format!("{line}\n")).collect();
    assert_eq!(told, expected, "what came of it:\n{told}");
}

struct Stage {
    twin: Twin,
    term: u64,
    index: u64,
    now_s: u64,
}

/// The words behind the first ones: `seq=3`, or `tamper` alone.
struct Options<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Options<'a> {
    fn text(&self, name: &str, otherwise: &'a str) -> &'a str {
        self.0.get(name).copied().unwrap_or(otherwise)
    }

    fn number(&self, name: &str, otherwise: u64) -> u64 {
        self.0.get(name).map_or(otherwise, |text| text.parse().unwrap())
    }

    /// The hash of sealed keys that is signed, and the sealed keys that are sent beside it: the
    /// same unless `sent`, `swapped` or `nohash` says otherwise.
    fn sealed_keys(&self, otherwise: u64) -> (Vec<u8>, SealedKeys) {
        let length = self.number("sealed", otherwise);
        let hash = match self.given("nohash") {
            true => Vec::new(),
            false => sealed_keys_hash(&sealed(length as usize)).into(),
        };
        let mut sent = sealed(self.number("sent", length) as usize);
        if self.given("swapped") {
            std::mem::swap(&mut sent.by_password, &mut sent.by_recovery_code);
        }
        (hash, sent)
    }

    fn given(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Spoils a statement as asked.
    fn spoil(&self, mut statement: SignedStatement) -> SignedStatement {
        if self.given("tamper") {
            statement.signature[9] ^= 1;
        }
        if self.given("abroad") {
            statement.cluster_id = vec![7; 16];
        }
        if self.given("short") {
            statement.account_id.pop();
        }
        statement
    }
}

impl Stage {
    fn new() -> Stage {
        Stage { twin: Twin::new(), term: 1, index: 0, now_s: 100 }
    }

    fn perform(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, rest) = words.split_first().unwrap();
        match *verb {
            "at" => self.now_s = rest[0].parse().unwrap(),
            "term" => self.term = rest[0].parse().unwrap(),
            "show" => return self.show(rest[0]),
            "sessions" => return self.sessions(rest[0]),
            "online" => return self.online(),
            "counts" => {
                let counts = Lookup(&self.twin).counts().unwrap();
                return format!(
                    "{} accounts, {} online, {} sessions\n",
                    counts.accounts, counts.online, counts.sessions
                );
            }
            "bytes" => return self.apply(hex::decode(rest[0]).unwrap().into()),
            _ => {
                let plain = rest.iter().copied().filter(|word| !word.contains('='));
                let plain: Vec<&str> = plain.collect();
                let options = rest.iter().map(|word| word.split_once('=').unwrap_or((word, "")));
                let command = command(verb, &plain, &Options(options.collect()));
                return self.apply(command.encode());
            }
        }
        String::new()
    }

    fn apply(&mut self, payload: Bytes) -> String {
        self.index += 1;
        let at = |payload| {
            let mut entry = entry(self.index, self.now_s * 1000, payload);
            entry.position = Position { term: self.term, index: self.index };
            entry
        };
        let mut untouched = self.twin.clone();
        play(&mut untouched, &[at(Bytes::from_static(b"nonsense"))]);
        let reply = play(&mut self.twin, &[at(payload)]).remove(0);
        audit(&self.twin).unwrap();
        if matches!(reply, Reply::Rejected(_)) {
            assert!(self.twin == untouched, "a rejected command changed something");
        }
        describe(&reply)
    }

    fn show(&self, name: &str) -> String {
        match Lookup(&self.twin).living(&Person::named(name).id()).unwrap() {
            Some(account) => describe_account(&account),
            None => "nobody\n".into(),
        }
    }

    fn sessions(&self, name: &str) -> String {
        let mut all = Lookup(&self.twin).sessions_of(&Person::named(name).id()).unwrap();
        all.sort_by_key(|session| (session.created_unix_ms, session.expires_unix_ms));
        all.iter().map(|session| self.describe_session(session)).collect()
    }

    fn describe_session(&self, session: &Session) -> String {
        let state = match session.ended {
            Some(end) => format!("{end:?}"),
            None if session.live(self.now_s * 1000) => "live".into(),
            None => "expired".into(),
        };
        let (device, version) = (&session.device_name, session.credential_version);
        let until = session.expires_unix_ms / 1000;
        format!("{device} c{version} until {until} {state}\n")
    }

    fn online(&self) -> String {
        let names = crate::key_values::KeyValues::range(&self.twin, &Range::online_after(None), 99);
        let all = Lookup(&self.twin).indexed(names.unwrap()).unwrap();
        all.iter().map(|account| format!("{}\n", account.username)).collect()
    }
}

fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Registered { repeated: false, .. } => "registered\n".into(),
        Reply::Registered { repeated: true, .. } => "registered before\n".into(),
        Reply::SessionCreated { expires_unix_ms, ended_sessions } => {
            format!("until {}, ended {ended_sessions}\n", expires_unix_ms / 1000)
        }
        Reply::Done => "done\n".into(),
        Reply::PresenceChanged { applied, refused } => format!("{applied} made, {refused} not\n"),
        Reply::Rejected(rejection) => format!("{:?}: {}\n", rejection.reason, rejection.detail),
    }
}

fn describe_account(account: &Account) -> String {
    let names: Vec<&str> = account.devices.iter().map(|device| device.name.as_str()).collect();
    let active = match account.active_device_id {
        Some(active) => account.devices.iter().find(|known| known.device_id == active).unwrap(),
        None => &crate::account::Device {
            device_id: DeviceId::new([0; 16]),
            name: "none".into(),
            added_unix_ms: 0,
        },
    };
    let addresses = account.addresses();
    let reached: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!(
        "{} {:?} p{} seen {} s{} c{} {} sealed {} devices [{}] active {} at [{}]\n",
        account.username,
        account.presence,
        account.presence_version,
        account.last_seen_unix_ms / 1000,
        account.sequence,
        account.credential_version,
        &account.password_hash.as_str()[7..9],
        account.sealed_keys.by_password.len(),
        names.join(" "),
        active.name,
        reached.join(" "),
    )
}

fn command(verb: &str, plain: &[&str], options: &Options<'_>) -> Command {
    let who = Person::named(plain[0]);
    let hash = |otherwise| match options.text("hash", otherwise) {
        "bad" => "$2b$04$short".to_owned(),
        letter => hash(letter.as_bytes()[0] - b'a'),
    };
    match verb {
        "register" => {
            let (sealed_keys_hash, sealed_keys) = options.sealed_keys(7);
            let statement = register_statement(&who, sealed_keys_hash, options);
            let device_id = device("phone");
            Command::Register { statement, password_hash: hash("a"), device_id, sealed_keys }
        }
        "login" => login(&who, plain[1], plain[2], options),
        "logout" => end(&who, EndWhich::Token(token(plain[1]))),
        "revoke" => end(&who, EndWhich::Session(session(plain[1]))),
        "revoke-others" => end(&who, EndWhich::AllBut(session(plain[1]))),
        "address" => {
            let statement = address_statement(&who, plain[1], options);
            Command::ChangeAddress { statement, token_hash: token(plain[2]) }
        }
        "presence" => presence(plain, options),
        "password" => {
            let (sealed_keys_hash, sealed_keys) = options.sealed_keys(9);
            let body = PasswordBody {
                credential_version: options.number("cred", 1),
                sealed_keys_hash,
                issued_unix_ms: 5,
            };
            let sequence = options.number("seq", 9);
            let statement = options.spoil(who.sign(StatementKind::Password, sequence, &body));
            let token_hash = token(plain[1]);
            Command::ChangePassword { statement, password_hash: hash("b"), token_hash, sealed_keys }
        }
        "delete" => {
            let username = options.text("name", plain[0]).into();
            let body = DeleteBody { username, issued_unix_ms: 6 };
            let statement = who.sign(StatementKind::Delete, options.number("seq", 9), &body);
            Command::DeleteAccount { statement: options.spoil(statement) }
        }
        other => panic!("nobody knows how to {other}"),
    }
}

fn register_statement(
    who: &Person,
    sealed_keys_hash: Vec<u8>,
    options: &Options<'_>,
) -> SignedStatement {
    let signer = Person::named(options.text("key", &who.name));
    let body = RegisterBody {
        username: options.text("name", &who.name).into(),
        public_key: match options.text("claims", "") {
            "" => signer.public_key().as_bytes().to_vec(),
            "weak" => vec![0; 32],
            other => Person::named(other).public_key().as_bytes().to_vec(),
        },
        sealed_keys_hash,
        issued_unix_ms: 3,
    };
    let mut statement = signer.sign(StatementKind::Register, options.number("seq", 1), &body);
    if options.given("garbled") {
        statement.body = vec![0xff; 9];
    }
    if options.given("huge") {
        statement.body = vec![0; 5000];
    }
    options.spoil(statement)
}

fn address_statement(who: &Person, at: &str, options: &Options<'_>) -> SignedStatement {
    let signer = Person::named(options.text("key", &who.name));
    let text = options.text("at", "127.0.0.1:9000");
    let addresses = text.split(',').filter(|text| !text.is_empty());
    let many = options.number("times", 1) as usize;
    let body = AddressBody {
        addresses: addresses.map(str::to_owned).cycle().take(many).collect(),
        device_id: device(at).as_bytes().to_vec(),
        issued_unix_ms: 4,
    };
    let kind = match options.given("otherkind") {
        true => StatementKind::Delete,
        false => StatementKind::Address,
    };
    let mut statement = signer.sign(kind, options.number("seq", 2), &body);
    statement.account_id = who.id().as_bytes().to_vec();
    options.spoil(statement)
}

fn login(who: &Person, at: &str, name: &str, options: &Options<'_>) -> Command {
    let address =
        options.given("at").then(|| address_statement(who, options.text("of", at), options));
    Command::CreateSession {
        account_id: who.id(),
        credential_version: options.number("cred", 1),
        token_hash: token(name),
        session_id: session(options.text("named", name)),
        device_id: device(at),
        device_name: match options.text("called", at) {
            "long" => "x".repeat(65),
            "control" => "a\u{1b}[2J".into(),
            other => other.into(),
        },
        lifetime_ms: 1000 * options.number("for", 60),
        address,
        password_hash: match options.text("hash", "") {
            "" => None,
            "bad" => Some("hunter2".into()),
            letter => Some(hash(letter.as_bytes()[0] - b'a')),
        },
    }
}

fn end(who: &Person, which: EndWhich) -> Command {
    Command::EndSession { account_id: who.id(), which }
}

/// `presence alice:online:3:50`: alice came, decided on version 3, last seen at 50 s.
fn presence(plain: &[&str], options: &Options<'_>) -> Command {
    let transition = |word: &&str| {
        let parts: Vec<&str> = word.split(':').collect();
        Transition {
            account_id: AccountId::of(&Person::named(parts[0]).public_key()),
            online: parts[1] == "online",
            presence_version: parts[2].parse().unwrap(),
            last_seen_unix_ms: 1000 * parts[3].parse::<u64>().unwrap(),
        }
    };
    let transitions = plain.iter().filter(|word| word.contains(':')).map(transition);
    Command::ChangePresence {
        term: options.number("of-term", 1),
        transitions: transitions.collect(),
    }
}
