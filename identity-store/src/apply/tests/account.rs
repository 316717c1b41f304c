//! A new password, and the end of an account.

use super::*;

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
