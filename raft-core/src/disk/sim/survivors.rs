//! Everything a power loss may leave of a disk, one state after the other (as in "Finding
//! Crash-Consistency Bugs with Bounded Black-Box Crash Testing", OSDI'18).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::disk::sim::SimDisk;
use crate::disk::sim::inode::Inode;
use crate::disk::sim::random::Random;
use crate::disk::sim::state::lock_state;

/// Most sectors of unsynced writes of which every subset is tried; of more, subsets are drawn.
const SECTORS_MAX: usize = 6;

/// Subsets drawn where there are too many, besides nothing and everything.
const DRAWN_SUBSETS: usize = 48;

impl SimDisk {
    /// Every disk that a power loss may leave now: any of the unsynced names, any of the unsynced
    /// sectors, and of a file that grew the old length, the new one, and those between that make a
    /// difference. Without duplicates; `most` of them, drawn at random, if there are more.
    pub(crate) fn survivors(&self, most: usize, seed: u64) -> Vec<SimDisk> {
        let mut random = Random::new(seed);
        let state = self.state();
        let mut names = vec![state.durable_names.clone()];
        let paths: BTreeSet<&PathBuf> =
            state.names.keys().chain(state.durable_names.keys()).collect();
        for path in paths {
            let (now, durable) = (state.names.get(path), state.durable_names.get(path));
            if now == durable {
                continue;
            }
            for mut changed in names.clone() {
                match now {
                    Some(id) => changed.insert(path.clone(), *id),
                    None => changed.remove(path),
                };
                names.push(changed);
            }
        }
        let mut left: Vec<(BTreeMap<PathBuf, u64>, BTreeMap<u64, Inode>)> = Vec::new();
        for names in names {
            let mut contents = vec![BTreeMap::new()];
            let ids: BTreeSet<u64> = names.values().copied().collect();
            for (id, inode) in state.inodes.iter().filter(|(id, _)| ids.contains(id)) {
                let possible = inode.survivors(&mut random);
                contents = contents
                    .into_iter()
                    .flat_map(|others: BTreeMap<u64, Inode>| {
                        possible.iter().map(move |one| {
                            let mut all = others.clone();
                            all.insert(*id, Inode::durable(one.clone()));
                            all
                        })
                    })
                    .collect();
            }
            left.extend(contents.into_iter().map(|contents| (names.clone(), contents)));
        }
        while left.len() > most {
            left.swap_remove(random.below(left.len() as u64) as usize);
        }
        let next_id = state.next_id;
        drop(state);
        let disks = left.into_iter().map(|(names, inodes)| {
            let disk = SimDisk::new(seed);
            let mut state = lock_state(&disk.shared);
            state.inodes = inodes;
            state.durable_names = names.clone();
            state.names = names;
            state.next_id = next_id;
            drop(state);
            disk
        });
        disks.collect()
    }
}

/// Subsets of `count` things, as masks: all, or some drawn.
pub(super) fn subsets(count: usize, random: &mut Random) -> Vec<u64> {
    if count <= SECTORS_MAX {
        return (0..1 << count).collect();
    }
    let all = if count >= 64 { u64::MAX } else { (1 << count) - 1 };
    let mut masks = vec![0, all];
    masks.extend((0..DRAWN_SUBSETS).map(|_| random.number() & all));
    masks
}
