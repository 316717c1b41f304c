//! What a node stands on: everything that lies on disk, opened before consensus begins.

use std::sync::Arc;

use crate::config::Config;
use crate::credentials::Credentials;
use crate::disk::Disk;
use crate::environment::Environment;
use crate::error::StartError;
use crate::event::Event;
use crate::identity::DataDir;
use crate::identity::pins::Start;
use crate::identity::signing_key::SigningKey;
use crate::log_opener::OpenedLog;
use crate::log_store::LogStore;
use crate::node::disk_start;
use crate::observer::Observer;
use crate::random::RandomSource;
use crate::snapshot::directory::SnapshotDir;

/// What is there before consensus.
pub(crate) struct Ground {
    /// Whose it is, and what it has noted.
    pub(crate) directory: DataDir,
    /// This start of it.
    pub(crate) start: Start,
    /// What it signs with.
    pub(crate) signing_key: SigningKey,
    /// The log, open.
    pub(crate) log: Arc<dyn LogStore>,
    /// The snapshots.
    pub(crate) snapshots: SnapshotDir,
    /// What it shows to others; `None` without TLS.
    pub(crate) credentials: Option<Credentials>,
    /// Where its parts leave what they see.
    pub(crate) observer: Observer,
    /// The disk.
    pub(crate) disk: Arc<dyn Disk>,
    /// What names its sessions.
    pub(crate) random: Arc<dyn RandomSource>,
}

impl Ground {
    /// Opens everything that lies on disk. Blocks. Fails as a start does.
    pub(crate) fn prepare(
        config: &Config,
        environment: &Environment,
    ) -> Result<Ground, StartError> {
        let credentials = config.tls.as_ref().map(Credentials::new).transpose()?;
        let observer = Observer::default();
        let disk = environment.disk.as_ref();
        disk_start::make_room(config, disk, &observer)?;
        let mut directory = DataDir::open_with(config, environment.random.as_ref())?;
        let start = directory.note_start(environment.random.as_ref())?;
        let signing_key = directory.signing_key(environment.random.as_ref())?;
        disk_start::check(config, disk, &observer);
        let path = directory.log_path();
        directory.check_log(environment.logs.exists(&path))?;
        let OpenedLog { log, created, cut_bytes } =
            environment.logs.open(&path, config.segment_bytes)?;
        if cut_bytes > 0 {
            observer.meters.tail_cut_bytes.set(cut_bytes);
            observer.events.tell(Event::LogTailCut { bytes: cut_bytes });
        }
        directory.note_log_opened(created)?;
        let path = directory.snapshots_path();
        let snapshots =
            SnapshotDir::open(&path).map_err(|source| StartError::Io { path, source })?;
        let snapshots = snapshots.with_random(Arc::clone(&environment.random));
        Ok(Ground {
            directory,
            start,
            signing_key,
            log,
            snapshots,
            credentials,
            observer,
            disk: Arc::clone(&environment.disk),
            random: Arc::clone(&environment.random),
        })
    }
}
