//! The socket by which other commands reach the process that holds the profile.
//!
//! One request and one answer per connection, each a line of JSON. Whoever can open the socket is
//! the profile's owner: it lies in a directory that nobody else can enter, and is closed to others
//! itself.

use crate::{
    client::Client,
    error::ClientError,
    profile::Profile,
    request::{Answer, Request, perform},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Most bytes of a request: the longest message, escaped, fits several times.
const MAX_REQUEST_BYTES: u64 = 256 << 10;
/// Most bytes of an answer: a thousand of the longest messages.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// Commands served at a time; more wait in the socket's own queue.
const MAX_CONNECTIONS: usize = 32;
/// How long a command may take to say what it wants.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the program waits for commands under way.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// What travels back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Response {
    Ok(Answer),
    Err(Failure),
}

/// A command's failure, as the process that tried it describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) exit_code: u8,
    pub(crate) message: String,
}

/// The listening side.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Control {
    /// Listens in the profile's directory, which the caller holds: a socket found there is a dead
    /// one. Fails when the path is too long for a socket (107 bytes on Linux).
    pub(crate) fn bind(client: Client, directory: &Path) -> io::Result<Self> {
        let path = Profile::socket_of(directory);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(serve(listener, client, stop.clone(), tasks.clone()));
        Ok(Self { path, stop, tasks })
    }

    /// Stops listening. Commands under way get [`LAST_WAIT`] to be answered: one of them may wait
    /// for somebody to read a message.
    pub(crate) async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(LAST_WAIT, self.tasks.wait()).await.is_err() {
            tracing::debug!("a command was still waiting");
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

/// Whether a process answers for whoever holds the profile. A socket may outlive its process.
pub(crate) async fn is_served(directory: &Path) -> bool {
    UnixStream::connect(Profile::socket_of(directory)).await.is_ok()
}

async fn serve(
    listener: UnixListener,
    client: Client,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let (client, stop) = (client.clone(), stop.clone());
                tasks.spawn(async move {
                    if let Err(error) = answer(stream, &client, &stop).await {
                        tracing::debug!(%error, "a command went away");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the control socket does not accept");
                return;
            }
        }
    }
}

async fn accept(
    listener: &UnixListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, permit))
}

/// One request, one answer.
async fn answer(stream: UnixStream, client: &Client, stop: &CancellationToken) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = Vec::new();
    let mut limited = BufReader::new(reading.take(MAX_REQUEST_BYTES));
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        read = tokio::time::timeout(READ_TIMEOUT, limited.read_until(b'\n', &mut line)) => {
            read??;
        }
    }
    let response = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => match perform(client, request).await {
            Ok(answer) => Response::Ok(answer),
            Err(error) => Response::Err(Failure::from(&error)),
        },
        Err(error) => Response::Err(Failure {
            exit_code: 2,
            message: format!("not a request of this version: {error}"),
        }),
    };
    let mut json = serde_json::to_vec(&response).map_err(io::Error::other)?;
    json.push(b'\n');
    writing.write_all(&json).await?;
    writing.shutdown().await
}

/// Asks the process that holds the profile in `directory`. Fails when none listens there.
pub(crate) async fn ask(
    directory: &Path,
    request: &Request,
) -> io::Result<Result<Answer, Failure>> {
    let stream = UnixStream::connect(Profile::socket_of(directory)).await?;
    let (reading, mut writing) = stream.into_split();
    let mut json = zeroize::Zeroizing::new(serde_json::to_vec(request).map_err(io::Error::other)?);
    json.push(b'\n');
    writing.write_all(&json).await?;
    let mut line = Vec::new();
    BufReader::new(reading.take(MAX_ANSWER_BYTES)).read_until(b'\n', &mut line).await?;
    match serde_json::from_slice(&line).map_err(io::Error::other)? {
        Response::Ok(answer) => Ok(Ok(answer)),
        Response::Err(failure) => Ok(Err(failure)),
    }
}

impl From<&ClientError> for Failure {
    fn from(error: &ClientError) -> Self {
        Self { exit_code: error.exit_code(), message: crate::error::chain(error) }
    }
}
