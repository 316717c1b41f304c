use super::*;
use crate::member::NodeId;

fn peer(id: NodeId, name: &str) -> Peer {
    Peer {
        name: name.into(),
        id,
        incarnation: [id as u8; 16],
        address: format!("{name}:1"),
        service_address: String::new(),
        readable_version: 1,
    }
}

/// Five nodes, called a to e.
fn five() -> Vec<Peer> {
    (1..).zip(["a", "b", "c", "d", "e"]).map(|(id, name)| peer(id, name)).collect()
}

fn own(peer: &Peer, expect: u32) -> Own {
    Own { peer: peer.clone(), expect, promise: None, seen: BTreeSet::new() }
}

fn promised(peer: &Peer, formation: &Formation) -> Own {
    let expect = formation.members().len() as u32;
    Own { promise: Some(formation.clone()), ..own(peer, expect) }
}

fn answer(peer: &Peer, expect: u32, standing: Standing) -> Heard {
    let at = peer.address.clone();
    Heard { peer: peer.clone(), at, is_copy: false, expect, standing }
}

/// Fresh nodes that all see each other.
fn fresh(peers: &[Peer], expect: u32) -> Vec<Heard> {
    let standing = Standing::Fresh { promised: None, seen: None, met: peers.to_vec() };
    peers.iter().map(|peer| answer(peer, expect, standing.clone())).collect()
}

fn that_promised(peer: &Peer, formation: &Formation) -> Heard {
    let promised = Some(formation.cluster_id());
    let met = formation.members().to_vec();
    answer(peer, formation.members().len() as u32, Standing::Fresh { promised, seen: None, met })
}

fn member(peer: &Peer, cluster: ClusterId, led: bool) -> Heard {
    answer(peer, 5, Standing::Member { cluster, led })
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn four_of_five_wait_and_say_whom_they_see() {
    let five = five();
    let decision = decide(&own(&five[0], 5), &fresh(&five[..4], 5));
    let seen = names(&["a", "b", "c", "d"]);
    assert_eq!(decision, Decision::Wait(Wait::More { seen, expect: 5 }));
}

#[test]
fn when_all_five_see_each_other_the_first_by_name_asks_and_the_others_wait_for_it() {
    let five = five();
    let heard = fresh(&five, 5);
    let Decision::Ask { formation, whom } = decide(&own(&five[0], 5), &heard) else { panic!() };
    assert_eq!(formation.members(), five);
    let asked: Vec<_> = whom.iter().map(|(peer, _)| peer.name.as_str()).collect();
    assert!(["b", "c", "d", "e"].iter().all(|name| asked.contains(name)));
    for other in &five[1..] {
        let decision = decide(&own(other, 5), &heard);
        assert_eq!(decision, Decision::Wait(Wait::Initiator("a".into())));
    }
}

#[test]
fn nobody_asks_while_a_name_service_shows_some_of_them_only_a_part() {
    let five = five();
    let mut heard = fresh(&five, 5);
    heard[3].standing = Standing::Fresh { promised: None, seen: None, met: five[1..].to_vec() };
    let decision = decide(&own(&five[0], 5), &heard);
    assert_eq!(decision, Decision::Wait(Wait::Agreement(names(&["d"]))));
}

#[test]
fn of_more_nodes_than_expected_the_first_by_name_form_the_cluster() {
    let five = five();
    let heard = fresh(&five, 3);
    let Decision::Ask { formation, .. } = decide(&own(&five[0], 3), &heard) else { panic!() };
    assert_eq!(formation.members(), &five[..3]);
    for surplus in &five[3..] {
        let decision = decide(&own(surplus, 3), &heard);
        assert_eq!(decision, Decision::Wait(Wait::Others(names(&["a", "b", "c"]))));
    }
    // One of the three sees three others: it would form another cluster, so nobody asks.
    let mut heard = heard;
    heard[1].standing = Standing::Fresh { promised: None, seen: None, met: five[1..].to_vec() };
    let decision = decide(&own(&five[0], 3), &heard);
    assert_eq!(decision, Decision::Wait(Wait::Agreement(names(&["b"]))));
}

#[test]
fn a_single_expected_node_forms_its_cluster_alone() {
    let alone = peer(1, "a");
    let Decision::Ask { formation, whom } = decide(&own(&alone, 1), &[]) else { panic!() };
    assert!(whom.is_empty());
    assert_eq!(decide(&promised(&alone, &formation), &[]), Decision::Form(formation));
}

#[test]
fn three_wiped_nodes_of_five_wait_for_the_two_that_remember() {
    let five = five();
    let cluster = [9; 16];
    let wiped: Vec<Peer> = (11..).zip(["a", "b", "c"]).map(|(id, name)| peer(id, name)).collect();
    // Seen: no quorum. Not seen: not enough.
    let mut heard = fresh(&wiped, 5);
    let seen = names(&["a", "b", "c"]);
    let decision = decide(&own(&wiped[0], 5), &heard);
    assert_eq!(decision, Decision::Wait(Wait::More { seen, expect: 5 }));
    heard.push(member(&five[3], cluster, false));
    assert_eq!(decide(&own(&wiped[0], 5), &heard), Decision::Wait(Wait::Leader(cluster)));
    // Also when there are five fresh nodes beside them.
    let mut more = fresh(&(11..=15).map(|id| peer(id, &format!("n{id}"))).collect::<Vec<_>>(), 5);
    more.push(member(&five[3], cluster, false));
    assert_eq!(decide(&own(&peer(11, "n11"), 5), &more), Decision::Wait(Wait::Leader(cluster)));
}

#[test]
fn a_cluster_that_was_seen_is_waited_for_though_it_does_not_answer_any_more() {
    let five = five();
    let heard = fresh(&five, 5);
    let mut own = own(&five[0], 5);
    own.seen.insert([9; 16]);
    assert_eq!(decide(&own, &heard), Decision::Wait(Wait::Return([9; 16])));
    // Not another one in its place.
    let mut other = heard.clone();
    other.push(member(&peer(11, "x"), [8; 16], true));
    let refusal = Refusal::Other { cluster: [8; 16], seen: [9; 16] };
    assert_eq!(decide(&own, &other), Decision::Refuse(refusal));
    let mut back = heard;
    back.push(member(&peer(12, "y"), [9; 16], true));
    let at = names(&["y:1"]);
    assert_eq!(decide(&own, &back), Decision::Join { cluster: [9; 16], at });
}

#[test]
fn who_hears_of_a_cluster_from_a_fresh_node_forms_none_beside_it() {
    let five = five();
    let mut heard = fresh(&five, 5);
    let met = five.clone();
    heard[3].standing = Standing::Fresh { promised: None, seen: Some([9; 16]), met };
    let wait = Wait::Sighted { cluster: [9; 16], by: names(&["d"]) };
    assert_eq!(decide(&own(&five[0], 5), &heard), Decision::Wait(wait));
    // One that has promised before it heard of it says what is in the way.
    let formation = Formation::new(five.clone()).unwrap();
    let refusal = Refusal::Foreign { cluster: [9; 16], promised: formation.cluster_id() };
    let decision = decide(&promised(&five[0], &formation), &heard);
    assert_eq!(decision, Decision::Refuse(refusal.clone()));
    // So does one that saw the cluster itself, though all the others have promised.
    let all: Vec<Heard> = five[1..].iter().map(|p| that_promised(p, &formation)).collect();
    let mut sees = promised(&five[0], &formation);
    sees.seen.insert([9; 16]);
    assert_eq!(decide(&sees, &all), Decision::Refuse(refusal));
}

#[test]
fn a_cluster_with_a_leader_is_joined() {
    let five = five();
    let mut heard = fresh(&five[..4], 5);
    heard.push(member(&peer(11, "x"), [9; 16], false));
    heard.push(member(&peer(12, "y"), [9; 16], true));
    let decision = decide(&own(&five[0], 5), &heard);
    let at = names(&["x:1", "y:1"]);
    assert_eq!(decision, Decision::Join { cluster: [9; 16], at });
}

#[test]
fn two_clusters_are_a_case_for_the_operator() {
    let heard = [member(&peer(11, "x"), [9; 16], true), member(&peer(12, "y"), [8; 16], true)];
    let decision = decide(&own(&peer(1, "a"), 5), &heard);
    let both = vec![[8; 16], [9; 16]];
    assert_eq!(decision, Decision::Refuse(Refusal::TwoClusters(both)));
}

#[test]
fn two_nodes_of_one_name_are_refused_by_everybody_who_sees_them() {
    let mut five = five();
    five[3].name = "b".into();
    for who in &five {
        let decision = decide(&own(who, 5), &fresh(&five, 5));
        assert_eq!(decision, Decision::Refuse(Refusal::Namesakes("b".into())));
    }
}

#[test]
fn a_node_that_expects_another_number_is_refused() {
    let five = five();
    let mut heard = fresh(&five, 5);
    heard[4].expect = 3;
    let decision = decide(&own(&five[0], 5), &heard);
    let refusal = Refusal::Expect { who: "e".into(), theirs: 3, ours: 5 };
    assert_eq!(decision, Decision::Refuse(refusal));
}

#[test]
fn a_node_with_our_number_is_a_clone() {
    let five = five();
    let clone = Peer { incarnation: [77; 16], ..five[0].clone() };
    let decision = decide(&own(&five[0], 5), &fresh(std::slice::from_ref(&clone), 5));
    assert_eq!(decision, Decision::Refuse(Refusal::Clone(clone)));
    // So is one with our data directory.
    let mut copy = fresh(&five[..1], 5);
    copy[0].is_copy = true;
    let decision = decide(&own(&five[0], 5), &copy);
    assert_eq!(decision, Decision::Refuse(Refusal::Clone(five[0].clone())));
}

#[test]
fn who_has_promised_asks_those_who_have_not_and_forms_when_all_have() {
    let five = five();
    let formation = Formation::new(five.clone()).unwrap();
    // Restarted between its promise and the others': it goes on where it was.
    let mut heard = fresh(&five[1..], 5);
    let Decision::Ask { whom, .. } = decide(&promised(&five[0], &formation), &heard) else {
        panic!()
    };
    assert_eq!(whom.len(), 4);
    for place in 0..4 {
        heard[place] = that_promised(&five[place + 1], &formation);
        let decision = decide(&promised(&five[0], &formation), &heard);
        match place {
            3 => assert_eq!(decision, Decision::Form(formation.clone())),
            _ => assert!(matches!(decision, Decision::Ask { whom, .. } if whom.len() == 3 - place)),
        }
    }
}

#[test]
fn when_the_initiator_dies_between_promises_and_forming_any_of_the_others_forms() {
    let five = five();
    let formation = Formation::new(five.clone()).unwrap();
    let heard: Vec<Heard> = five[1..].iter().map(|p| that_promised(p, &formation)).collect();
    for who in &five[1..] {
        let decision = decide(&promised(who, &formation), &heard);
        assert_eq!(decision, Decision::Form(formation.clone()));
    }
    // Also when it came back wiped: what it had promised still counts.
    let mut heard = heard;
    heard.extend(fresh(&[peer(11, "a")], 5));
    assert_eq!(decide(&promised(&five[1], &formation), &heard), Decision::Form(formation));
}

#[test]
fn an_initiator_that_is_seen_without_its_promise_is_asked_like_everybody_else() {
    // An operator released it there, and nowhere else.
    let five = five();
    let formation = Formation::new(five.clone()).unwrap();
    let mut heard: Vec<Heard> = five[2..].iter().map(|p| that_promised(p, &formation)).collect();
    heard.extend(fresh(&five[..1], 5));
    let Decision::Ask { whom, .. } = decide(&promised(&five[1], &formation), &heard) else {
        panic!()
    };
    assert_eq!(whom.iter().map(|(peer, _)| peer.id).collect::<Vec<_>>(), [1]);
}

#[test]
fn when_the_initiator_dies_amid_its_questions_another_one_asks_the_rest() {
    let five = five();
    let formation = Formation::new(five.clone()).unwrap();
    let mut heard = fresh(&five[2..], 5);
    let Decision::Ask { whom, .. } = decide(&promised(&five[1], &formation), &heard) else {
        panic!()
    };
    assert_eq!(whom.iter().map(|(peer, _)| peer.id).collect::<Vec<_>>(), [3, 4, 5]);
    heard.truncate(2);
    heard[0] = that_promised(&five[2], &formation);
    heard[1] = that_promised(&five[3], &formation);
    let decision = decide(&promised(&five[1], &formation), &heard);
    assert_eq!(decision, Decision::Wait(Wait::Promises(names(&["e"]))));
}

#[test]
fn a_promise_is_kept_though_other_nodes_are_seen() {
    let five = five();
    let formation = Formation::new(five[..3].to_vec()).unwrap();
    // d comes before c is back: no list of a, b and d is ever formed.
    let mut heard = vec![that_promised(&five[1], &formation)];
    heard.extend(fresh(&five[3..4], 3));
    let decision = decide(&promised(&five[0], &formation), &heard);
    assert_eq!(decision, Decision::Wait(Wait::Promises(names(&["c"]))));
}

#[test]
fn a_promise_to_a_node_that_lost_its_data_needs_an_operator() {
    let five = five();
    let formation = Formation::new(five[..3].to_vec()).unwrap();
    let mut heard = vec![that_promised(&five[1], &formation)];
    heard.extend(fresh(&[peer(13, "c")], 3));
    let decision = decide(&promised(&five[0], &formation), &heard);
    assert_eq!(decision, Decision::Refuse(Refusal::Lost(names(&["c"]))));
}

#[test]
fn a_member_that_promised_another_list_stands_in_the_way_of_ours() {
    let five = five();
    let ours = Formation::new(five[..3].to_vec()).unwrap();
    let theirs = Formation::new(five[2..].to_vec()).unwrap();
    let heard = [that_promised(&five[1], &ours), that_promised(&five[2], &theirs)];
    let decision = decide(&promised(&five[0], &ours), &heard);
    assert_eq!(decision, Decision::Refuse(Refusal::Lost(names(&["c"]))));
}

#[test]
fn a_node_without_a_promise_starts_none_beside_one_that_has() {
    let five = five();
    let formation = Formation::new(five[1..4].to_vec()).unwrap();
    let mut heard = fresh(&five, 3);
    heard[1] = that_promised(&five[1], &formation);
    let decision = decide(&own(&five[0], 3), &heard);
    assert_eq!(decision, Decision::Wait(Wait::Others(names(&["b"]))));
}

#[test]
fn a_promised_cluster_that_was_formed_is_ours_and_a_foreign_one_is_not() {
    let five = five();
    let formation = Formation::new(five.clone()).unwrap();
    let own = promised(&five[4], &formation);
    let formed = [member(&five[0], formation.cluster_id(), false)];
    assert_eq!(decide(&own, &formed), Decision::Form(formation.clone()));
    let foreign = [member(&peer(11, "x"), [9; 16], true)];
    let refusal = Refusal::Foreign { cluster: [9; 16], promised: formation.cluster_id() };
    assert_eq!(decide(&own, &foreign), Decision::Refuse(refusal));
}
