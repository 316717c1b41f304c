//! A small replicated key-value service over HTTP, with its state on disk.
//!
//! Three members, each a process; every one of them serves reads and writes:
//!
//! ```text
//! cargo build -p raft-core --example kv_service
//! kv=target/debug/examples/kv_service
//! members=1=127.0.0.1:7001,2=127.0.0.1:7002,3=127.0.0.1:7003
//! $kv --id 1 --data kv/1 --http 127.0.0.1:8001 --members $members --plaintext &
//! $kv --id 2 --data kv/2 --http 127.0.0.1:8002 --members $members --plaintext &
//! $kv --id 3 --data kv/3 --http 127.0.0.1:8003 --members $members --plaintext &
//!
//! curl -i -X PUT -d green 127.0.0.1:8001/kv/colour      # 201; durable on two disks at least
//! curl -i 127.0.0.1:8002/kv/colour                      # linearizable, on any member
//! curl -i '127.0.0.1:8003/kv/colour?max_age_ms=1000'    # at most a second old
//! curl -i '127.0.0.1:8003/kv/colour?local=true'         # what this member has, asking nobody
//! curl 127.0.0.1:8001/status                            # who leads, how far the log is
//! ```
//!
//! Kill a member, the leader best of all; the others go on, and it catches up when it is back:
//!
//! ```text
//! kill -9 %1
//! curl -i -X PUT -d blue 127.0.0.1:8002/kv/colour
//! $kv --id 1 --data kv/1 --http 127.0.0.1:8001 --members $members --plaintext &
//! curl -i 127.0.0.1:8001/kv/colour
//! ```
//!
//! Let a fourth member join; the leader takes it in, so say it to the one that `status` names:
//!
//! ```text
//! cluster=$(curl -s 127.0.0.1:8001/status | sed 's/.*"cluster":"\([0-9a-f]*\)".*/\1/')
//! $kv --id 4 --data kv/4 --http 127.0.0.1:8004 --members $members,4=127.0.0.1:7004 \
//!     --join $cluster --plaintext &
//! curl -i -X PUT -d 127.0.0.1:7004 127.0.0.1:8002/members/4   # 204; or 421, and who leads
//! curl -i 127.0.0.1:8004/kv/colour
//! ```
//!
//! A change whose answer was lost is said again without harm under the same `Idempotency-Key`:
//!
//! ```text
//! curl -i -X DELETE -H 'Idempotency-Key: 1' 127.0.0.1:8001/kv/colour   # 204: it was there
//! curl -i -X DELETE -H 'Idempotency-Key: 1' 127.0.0.1:8002/kv/colour   # 204, and not 404
//! ```
//!
//! Every member must be up once before the cluster is formed; afterwards two of three suffice. In
//! earnest give `--ca`, `--cert`, `--key` and `--server-name` in place of `--plaintext`.
//!
//! The files: `change.rs` is what is replicated, `store.rs` the state machine, `recent.rs` what it
//! has not written yet, `http.rs` the service's face, `settings.rs` its flags.

#![allow(clippy::print_stdout, reason = "what it listens at is its output")]

mod kv_service {
    pub(crate) mod change;
    pub(crate) mod http;
    pub(crate) mod recent;
    pub(crate) mod settings;
    pub(crate) mod store;
}

use std::env;

use anyhow::Context as _;
use clap::Parser as _;
use mimalloc::MiMalloc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use kv_service::http::{Service, routes};
use kv_service::settings::Settings;
use kv_service::store::Store;

/// What one thread receives another lets go, and the system's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = env::var("RUST_LOG").unwrap_or_else(|_| "error,raft_core=info".to_owned());
    let filter: Targets = filter.parse().context("RUST_LOG")?;
    let written = fmt::layer().with_writer(std::io::stderr);
    tracing_subscriber::registry().with(written).with(filter).init();
    let settings = Settings::parse();
    let builder = settings.node()?;
    let (store, reader) = Store::open(&settings.store()?).context("the store")?;
    let node = builder.start_on_disk(store).await?;

    // Before anybody is told that it serves.
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(settings.http).await.context("--http")?;
    println!("serving http://{}", listener.local_addr()?);
    let service = Service { node: node.clone(), reader };
    let server = tokio::spawn(axum::serve(listener, routes(service)).into_future());
    // Waits for all members if there is no cluster yet; goes on at once if there is. Ends when the
    // node does.
    let running = async {
        node.bootstrap().await?;
        Err::<(), _>(anyhow::Error::from(node.stopped().await))
    };

    tokio::select! {
        failed = running => return failed,
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
    }
    node.shutdown().await?;
    server.abort();
    Ok(())
}
