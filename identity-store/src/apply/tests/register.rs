//! Names, keys and their registration.

use super::*;

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
