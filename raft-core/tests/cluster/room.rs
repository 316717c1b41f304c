//! Small file systems of their own for the members' data, which can be filled up.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use raft_core::{Config, NodeId};

use super::harness::Cluster;

pub(crate) const MIB: u64 = 1 << 20;

/// A formed cluster, each member with 32 MiB of its own; `None` where mounting is not permitted.
pub(crate) async fn cramped(
    adjust: impl Fn(&mut Config) + Send + Sync + 'static,
) -> Option<(Vec<Room>, Cluster)> {
    let mut cluster = Cluster::prepare(3, adjust).await;
    let rooms: Option<Vec<Room>> =
        (1..=3).map(|id| Room::mount(&cluster.data_dir(id), 32 * MIB)).collect();
    let rooms = rooms?;
    cluster.start_all().await;
    cluster.node(1).bootstrap().await.unwrap();
    cluster.leader().await;
    Some((rooms, cluster))
}

/// A member's.
pub(crate) fn room(rooms: &[Room], id: NodeId) -> &Room {
    &rooms[id as usize - 1]
}

/// A mounted file system in memory; unmounted when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    path: PathBuf,
}

impl Room {
    /// Mounts one of so many bytes. `None`, loudly, where this process may not.
    #[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
    pub(crate) fn mount(path: &Path, bytes: u64) -> Option<Room> {
        fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "tmpfs"])
            .arg(path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Room { path: path.to_owned() }),
            refused => {
                eprintln!(
                    "SKIPPED: mounting is not permitted here, nothing is tested: {refused:?}"
                );
                None
            }
        }
    }

    /// Takes room until only about so many bytes are left.
    pub(crate) fn fill(&self, left_bytes: u64) {
        let mut ballast =
            fs::File::options().create(true).append(true).open(self.ballast()).unwrap();
        while let Some(more) = self.free_bytes().checked_sub(left_bytes).filter(|more| *more > 0) {
            let block = vec![1; more.min(1 << 20) as usize];
            if ballast.write_all(&block).is_err() {
                break;
            }
        }
    }

    /// Gives the room back.
    pub(crate) fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        let found = rustix::fs::statvfs(&self.path).unwrap();
        found.f_bavail * found.f_frsize
    }

    fn ballast(&self) -> PathBuf {
        self.path.join("ballast")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}
