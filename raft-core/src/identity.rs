//! Who this node is: made once with its data directory, and kept there.
//!
//! ```text
//! DATA/lock       locked while a node uses the directory
//! DATA/identity   cluster id, node id, incarnation
//! DATA/peers      the incarnation under which each member was first met
//! DATA/log/       the write-ahead log
//! DATA/snapshots/ snapshots, finished and half received
//! ```
//!
//! Both text files end with a checksum line, and are replaced whole: written aside, synced,
//! renamed, directory synced.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::config::Config;
use crate::error::{StartError, Stranger};
use crate::member::{NodeId, cluster_id};

/// Makes the data directory and the node's identity in it, unless they are there, and returns the
/// id of the cluster the node belongs to: that of its first start, whatever `members` says now.
///
/// For what must know the cluster before [`Node::start`](crate::Node::start). Fails when the
/// configuration cannot work, and when the directory is in use or another node's.
pub fn prepare_data_dir(config: &Config) -> Result<[u8; 16], StartError> {
    config.validate()?;
    Ok(DataDir::open(config)?.identity.cluster_id)
}

/// What a node is, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The cluster it belongs to.
    pub(crate) cluster_id: [u8; 16],
    /// Its number there.
    pub(crate) node_id: NodeId,
    /// Random, made with the data directory: a wiped node is another one.
    pub(crate) incarnation: [u8; 16],
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
}

impl DataDir {
    /// Locks the directory and reads whose it is; makes both when they are not there.
    pub(crate) fn open(config: &Config) -> Result<DataDir, StartError> {
        let path = config.data_dir.clone();
        make_dir(&path).map_err(at(&path))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path).map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StartError::Locked { path }),
            Err(TryLockError::Error(source)) => {
                return Err(StartError::Io { path: lock_path, source });
            }
        }
        let file = path.join("identity");
        let lines = read_lines(&file)?;
        let (identity, log_begun) = match &lines {
            Some(lines) => parse_identity(lines).ok_or_else(|| garbled(&file))?,
            None => (new_identity(config).map_err(at(&file))?, false),
        };
        if identity.node_id != config.node_id {
            return Err(StartError::Foreign {
                path,
                found: format!("node {}", identity.node_id),
                expected: format!("node {}", config.node_id),
            });
        }
        let directory = DataDir { path, _lock: lock, identity, log_begun };
        if lines.is_none() {
            directory.write_identity().map_err(at(&file))?;
        }
        Ok(directory)
    }

    /// Where the log lies. Fails when it was there once and is not any more: without its votes
    /// and entries the node is not what the others take it for.
    pub(crate) fn log_path(&self) -> Result<PathBuf, StartError> {
        let path = self.path.join("log");
        if self.log_begun && !path.is_dir() {
            let why = format!("{} is gone: the node must return under a new id", path.display());
            return Err(StartError::Damaged(why.into()));
        }
        Ok(path)
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

    /// The incarnations of the members met so far.
    pub(crate) fn pins(&self) -> Result<Pins, StartError> {
        let path = self.path.join("peers");
        let mut known = BTreeMap::new();
        for line in read_lines(&path)?.unwrap_or_default() {
            let pin = line
                .split_once(' ')
                .and_then(|(id, incarnation)| Some((id.parse().ok()?, read_id(incarnation)?)));
            let (id, incarnation) = pin.ok_or_else(|| garbled(&path))?;
            known.insert(id, incarnation);
        }
        Ok(Pins { path, known: Mutex::new(known) })
    }

    fn write_identity(&self) -> io::Result<()> {
        let Identity { cluster_id, node_id, incarnation } = self.identity;
        let lines = [
            format!("cluster {}", hex::encode(cluster_id)),
            format!("node {node_id}"),
            format!("incarnation {}", hex::encode(incarnation)),
            format!("log {}", if self.log_begun { "begun" } else { "none" }),
        ];
        write_lines(&self.path.join("identity"), &lines)
    }
}

/// The incarnation under which each member was first met. Another one under the same number has
/// lost or copied its data: what it promised to us it may not keep.
#[derive(Debug)]
pub(crate) struct Pins {
    path: PathBuf,
    known: Mutex<BTreeMap<NodeId, [u8; 16]>>,
}

impl Pins {
    /// The incarnation of a member, if it was ever met.
    pub(crate) fn get(&self, id: NodeId) -> Option<[u8; 16]> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).copied()
    }

    /// Compares an incarnation with the first one; the first one is made durable before it is
    /// believed, so this blocks, once for each member.
    pub(crate) fn check(&self, id: NodeId, incarnation: [u8; 16]) -> Result<(), Stranger> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(&id) {
            Some(first) if *first == incarnation => Ok(()),
            Some(_) => Err(Stranger::Incarnation(id)),
            None => {
                let mut grown = known.clone();
                grown.insert(id, incarnation);
                let lines: Vec<String> = grown
                    .iter()
                    .map(|(id, incarnation)| format!("{id} {}", hex::encode(incarnation)))
                    .collect();
                write_lines(&self.path, &lines).map_err(|error| {
                    tracing::error!(%error, "cannot remember a member's incarnation");
                    Stranger::Unremembered
                })?;
                *known = grown;
                Ok(())
            }
        }
    }
}

fn new_identity(config: &Config) -> io::Result<Identity> {
    let mut incarnation = [0; 16];
    getrandom::fill(&mut incarnation).map_err(io::Error::other)?;
    let cluster_id = cluster_id(&config.members);
    Ok(Identity { cluster_id, node_id: config.node_id, incarnation })
}

fn parse_identity(lines: &[String]) -> Option<(Identity, bool)> {
    let [cluster, node, incarnation, log] = lines else { return None };
    let identity = Identity {
        cluster_id: read_id(cluster.strip_prefix("cluster ")?)?,
        node_id: node.strip_prefix("node ")?.parse().ok()?,
        incarnation: read_id(incarnation.strip_prefix("incarnation ")?)?,
    };
    Some((identity, log == "log begun"))
}

fn read_id(text: &str) -> Option<[u8; 16]> {
    hex::decode(text).ok()?.try_into().ok()
}

fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// The lines of a file without its last, which is a checksum of the others; `None` if the file is
/// not there.
fn read_lines(path: &Path) -> Result<Option<Vec<String>>, StartError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) if source.kind() == io::ErrorKind::InvalidData => return Err(garbled(path)),
        Err(source) => return Err(StartError::Io { path: path.to_owned(), source }),
    };
    let body = text.trim_end_matches('\n').rfind('\n').map_or(0, |end| end + 1);
    let (body, last) = text.split_at(body);
    if last.trim_end() != checksum_line(body) {
        return Err(garbled(path));
    }
    Ok(Some(body.lines().map(str::to_owned).collect()))
}

fn write_lines(path: &Path, lines: &[String]) -> io::Result<()> {
    let mut body = lines.join("\n");
    body.push('\n');
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(body.as_bytes())?;
    writeln!(file, "{}", checksum_line(&body))?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn checksum_line(body: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes()))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> StartError + use<> {
    let path = path.to_owned();
    move |source| StartError::Io { path, source }
}

fn garbled(path: &Path) -> StartError {
    StartError::Damaged(format!("{} is garbled", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_log_that_vanished_is_noticed() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        let mut directory = DataDir::open(&config).unwrap();
        fs::create_dir(directory.log_path().unwrap()).unwrap();
        directory.note_log_opened(true).unwrap();
        drop(directory);
        let directory = DataDir::open(&config).unwrap();
        fs::remove_dir(directory.log_path().unwrap()).unwrap();
        assert!(matches!(directory.log_path(), Err(StartError::Damaged(_))));
        let mut directory = directory;
        assert!(matches!(directory.note_log_opened(true), Err(StartError::Damaged(_))));
        assert!(directory.note_log_opened(false).is_ok());
    }

    #[test]
    fn garbled_files_are_refused_whatever_byte_differs() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        DataDir::open(&config).unwrap().pins().unwrap().check(2, [5; 16]).unwrap();
        for name in ["identity", "peers"] {
            let path = config.data_dir.join(name);
            let whole = fs::read(&path).unwrap();
            for place in 0..whole.len() - 1 {
                let mut flipped = whole.clone();
                flipped[place] ^= 0x81;
                fs::write(&path, flipped).unwrap();
                let opened = DataDir::open(&config).and_then(|directory| directory.pins());
                assert!(matches!(opened, Err(StartError::Damaged(_))), "{name}, byte {place}");
            }
            fs::write(&path, whole).unwrap();
        }
    }

    #[test]
    fn a_member_is_known_by_its_first_incarnation_also_after_a_restart() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        let pins = DataDir::open(&config).unwrap().pins().unwrap();
        assert_eq!(pins.get(2), None);
        assert_eq!(pins.check(2, [5; 16]), Ok(()));
        assert_eq!(pins.check(2, [5; 16]), Ok(()));
        assert_eq!(pins.check(2, [6; 16]), Err(Stranger::Incarnation(2)));
        let pins = DataDir::open(&config).unwrap().pins().unwrap();
        assert_eq!(pins.get(2), Some([5; 16]));
        assert_eq!(pins.check(2, [6; 16]), Err(Stranger::Incarnation(2)));
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

    /// Two members that were met, by number.
    const PEERS: &str = "2 05050505050505050505050505050505\n\
                         10 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a\n\
                         crc32c 19a71e11\n";

    const INCARNATION: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn a_change_of_what_a_data_directory_says_breaks_every_disk_written_so_far() {
        let keep = tempfile::tempdir().unwrap();
        let config = config(keep.path());
        let mut directory = DataDir::open(&config).unwrap();
        let log_path = directory.log_path().unwrap();
        fs::create_dir(&log_path).unwrap();
        directory.identity.incarnation = INCARNATION;
        for (log_begun, expected) in IDENTITIES {
            directory.log_begun = log_begun;
            directory.write_identity().unwrap();
            let written = fs::read_to_string(config.data_dir.join("identity")).unwrap();
            assert_eq!(written, expected);
        }
        let pins = directory.pins().unwrap();
        pins.check(10, [10; 16]).unwrap();
        pins.check(2, [5; 16]).unwrap();
        assert_eq!(fs::read_to_string(config.data_dir.join("peers")).unwrap(), PEERS);
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
            let pins = directory.pins().unwrap();
            let known = pins.known.lock().unwrap().clone();
            assert_eq!(known, BTreeMap::from([(2, [5; 16]), (10, [10; 16])]));
        }
    }
}
