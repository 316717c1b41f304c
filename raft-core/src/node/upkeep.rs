//! What a leader sees to of its own accord: that a change of the members which was begun is ended,
//! and that the membership says of each member what is true of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::engine::Engine;
use crate::life::Life;
use crate::members::Change;
use crate::roster::Roster;

/// Pause between two looks: short beside what it takes to notice that a node has moved.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Time for a correction to be committed; one that takes longer is tried again.
const CORRECTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks after the membership whenever this node leads, until it ends.
pub(crate) fn keep_up(engine: &Engine, roster: &Arc<Roster>, life: &Life) {
    let (engine, roster) = (engine.clone(), Arc::clone(roster));
    let us = roster.identity().node_id;
    life.spawn(async move {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if engine.leader() != Some(us) {
                continue;
            }
            if engine.finish_change().await {
                tracing::info!("a change of the members that was left half done is done");
            }
            correct(&engine, &roster).await;
        }
    });
}

/// Corrects what the membership says, all members at once.
async fn correct(engine: &Engine, roster: &Roster) {
    let corrections = roster.corrections();
    if corrections.is_empty() || engine.members().changing {
        return;
    }
    let ids: Vec<_> = corrections.iter().map(|record| record.member.id).collect();
    let deadline = Instant::now() + CORRECTION_TIMEOUT;
    match engine.change(Change::Update(corrections), deadline).await {
        Ok(position) => tracing::info!(?ids, %position, "what the members say of themselves"),
        Err(error) => tracing::debug!(?ids, %error, "the membership is corrected later"),
    }
}
