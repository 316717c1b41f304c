//! What a node does as the members change: it knows and reaches the new ones, and lets go of
//! whoever left.

use std::sync::Arc;

use crate::channels::Channels;
use crate::engine::Engine;
use crate::event::{Event, Events};
use crate::life::Life;
use crate::member::Member;
use crate::members::{MemberRecord, Members};
use crate::roster::Roster;

/// Keeps the roster and the connections in step with the membership, and tells of its changes,
/// until the engine stops.
pub(crate) fn follow(
    engine: &Engine,
    roster: &Arc<Roster>,
    channels: &Channels,
    events: &Events,
    life: &Life,
) {
    let (engine, roster) = (engine.clone(), Arc::clone(roster));
    let (channels, events) = (channels.clone(), events.clone());
    life.spawn(async move {
        let mut last = Members::default();
        loop {
            let stamp = engine.members_stamp();
            let members = engine.members();
            let (listed, removed) = engine.roll();
            if !listed.is_empty() {
                roster.follow(listed, &removed);
                channels.forget_strangers();
            }
            tell(&events, &last, &members);
            last = members;
            if engine.members_changed(stamp).await.is_err() {
                return;
            }
        }
    });
}

/// Tells of a membership once it is committed and nothing of it is under way.
fn tell(events: &Events, last: &Members, now: &Members) {
    let plain = |records: &[MemberRecord]| -> Vec<Member> {
        records.iter().map(|record| record.member.clone()).collect()
    };
    if now.changing || now.voters.is_empty() || (now.position == last.position && !last.changing) {
        return;
    }
    events
        .tell(Event::MembersChanged { voters: plain(&now.voters), learners: plain(&now.learners) });
}
