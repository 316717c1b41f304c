//! Where somebody is, and who may say so.

use super::*;

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
