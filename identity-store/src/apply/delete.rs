//! The end of an account.

use crate::apply::context::Context;
use crate::apply::outcome::{Refusal, advance, named_by, refused};
use crate::directory::Directory;
use crate::reply::{Reason, Reply};
use telegraph_proto::identity::{DeleteBody, SignedStatement, StatementKind};
use telegraph_proto::statement;

/// Forgets everything of an account but that its name and its key are taken.
pub(super) fn delete(
    context: Context<'_>,
    directory: &mut Directory<'_>,
    statement: &SignedStatement,
) -> Result<Reply, Refusal> {
    let mut account = named_by(directory, statement)?;
    let kind = StatementKind::Delete;
    let body: DeleteBody =
        statement::verify(statement, context.cluster_id, kind, &account.public_key)?;
    if body.username != account.username.as_str() {
        return Err(refused(Reason::BadStatement, "the statement names another username"));
    }
    advance(&mut account, statement)?;
    directory.retire(&account, context.now_unix_ms)?;
    Ok(Reply::Done)
}
