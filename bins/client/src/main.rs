//! `telegraph`: register, log in, send, read, stay online.

use std::{process::ExitCode, time::Duration};
use telegraph_client::program;

/// How long a thread that still blocks (a name service that does not answer) may hold up the end.
const LAST_WAIT: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(Box::pin(program::run()));
    runtime.shutdown_timeout(LAST_WAIT);
    code
}
