//! Who this node is: made once with its data directory, and kept there.
//!
//! ```text
//! DATA/lock        locked while a node uses the directory
//! DATA/identity    cluster id, node id, incarnation, starts, lineage
//! DATA/signing-key what the node signs with (`identity/signing_key.rs`)
//! DATA/promise     the cluster it has promised to form (`assembly/promise.rs`), if any
//! DATA/seen        the cluster it has seen before it belonged to any (`assembly/promise.rs`)
//! DATA/peers       as whom each member was met (`identity/pins.rs`)
//! DATA/log/        the write-ahead log
//! DATA/snapshots/  snapshots, finished and half received
//! DATA/reserve     room for a start on a full disk
//! ```
//!
//! The text files end with a checksum line, and are replaced whole (`identity/lines.rs`).

pub(crate) mod adoption;
pub(crate) mod cluster_line;
pub(crate) mod lineage;
pub(crate) mod lines;
pub(crate) mod pins;
pub(crate) mod place;
pub(crate) mod signing_key;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::error::StartError;
use crate::identity::cluster_line::{NO_CLUSTER, cluster_line, read_cluster};
use crate::identity::lineage::{Lineage, lineage_line, read_lineage};
use crate::identity::lines::{garbled, read_id, read_lines, write_lines};
use crate::identity::pins::{Pins, Start};
use crate::identity::place::make_dir;
use crate::identity::signing_key::SigningKey;
use crate::member::{NodeId, cluster_id};
use crate::random::{RandomSource, SystemRandom};

/// Makes the data directory and the node's identity in it, unless they are there, and returns the
/// lineage id of the cluster the node belongs to ([`Node::lineage_id`](crate::Node::lineage_id)),
/// as far as it is known: that of its first start, whatever `members` says now. It is all zeros for
/// a node that is to find its cluster itself and has not yet. A node that joins a restored cluster
/// learns the lineage id from its members, later:
/// [`belongs_to`](crate::OnDiskStateMachine::belongs_to) tells the state machine in time.
///
/// For what must know the id before [`Node::start`](crate::Node::start). Fails when the
/// configuration cannot work, and when the directory is in use or another node's.
pub fn prepare_data_dir(config: &Config) -> Result<[u8; 16], StartError> {
    config.validate()?;
    Ok(DataDir::open(config)?.identity.lineage_id())
}

/// What a node is, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster it belongs to; [`NO_CLUSTER`] before it belongs to one.
    pub(crate) cluster_id: [u8; 16],
    /// Its number there.
    pub(crate) node_id: NodeId,
    /// Random, made with the data directory: a wiped node is another one.
    pub(crate) incarnation: [u8; 16],
    /// The cluster whose history its cluster's continues; `None`: its own, as far as is known.
    pub(crate) restored: Option<[u8; 16]>,
}

impl Identity {
    /// The cluster in which the history began that the node's cluster continues.
    pub(crate) fn lineage_id(&self) -> [u8; 16] {
        self.restored.unwrap_or(self.cluster_id)
    }
}

/// A data directory in use; dropping it gives it free.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    /// Held, not read.
    _lock: File,
    /// Whose directory it is.
    pub(crate) identity: Identity,
    log_begun: bool,
    /// How often a node was started from it; 0 before the first time.
    start_number: u64,
}

impl DataDir {
    /// Locks the directory and reads whose it is; makes both when they are not there.
    pub(crate) fn open(config: &Config) -> Result<DataDir, StartError> {
        DataDir::open_with(config, &SystemRandom)
    }

    /// The same, with the incarnation of a new identity from `random`.
    pub(crate) fn open_with(
        config: &Config,
        random: &dyn RandomSource,
    ) -> Result<DataDir, StartError> {
        let path = config.data_dir.clone();
        let lock = take(&path)?;
        let file = path.join("identity");
        let lines = read_lines(&file)?;
        let (identity, log_begun, start_number) = match &lines {
            Some(lines) => parse_identity(lines).ok_or_else(|| garbled(&file))?,
            None => (new_identity(config, random).map_err(at(&file))?, false, 0),
        };
        if config.assembly.is_none() && identity.node_id != config.node_id {
            return Err(StartError::Foreign {
                path,
                found: format!("node {}", identity.node_id),
                expected: format!("node {}", config.node_id),
            });
        }
        if let Some(expected) = config.cluster_id.filter(|id| *id != identity.cluster_id) {
            return Err(StartError::Foreign {
                path,
                found: cluster_line(identity.cluster_id),
                expected: cluster_line(expected),
            });
        }
        let directory = DataDir { path, _lock: lock, identity, log_begun, start_number };
        if lines.is_none() {
            directory.write_identity().map_err(at(&file))?;
        }
        Ok(directory)
    }

    /// Makes a directory for a node of that identity, made elsewhere, and locks it. Its log is said
    /// to be begun: no node starts from it before there is one.
    pub(crate) fn create(path: &Path, identity: Identity) -> Result<DataDir, StartError> {
        let lock = take(path)?;
        let directory = DataDir {
            path: path.to_owned(),
            _lock: lock,
            identity,
            log_begun: true,
            start_number: 0,
        };
        directory.write_identity().map_err(at(&path.join("identity")))?;
        Ok(directory)
    }

    /// Counts one more start of the node, durably, and gives it a name of its own: whoever meets
    /// two of the same number, or a lower one than before, has met a copy of the directory.
    pub(crate) fn note_start(&mut self, random: &dyn RandomSource) -> Result<Start, StartError> {
        let file = self.path.join("identity");
        let mut nonce = [0; 16];
        random.fill(&mut nonce).map_err(at(&file))?;
        self.start_number = self.start_number.saturating_add(1);
        self.write_identity().map_err(at(&file))?;
        Ok(Start { number: self.start_number, nonce })
    }

    /// The key this node signs with; made when it is not there.
    pub(crate) fn signing_key(&self, random: &dyn RandomSource) -> Result<SigningKey, StartError> {
        SigningKey::open(&self.path.join("signing-key"), random)
    }

    /// Where the log lies.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Fails when the log was there once and `exists` not any more: without its votes and entries
    /// the node is not what the others take it for.
    pub(crate) fn check_log(&self, exists: bool) -> Result<(), StartError> {
        if self.log_begun && !exists {
            let path = self.log_path();
            let why = format!("{} is gone: the node must return under a new id", path.display());
            return Err(StartError::Damaged(why.into()));
        }
        Ok(())
    }

    /// Notes that the log was opened, hence must be there from now on. Fails when it was made anew
    /// although it had been there before.
    pub(crate) fn note_log_opened(&mut self, created: bool) -> Result<(), StartError> {
        if self.log_begun && created {
            return Err(StartError::Damaged("the log is empty, and was not before".into()));
        }
        if !self.log_begun {
            self.log_begun = true;
            self.write_identity().map_err(at(&self.path.join("identity")))?;
        }
        Ok(())
    }

    /// Where snapshots lie.
    pub(crate) fn snapshots_path(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// The members met so far.
    pub(crate) fn pins(&self) -> Result<Pins, StartError> {
        Pins::open(self.path.join("peers"))
    }

    /// Whose history the node's is.
    pub(crate) fn lineage(&self) -> Lineage {
        Lineage::new(&self.path, self.identity.restored)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn write_identity(&self) -> io::Result<()> {
        let Identity { cluster_id, node_id, incarnation, restored } = self.identity;
        let mut lines = vec![
            cluster_line(cluster_id),
            format!("node {node_id}"),
            format!("incarnation {}", hex::encode(incarnation)),
            format!("log {}", if self.log_begun { "begun" } else { "none" }),
        ];
        if self.start_number > 0 {
            lines.push(format!("started {}", self.start_number));
        }
        lines.extend(restored.map(lineage_line));
        write_lines(&self.path.join("identity"), &lines)
    }
}

/// Whose directory this is, and whether its log was begun; `None` before its first start. Changes
/// nothing, and may be called while a node uses the directory.
pub(crate) fn read_identity(data_dir: &Path) -> Result<Option<(Identity, bool)>, StartError> {
    let file = data_dir.join("identity");
    let Some(lines) = read_lines(&file)? else { return Ok(None) };
    let (identity, log_begun, _) = parse_identity(&lines).ok_or_else(|| garbled(&file))?;
    Ok(Some((identity, log_begun)))
}

/// Makes the directory if need be, and locks it.
fn take(path: &Path) -> Result<File, StartError> {
    make_dir(path).map_err(at(path))?;
    let lock_path = path.join("lock");
    let lock = File::create(&lock_path).map_err(at(&lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(StartError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StartError::Io { path: lock_path, source }),
    }
}

fn new_identity(config: &Config, random: &dyn RandomSource) -> io::Result<Identity> {
    let mut incarnation = [0; 16];
    random.fill(&mut incarnation)?;
    if config.assembly.is_some() {
        let node_id = random_id(random)?;
        return Ok(Identity { cluster_id: NO_CLUSTER, node_id, incarnation, restored: None });
    }
    let cluster_id = config.cluster_id.unwrap_or_else(|| cluster_id(&config.members));
    Ok(Identity { cluster_id, node_id: config.node_id, incarnation, restored: None })
}

/// A number that no other node has: 64 random bits, but not 0.
fn random_id(random: &dyn RandomSource) -> io::Result<NodeId> {
    let mut id = [0; 8];
    while id == [0; 8] {
        random.fill(&mut id)?;
    }
    Ok(NodeId::from_be_bytes(id))
}

/// Whose directory it is, whether its log was begun, and how often a node was started from it. The
/// last two lines are optional: the starts where they were never counted, the lineage where the
/// cluster was not restored.
fn parse_identity(lines: &[String]) -> Option<(Identity, bool, u64)> {
    let [cluster, node, incarnation, log, rest @ ..] = lines else { return None };
    let (started, rest) = match rest {
        [started, rest @ ..] if started.starts_with("started ") => {
            (started.strip_prefix("started ")?.parse().ok()?, rest)
        }
        rest => (0, rest),
    };
    let restored = match rest {
        [] => None,
        [lineage] => Some(read_lineage(lineage)?),
        _ => return None,
    };
    let identity = Identity {
        cluster_id: read_cluster(cluster.strip_prefix("cluster ")?)?,
        node_id: node.strip_prefix("node ")?.parse().ok()?,
        incarnation: read_id(incarnation.strip_prefix("incarnation ")?)?,
        restored,
    };
    Some((identity, log == "log begun", started))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StartError + use<> {
    let path = path.to_owned();
    move |source| StartError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::assembly::settings::Assembly;
    use crate::identity::adoption::adopt_cluster;
    use crate::identity::pins::Met;
    use crate::member::Member;

    fn config(path: &Path) -> Config {
        let member = |id| Member { id, address: format!("m{id}:1"), ..Member::default() };
        Config {
            node_id: 1,
            data_dir: path.join("data"),
            members: vec![member(1), member(2)],
            allow_plaintext: true,
            ..Config::default()
        }
    }

    #[test]
    fn an_identity_is_made_once_and_kept_though_the_members_change() {
        let keep = tempfile::tempdir().unwrap();
        let mut config = config(keep.path());
        let cluster = prepare_data_dir(&config).unwrap();
        let first = DataDir::open(&config).unwrap().identity;
        assert_eq!(first.cluster_id, cluster);
        config.members[1].address = "elsewhere:1".into();
        assert_eq!(DataDir::open(&config).unwrap().identity, first);
    }

    #[test]
    fn one_node_at_a_time_uses_a_directory_and_only_its_own() {
        let keep = tempfile::tempdir().unwrap();
        let mut config = config(keep.path());
        let held = DataDir::open(&config).unwrap();
        assert!(matches!(DataDir::open(&config), Err(StartError::Locked { .. })));
        drop(held);
        config.node_id = 2;
        assert!(matches!(DataDir::open(&config), Err(StartError::Foreign { .. })));
    }

    #[test]
    fn a_configured_cluster_is_that_of_the_directory_or_nothing_starts() {
        let keep = tempfile::tempdir().unwrap();
        let mut config = config(keep.path());
        config.cluster_id = Some([7; 16]);
        assert_eq!(DataDir::open(&config).unwrap().identity.cluster_id, [7; 16]);
        assert_eq!(DataDir::open(&config).unwrap().identity.cluster_id, [7; 16]);
        config.cluster_id = Some([8; 16]);
        assert!(matches!(DataDir::open(&config), Err(StartError::Foreign { .. })));
        config.cluster_id = None;
        assert_eq!(DataDir::open(&config).unwrap().identity.cluster_id, [7; 16]);
    }

    #[test]
    fn a_node_that_finds_its_cluster_itself_makes_its_number_and_adopts_one_cluster() {
        let keep = tempfile::tempdir().unwrap();
        let mut config = config(keep.path());
        config.node_id = 0;
        config.members.clear();
        config.assembly = Some(Assembly {
            name: "a".into(),
            address: "a:1".into(),
            bootstrap_expect: 3,
            ..Assembly::default()
        });
        assert_eq!(prepare_data_dir(&config).unwrap(), NO_CLUSTER);
        let first = DataDir::open(&config).unwrap().identity;
        assert!(first.node_id != 0 && first.cluster_id == NO_CLUSTER);
        assert_eq!(DataDir::open(&config).unwrap().identity, first);
        adopt_cluster(&config.data_dir, [7; 16]).unwrap();
        adopt_cluster(&config.data_dir, [7; 16]).unwrap();
        adopt_cluster(&config.data_dir, [8; 16]).unwrap_err();
        let adopted = Identity { cluster_id: [7; 16], ..first };
        assert_eq!(DataDir::open(&config).unwrap().identity, adopted);
        fs::remove_dir_all(&config.data_dir).unwrap();
        assert_ne!(DataDir::open(&config).unwrap().identity.node_id, first.node_id);
    }

    #[test]
    fn a_log_that_vanished_is_noticed() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        let mut directory = DataDir::open(&config).unwrap();
        directory.check_log(false).unwrap();
        directory.note_log_opened(true).unwrap();
        drop(directory);
        let mut directory = DataDir::open(&config).unwrap();
        directory.check_log(true).unwrap();
        assert!(matches!(directory.check_log(false), Err(StartError::Damaged(_))));
        assert!(matches!(directory.note_log_opened(true), Err(StartError::Damaged(_))));
        assert!(directory.note_log_opened(false).is_ok());
    }

    #[test]
    fn garbled_files_are_refused_whatever_byte_differs() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        DataDir::open(&config).unwrap().pins().unwrap().check(2, met(5)).unwrap();
        let mut directory = DataDir::open(&config).unwrap();
        directory.note_start(&SystemRandom).unwrap();
        directory.signing_key(&SystemRandom).unwrap();
        drop(directory);
        for name in ["identity", "peers", "signing-key"] {
            let path = config.data_dir.join(name);
            let whole = fs::read(&path).unwrap();
            for place in 0..whole.len() - 1 {
                let mut flipped = whole.clone();
                flipped[place] ^= 0x81;
                fs::write(&path, flipped).unwrap();
                let opened = DataDir::open(&config).and_then(|directory| {
                    directory.signing_key(&SystemRandom)?;
                    directory.pins()
                });
                assert!(matches!(opened, Err(StartError::Damaged(_))), "{name}, byte {place}");
            }
            fs::write(&path, whole).unwrap();
        }
    }

    fn met(incarnation: u8) -> Met {
        Met { incarnation: [incarnation; 16], start: None }
    }

    #[test]
    fn starts_are_counted_and_no_two_are_the_same() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        let starts = [1, 2, 3].map(|number| {
            let mut directory = DataDir::open(&config).unwrap();
            let start = directory.note_start(&SystemRandom).unwrap();
            assert_eq!(start.number, number);
            // What is written later keeps the count.
            directory.note_log_opened(number == 1).unwrap();
            start.nonce
        });
        assert!(starts[0] != starts[1] && starts[1] != starts[2]);
    }

    #[test]
    fn a_signing_key_is_made_once() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        let public = || {
            let directory = DataDir::open(&config).unwrap();
            directory.signing_key(&SystemRandom).unwrap().public()
        };
        let first = public();
        assert_eq!(public(), first);
        fs::remove_file(config.data_dir.join("signing-key")).unwrap();
        assert_ne!(public(), first);
    }

    /// What a node wrote before and after it opened its log for the first time.
    const IDENTITIES: [(bool, &str); 2] = [
        (
            false,
            "cluster e29fe65b096f2b8e29c558cfb9845d83\n\
             node 1\n\
             incarnation 000102030405060708090a0b0c0d0e0f\n\
             log none\n\
             crc32c 72ecc852\n",
        ),
        (
            true,
            "cluster e29fe65b096f2b8e29c558cfb9845d83\n\
             node 1\n\
             incarnation 000102030405060708090a0b0c0d0e0f\n\
             log begun\n\
             crc32c 7bf0362a\n",
        ),
    ];

    /// What it wrote since its starts are counted.
    const IDENTITY_STARTED: &str = "cluster e29fe65b096f2b8e29c558cfb9845d83\n\
                                    node 1\n\
                                    incarnation 000102030405060708090a0b0c0d0e0f\n\
                                    log begun\n\
                                    started 300\n\
                                    crc32c 3d0de167\n";

    /// What it writes in a cluster that was restored from a backup.
    const IDENTITY_RESTORED: &str = "cluster e29fe65b096f2b8e29c558cfb9845d83\n\
                                     node 1\n\
                                     incarnation 000102030405060708090a0b0c0d0e0f\n\
                                     log begun\n\
                                     started 300\n\
                                     lineage 0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c\n\
                                     crc32c d0b393ba\n";

    /// Two members that were met, by number.
    const PEERS: &str = "2 05050505050505050505050505050505\n\
                         10 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\n\
                         crc32c 19a71e11\n";

    /// The same since their starts are counted, but for one that does not count them.
    const PEERS_STARTED: &str = "2 05050505050505050505050505050505 300 \
                                 07070707070707070707070707070707\n\
         10 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\n\
         crc32c d5c930e0\n";

    const INCARNATION: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn a_change_of_what_a_data_directory_says_breaks_every_disk_written_so_far() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        let mut directory = DataDir::open(&config).unwrap();
        let log_path = directory.log_path();
        fs::create_dir(&log_path).unwrap();
        directory.identity.incarnation = INCARNATION;
        for (log_begun, expected) in IDENTITIES {
            directory.log_begun = log_begun;
            directory.write_identity().unwrap();
            let written = fs::read_to_string(config.data_dir.join("identity")).unwrap();
            assert_eq!(written, expected);
        }
        directory.start_number = 299;
        directory.note_start(&SystemRandom).unwrap();
        let written = fs::read_to_string(config.data_dir.join("identity")).unwrap();
        assert_eq!(written, IDENTITY_STARTED);
        directory.lineage().learn(&[12; 16]).unwrap();
        let written = fs::read_to_string(config.data_dir.join("identity")).unwrap();
        assert_eq!(written, IDENTITY_RESTORED);
        let (read, _) = read_identity(&config.data_dir).unwrap().unwrap();
        assert_eq!((read.restored, read.lineage_id()), (Some([12; 16]), [12; 16]));
        directory.identity = read;
        directory.write_identity().unwrap();
        let written = fs::read_to_string(config.data_dir.join("identity")).unwrap();
        assert_eq!(written, IDENTITY_RESTORED);
        let pins = directory.pins().unwrap();
        pins.check(10, met(10)).unwrap();
        pins.check(2, met(5)).unwrap();
        assert_eq!(fs::read_to_string(config.data_dir.join("peers")).unwrap(), PEERS);
        let start = Some(Start { number: 300, nonce: [7; 16] });
        pins.check(2, Met { start, ..met(5) }).unwrap();
        assert_eq!(fs::read_to_string(config.data_dir.join("peers")).unwrap(), PEERS_STARTED);
        let mut names: Vec<_> = fs::read_dir(&config.data_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["identity", "lock", "log", "peers"]);
        assert_eq!(log_path, config.data_dir.join("log"));
        assert_eq!(directory.snapshots_path(), config.data_dir.join("snapshots"));
    }

    #[test]
    fn a_change_of_how_a_data_directory_is_read_breaks_every_disk_written_so_far() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        fs::create_dir(&config.data_dir).unwrap();
        fs::write(config.data_dir.join("peers"), PEERS).unwrap();
        for (log_begun, text) in IDENTITIES {
            fs::write(config.data_dir.join("identity"), text).unwrap();
            let directory = DataDir::open(&config).unwrap();
            let cluster_id = hex::decode("e29fe65b096f2b8e29c558cfb9845d83").unwrap();
            assert_eq!(directory.identity.cluster_id, *cluster_id);
            assert_eq!(directory.identity.node_id, 1);
            assert_eq!(directory.identity.incarnation, INCARNATION);
            assert_eq!(directory.log_begun, log_begun);
            assert_eq!(directory.start_number, 0);
            let pins = directory.pins().unwrap();
            assert_eq!(pins.all(), BTreeMap::from([(2, met(5)), (10, met(10))]));
        }
        fs::write(config.data_dir.join("identity"), IDENTITY_STARTED).unwrap();
        fs::write(config.data_dir.join("peers"), PEERS_STARTED).unwrap();
        let directory = DataDir::open(&config).unwrap();
        assert_eq!((directory.identity.incarnation, directory.log_begun), (INCARNATION, true));
        assert_eq!(directory.start_number, 300);
        let start = Some(Start { number: 300, nonce: [7; 16] });
        let known = BTreeMap::from([(2, Met { start, ..met(5) }), (10, met(10))]);
        assert_eq!(directory.pins().unwrap().all(), known);
    }
}
