//! Logins, the sessions they begin, and how those end.

use super::*;

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
