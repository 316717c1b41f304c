//! Who came and who went, as the leader of one term saw it.

use crate::apply::context::Context;
use crate::apply::outcome::{Refusal, refused};
use crate::command::Transition;
use crate::directory::Directory;
use crate::reply::{Reason, Reply};

/// Makes those transitions that nothing has overtaken. All of them are void when another leader
/// has taken over meanwhile: it grants everybody a lease of its own.
pub(super) fn change(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    term: u64,
    transitions: &[Transition],
) -> Result<Reply, Refusal> {
    if term != context.term {
        return Err(refused(Reason::StaleTerm, "presence was decided by a leader of another term"));
    }
    let (mut applied, mut refused): (u32, u32) = (0, 0);
    for transition in transitions {
        match one(context, directory, transition)? {
            true => applied = applied.saturating_add(1),
            false => refused = refused.saturating_add(1),
        }
    }
    Ok(Reply::PresenceChanged { applied, refused })
}

/// False when it came too late, or is nobody's.
fn one(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    transition: &Transition,
) -> Result<bool, Refusal> {
    let Some(mut account) = directory.look().living(&transition.account_id)? else {
        return Ok(false);
    };
    if account.presence_version != transition.presence_version {
        return Ok(false);
    }
    // A leader's clock that is ahead must not make somebody seen in the future.
    let seen_unix_ms = transition.last_seen_unix_ms.min(context.now_unix_ms);
    match (account.is_online(), transition.online) {
        (false, true) => account.come_online(seen_unix_ms),
        (true, false) => account.go_offline(),
        (true, true) | (false, false) => {}
    }
    account.seen(seen_unix_ms);
    directory.put_account(&account)?;
    Ok(true)
}
