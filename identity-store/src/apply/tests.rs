//! Stories: what people do, and what comes of it. `script.rs` plays them.

mod script;

use super::apply;
use crate::directory::Directory;
use crate::error::StoreError;
use crate::reply::{Reason, Reply};
use crate::tests::cast::{CLUSTER, Dice, Person, Twin, entry, play, village};
use bytes::Bytes;
use script::play_script;

#[test]
fn a_new_account_is_offline_and_owns_its_name() {
    play_script(
        "
        > register alice
        registered
        > show alice
        alice Offline p0 seen 0 s1 c1 aa sealed 7 devices [] active none at []
        > show bob
        nobody
        > counts
        1 accounts, 0 online, 0 sessions
        ",
    );
}

#[test]
fn registering_again_with_the_same_key_and_name_changes_nothing_and_is_no_error() {
    play_script(
        "
        > register alice
        registered
        > at 200
        > register alice hash=c seq=8 sealed=99
        registered before
        > show alice
        alice Offline p0 seen 0 s1 c1 aa sealed 7 devices [] active none at []
        > counts
        1 accounts, 0 online, 0 sessions
        ",
    );
}

#[test]
fn a_name_has_one_key_and_a_key_has_one_name() {
    play_script(
        "
        > register alice
        registered
        > register alice key=mallory
        UsernameTaken: the username is taken
        > register alice name=alicia
        KeyInUse: the key belongs to another username
        > register alice key=mallory name=mallory
        registered
        > counts
        2 accounts, 0 online, 0 sessions
        ",
    );
}

#[test]
fn a_registration_is_believed_by_the_signature_of_the_key_it_names() {
    play_script(
        "
        > register alice tamper
        BadStatement: signature does not verify
        > register alice abroad
        BadStatement: statement was signed for another cluster
        > register alice claims=bob
        BadStatement: statement names an account that is not the key's
        > register alice claims=weak
        BadStatement: the key is not an Ed25519 public key
        > register alice garbled
        BadStatement: the body does not decode
        > register alice huge
        BadStatement: the body is larger than 4,096 bytes
        > register alice name=Alice
        BadStatement: the username is not one, or not lower case
        > register alice name=.alice
        BadStatement: the username is not one, or not lower case
        > register alice sealed=1025
        BadStatement: a sealed key has at most 1,024 bytes
        > register alice sent=1025
        BadStatement: a sealed key has at most 1,024 bytes
        > register alice sent=8
        BadStatement: the sealed keys are not those that were signed
        > register alice swapped
        BadStatement: the sealed keys are not those that were signed
        > register alice nohash
        BadStatement: the sealed keys are not those that were signed
        > register alice seq=0
        StaleSequence: the statement's sequence is not above the last one
        > register alice hash=bad
        Malformed: the password's hash is not bcrypt's
        > counts
        0 accounts, 0 online, 0 sessions
        > register alice sealed=1024
        registered
        ",
    );
}

#[test]
fn a_login_begins_a_session_and_brings_the_account_online() {
    play_script(
        "
        > register alice
        registered
        > at 200
        > login alice phone a1 at=[::]:5,[::]:6 times=2
        until 260, ended 0
        > show alice
        alice Online p1 seen 200 s2 c1 aa sealed 7 devices [phone] active phone at [[::]:5 [::]:6]
        > sessions alice
        phone c1 until 260 live
        > online
        alice
        > counts
        1 accounts, 1 online, 1 sessions
        ",
    );
}

#[test]
fn the_newest_login_wins_and_the_older_device_is_told_why() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1
        until 160, ended 0
        > login alice phone a2
        until 160, ended 0
        > at 110
        > login alice laptop a3
        until 170, ended 2
        > sessions alice
        phone c1 until 160 ReplacedByNewerLogin
        phone c1 until 160 ReplacedByNewerLogin
        laptop c1 until 170 live
        > show alice
        alice Online p3 seen 110 s1 c1 aa sealed 7 devices [phone laptop] active laptop at []
        > address alice phone a1
        UnknownSession: there is no such live session
        ",
    );
}

#[test]
fn a_login_on_another_device_forgets_the_address_of_the_old_one() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1 at=10.0.0.1:9
        until 160, ended 0
        > login alice phone a2
        until 160, ended 0
        > show alice
        alice Online p2 seen 100 s2 c1 aa sealed 7 devices [phone] active phone at [10.0.0.1:9]
        > login alice laptop a3
        until 160, ended 2
        > show alice
        alice Online p3 seen 100 s2 c1 aa sealed 7 devices [phone laptop] active laptop at []
        ",
    );
}

#[test]
fn a_repeated_login_is_the_same_session_while_it_lives() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1 at=10.0.0.1:9
        until 160, ended 0
        > at 120
        > login alice phone a1 at=10.0.0.1:9
        until 160, ended 0
        > login alice phone a1 named=a2
        Malformed: the session's token or name was used before
        > login alice phone a2 named=a1
        Malformed: the session's token or name was used before
        > register bob
        registered
        > login bob phone a1
        Malformed: the session's token or name was used before
        > at 150
        > login alice laptop a9
        until 210, ended 1
        > login alice phone a1 at=10.0.0.1:9
        Malformed: the session's token or name was used before
        > counts
        2 accounts, 1 online, 2 sessions
        ",
    );
}

#[test]
fn a_login_is_refused_for_every_part_out_of_its_bounds() {
    play_script(
        "
        > login alice phone a1
        UnknownAccount: there is no such account
        > register alice
        registered
        > login alice phone a1 cred=2
        StaleCredential: the password was changed meanwhile
        > login alice phone a1 cred=0
        StaleCredential: the password was changed meanwhile
        > login alice phone a1 called=long
        Malformed: not a command: a device's name has at most 64 bytes, none for control
        > login alice phone a1 called=control
        Malformed: not a command: a device's name has at most 64 bytes, none for control
        > login alice phone a1 for=0
        Malformed: a session lives from 1 second to 400 days
        > login alice phone a1 for=34560001
        Malformed: a session lives from 1 second to 400 days
        > login alice phone a1 hash=bad
        Malformed: the password's hash is not bcrypt's
        > login alice phone a1 at=1.2.3.4:5 seq=1
        StaleSequence: the statement's sequence is not above the last one
        > login alice phone a1 at=1.2.3.4:5 tamper
        BadStatement: signature does not verify
        > login alice phone a1 at=1.2.3.4:5 of=laptop
        BadStatement: the address is of another device than the session's
        > login alice phone a1 at=example.org:5
        BadStatement: an address is ip:port
        > counts
        1 accounts, 0 online, 0 sessions
        ",
    );
}

#[test]
fn a_login_may_bring_a_better_hash_of_the_same_password() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1 hash=e
        until 160, ended 0
        > show alice
        alice Online p1 seen 100 s1 c1 ee sealed 7 devices [phone] active phone at []
        > login alice phone a2
        until 160, ended 0
        ",
    );
}

#[test]
fn sessions_that_are_over_make_room_and_live_ones_do_not() {
    let mut twin = Twin::new();
    let alice = Person::named("alice");
    play(&mut twin, &[entry(1, 1000, alice.register().encode())]);
    for n in 0..33_u64 {
        let login = alice.login("phone", &n.to_string()).encode();
        let reply = play(&mut twin, &[entry(2 + n, 2000 + n, login)]).remove(0);
        let refused = matches!(
            reply,
            Reply::Rejected(rejection) if rejection.reason == Reason::TooManySessions
        );
        assert_eq!(refused, n == 32, "login {n}");
    }
    for n in 0..100_u64 {
        let at = if n % 2 == 0 { "laptop" } else { "phone" };
        let login = alice.login(at, &format!("more {n}")).encode();
        let reply = play(&mut twin, &[entry(50 + n, 3000 + n, login)]).remove(0);
        assert!(matches!(reply, Reply::SessionCreated { .. }), "{reply:?}");
    }
    let kept = crate::lookup::Lookup(&twin).sessions_of(&alice.id()).unwrap();
    assert_eq!(kept.len(), 64);
    let oldest = kept.iter().map(|session| session.created_unix_ms).min().unwrap();
    assert_eq!(oldest, 3036, "the oldest made room");
    crate::audit::audit(&twin).unwrap();
}

#[test]
fn only_so_many_devices_are_remembered_and_the_active_one_always() {
    let mut twin = Twin::new();
    let alice = Person::named("alice");
    play(&mut twin, &[entry(1, 1000, alice.register().encode())]);
    for n in 0..40_u64 {
        let login = alice.login(&format!("device {n}"), &n.to_string()).encode();
        play(&mut twin, &[entry(2 + n, 2000 + n, login)]);
    }
    let account = crate::lookup::Lookup(&twin).living(&alice.id()).unwrap().unwrap();
    let names: Vec<&str> = account.devices.iter().map(|device| device.name.as_str()).collect();
    assert_eq!(names.len(), 16);
    assert_eq!(names.last(), Some(&"device 39"));
    assert_eq!(account.active_device_id, Some(crate::tests::cast::device("device 39")));
}

#[test]
fn a_logout_may_be_repeated_and_the_last_one_leaves() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1
        until 160, ended 0
        > login alice phone a2 for=90
        until 190, ended 0
        > logout alice a1
        done
        > show alice
        alice Online p2 seen 100 s1 c1 aa sealed 7 devices [phone] active phone at []
        > logout alice a2
        done
        > show alice
        alice Offline p3 seen 100 s1 c1 aa sealed 7 devices [phone] active none at []
        > logout alice a2
        done
        > revoke alice a2
        done
        > sessions alice
        phone c1 until 160 LoggedOut
        phone c1 until 190 LoggedOut
        > counts
        1 accounts, 0 online, 2 sessions
        ",
    );
}

#[test]
fn nobody_ends_the_sessions_of_others() {
    play_script(
        "
        > register alice
        registered
        > register bob
        registered
        > login alice phone a1
        until 160, ended 0
        > login bob phone b1
        until 160, ended 0
        > logout bob a1
        UnknownSession: the account has no such session
        > revoke bob a1
        UnknownSession: the account has no such session
        > revoke-others bob a1
        UnknownSession: the account has no such session
        > logout carol a1
        UnknownAccount: there is no such account
        > logout alice a7
        UnknownSession: the account has no such session
        > sessions alice
        phone c1 until 160 live
        ",
    );
}

#[test]
fn revoking_the_others_leaves_the_session_that_asks() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1
        until 160, ended 0
        > login alice phone a2 for=70
        until 170, ended 0
        > login alice phone a3 for=80
        until 180, ended 0
        > revoke alice a1
        done
        > revoke-others alice a1
        UnknownSession: the account has no such session
        > revoke-others alice a3
        done
        > sessions alice
        phone c1 until 160 Revoked
        phone c1 until 170 Revoked
        phone c1 until 180 live
        > show alice
        alice Online p3 seen 100 s1 c1 aa sealed 7 devices [phone] active phone at []
        ",
    );
}

#[test]
fn sessions_expire_by_log_time_and_are_then_forgotten() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1 for=10
        until 110, ended 0
        > at 109
        > address alice phone a1 seq=2
        done
        > at 110
        > address alice phone a1 seq=3
        UnknownSession: there is no such live session
        > sessions alice
        > logout alice a1
        UnknownSession: the account has no such session
        > counts
        1 accounts, 1 online, 0 sessions
        ",
    );
}

#[test]
fn an_address_is_announced_by_a_live_session_of_its_device() {
    play_script(
        "
        > address alice phone a1
        UnknownAccount: there is no such account
        > register alice
        registered
        > address alice phone a1
        UnknownSession: there is no such live session
        > login alice phone a1
        until 160, ended 0
        > at 130
        > address alice phone a1 at=[::2]:443
        done
        > show alice
        alice Online p2 seen 130 s2 c1 aa sealed 7 devices [phone] active phone at [[::2]:443]
        > address alice phone a1
        StaleSequence: the statement's sequence is not above the last one
        > address alice laptop a1 seq=3
        BadStatement: the address is of another device than the session's
        > address alice phone a1 seq=3 at=10.0.0.1
        BadStatement: an address is ip:port
        > address alice phone a1 seq=3 times=9
        BadStatement: an account has at most 8 addresses
        > address alice phone a1 seq=3 tamper
        BadStatement: signature does not verify
        > address alice phone a1 seq=3 abroad
        BadStatement: statement was signed for another cluster
        > address alice phone a1 seq=3 key=mallory
        BadStatement: signature does not verify
        > address alice phone a1 seq=3 otherkind
        BadStatement: statement is of kind 4, expected 2
        > address alice phone a1 seq=3 short
        BadStatement: an account id has 32 bytes
        > register bob
        registered
        > login bob phone b1
        until 190, ended 0
        > address alice phone b1 seq=3
        UnknownSession: there is no such live session
        > address alice phone a1 seq=7 at=
        done
        > show alice
        alice Online p3 seen 130 s7 c1 aa sealed 7 devices [phone] active phone at []
        ",
    );
}

#[test]
fn presence_is_changed_by_the_leader_of_the_term_alone() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1
        until 160, ended 0
        > term 2
        > presence alice:offline:1:100
        StaleTerm: presence was decided by a leader of another term
        > presence alice:offline:1:100 of-term=3
        StaleTerm: presence was decided by a leader of another term
        > presence alice:offline:1:100 of-term=2
        1 made, 0 not
        > online
        > show alice
        alice Offline p2 seen 100 s1 c1 aa sealed 7 devices [phone] active phone at []
        ",
    );
}

#[test]
fn presence_that_something_overtook_is_not_changed() {
    play_script(
        "
        > register alice
        registered
        > register bob
        registered
        > login alice phone a1
        until 160, ended 0
        > login bob phone b1
        until 160, ended 0
        > login bob phone b2
        until 160, ended 0
        > presence alice:offline:1:90 bob:offline:1:90 carol:offline:0:90
        1 made, 2 not
        > online
        bob
        > at 105
        > presence alice:online:1:104 alice:online:2:103 alice:offline:2:104
        1 made, 2 not
        > show alice
        alice Online p3 seen 103 s1 c1 aa sealed 7 devices [phone] active phone at []
        > presence alice:online:3:999999
        1 made, 0 not
        > show alice
        alice Online p3 seen 105 s1 c1 aa sealed 7 devices [phone] active phone at []
        > presence alice:online:3:1
        1 made, 0 not
        > show alice
        alice Online p3 seen 105 s1 c1 aa sealed 7 devices [phone] active phone at []
        > logout alice a1
        done
        > presence alice:online:3:105
        0 made, 1 not
        > presence nobody
        0 made, 0 not
        ",
    );
}

#[test]
fn a_new_password_ends_every_session_but_the_one_that_asks() {
    play_script(
        "
        > password alice a1
        UnknownAccount: there is no such account
        > register alice
        registered
        > login alice phone a1
        until 160, ended 0
        > login alice phone a2 for=70
        until 170, ended 0
        > password alice a1 hash=bad
        Malformed: the password's hash is not bcrypt's
        > password alice a9
        UnknownSession: there is no such live session
        > password alice a1 tamper
        BadStatement: signature does not verify
        > password alice a1 seq=1
        StaleSequence: the statement's sequence is not above the last one
        > password alice a1 cred=2
        StaleCredential: the password was changed meanwhile
        > password alice a1 sealed=1025
        BadStatement: a sealed key has at most 1,024 bytes
        > password alice a1 sent=1025
        BadStatement: a sealed key has at most 1,024 bytes
        > password alice a1 sent=8
        BadStatement: the sealed keys are not those that were signed
        > password alice a1 swapped
        BadStatement: the sealed keys are not those that were signed
        > password alice a1 nohash
        BadStatement: the sealed keys are not those that were signed
        > password alice a1 seq=3
        done
        > password alice a1 seq=3
        StaleSequence: the statement's sequence is not above the last one
        > show alice
        alice Online p2 seen 100 s3 c2 bb sealed 9 devices [phone] active phone at []
        > sessions alice
        phone c2 until 160 live
        phone c1 until 170 PasswordChanged
        > login alice phone a3
        StaleCredential: the password was changed meanwhile
        > login alice phone a3 cred=2
        until 160, ended 0
        ",
    );
}

#[test]
fn a_deleted_account_is_forgotten_but_for_its_name_and_key() {
    play_script(
        "
        > register alice
        registered
        > login alice phone a1 at=10.0.0.1:9
        until 160, ended 0
        > delete alice seq=2
        StaleSequence: the statement's sequence is not above the last one
        > delete alice name=bob
        BadStatement: the statement names another username
        > delete alice abroad
        BadStatement: statement was signed for another cluster
        > delete bob
        UnknownAccount: there is no such account
        > delete alice
        done
        > show alice
        nobody
        > sessions alice
        > online
        > counts
        0 accounts, 0 online, 0 sessions
        > delete alice seq=10
        UnknownAccount: there is no such account
        > register alice
        UsernameRetired: the username is not given out again
        > register alice key=mallory
        UsernameRetired: the username is not given out again
        > register alice name=alicia
        KeyInUse: the key belongs to another username
        > login alice phone a1
        UnknownAccount: there is no such account
        > presence alice:online:1:100
        0 made, 1 not
        ",
    );
    let mut twin = Twin::new();
    play(&mut twin, &crate::tests::cast::entries(&village()));
    let carol = Person::named("carol");
    let key = carol.public_key();
    let leaves_the_key = |value: &Vec<u8>| value.windows(32).any(|part| part == key.as_bytes());
    assert!(!twin.values().any(leaves_the_key));
}

#[test]
fn what_is_no_command_is_refused_and_nothing_else() {
    play_script(
        "
        > bytes ff
        Malformed: not a command: it does not decode
        > bytes 9a0600
        Malformed: not a command: it is empty
        > bytes 0a00
        Malformed: not a command: the statement is missing
        > bytes 1a00
        Malformed: not a command: an account id has 32 bytes
        > bytes 2a0412020800
        Malformed: not a command: it does not decode
        > bytes 2a0412021000
        Malformed: not a command: somebody neither came nor went
        > counts
        0 accounts, 0 online, 0 sessions
        ",
    );
}

#[test]
fn no_bytes_make_a_replica_panic() {
    let mut twin = Twin::new();
    play(&mut twin, &crate::tests::cast::entries(&village()));
    let seeds: Vec<Bytes> = village().iter().map(crate::command::Command::encode).collect();
    for seed in 0..3000 {
        let mut dice = Dice(seed);
        let mut bytes = dice.pick(&seeds).to_vec();
        if dice.once_in(4) {
            bytes = (0..dice.below(80)).map(|_| dice.roll() as u8).collect();
        }
        for _ in 0..dice.below(4) {
            let at = dice.below(bytes.len().max(1));
            match dice.below(3) {
                0 => bytes.truncate(at),
                1 => bytes.insert(at.min(bytes.len()), dice.roll() as u8),
                _ if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
                _ => {}
            }
        }
        play(&mut twin, &[entry(100 + seed, 20_000 + seed, bytes.into())]);
        if seed % 100 == 0 {
            crate::audit::audit(&twin).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}

#[test]
fn a_command_of_a_later_version_stops_the_replica() {
    let twin = Twin::new();
    let mut newer = entry(1, 1000, Person::named("alice").register().encode());
    newer.version = 2;
    let outcome = apply(&newer, &CLUSTER, &mut Directory::new(&twin));
    assert!(matches!(outcome, Err(StoreError::NewerCommand { found: 2, known: 1 })));
}

#[test]
fn more_transitions_than_allowed_are_refused_together() {
    let transition = crate::command::Transition {
        account_id: Person::named("alice").id(),
        online: true,
        presence_version: 0,
        last_seen_unix_ms: 0,
    };
    for (count, fits) in [(4096, true), (4097, false)] {
        let transitions = vec![transition.clone(); count];
        let command = crate::command::Command::ChangePresence { term: 1, transitions };
        let reply = play(&mut Twin::new(), &[entry(1, 1000, command.encode())]).remove(0);
        assert_eq!(matches!(reply, Reply::PresenceChanged { .. }), fits, "{reply:?}");
    }
}

#[test]
fn a_crowd_of_expired_sessions_is_swept_a_few_at_a_time() {
    let mut twin = Twin::new();
    let people: Vec<Person> = (0..5).map(|n| Person::named(&format!("person{n}"))).collect();
    let mut index = 0;
    let mut run = |twin: &mut Twin, at: u64, payload: Bytes| {
        index += 1;
        play(twin, &[entry(index, at, payload)]).remove(0)
    };
    for person in &people {
        run(&mut twin, 1000, person.register().encode());
        for n in 0..8 {
            let login = person.login("phone", &format!("{} {n}", person.name));
            assert!(matches!(run(&mut twin, 1000, login.encode()), Reply::SessionCreated { .. }));
        }
    }
    let left = |twin: &Twin| crate::lookup::Lookup(twin).counts().unwrap().sessions;
    assert_eq!(left(&twin), 40);
    for expected in [24, 8, 0, 0] {
        run(&mut twin, 61_000, Bytes::new());
        assert_eq!(left(&twin), expected);
    }
}
