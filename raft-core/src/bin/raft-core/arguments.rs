//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use raft_core::Member;

/// Look into, back up and restore the files of a raft-core node that does not run.
///
/// Exit codes: 0 all is sound, 1 an error, 2 wrong arguments, 3 a file is damaged.
#[derive(Debug, Parser)]
#[command(name = "raft-core", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// Write each line as one JSON object.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// The write-ahead log of a node.
    #[command(subcommand)]
    Log(Log),
    /// The snapshots of a node, or a backup file.
    #[command(subcommand)]
    Snapshot(Snapshot),
    /// Tell whose data directory this is; also while its node runs.
    Identity {
        /// The data directory.
        dir: PathBuf,
    },
    /// Back up a stopped node: its newest sound snapshot and the entries behind it, in one file.
    Backup {
        /// The data directory.
        dir: PathBuf,
        /// The file to be made; it must not exist.
        file: PathBuf,
        /// Take the whole log, also entries this node does not know to be committed. What was
        /// acknowledged right before a crash may be among them, and what never was, too.
        #[arg(long)]
        whole_log: bool,
    },
    /// Make the data directory of a member of a new cluster from a backup. To be run once for each
    /// member, with the same file and the same members.
    Restore(RestoreArguments),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Show everything in it, as far as it can be read.
    Dump {
        /// The data directory, or the directory of the log in it.
        dir: PathBuf,
    },
    /// Check every byte of it that counts.
    Verify {
        /// The data directory, or the directory of the log in it.
        dir: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Snapshot {
    /// Show what each says of itself.
    Dump {
        /// A snapshot, a backup, a data directory, or a directory of snapshots.
        path: PathBuf,
    },
    /// Check every byte of each.
    Verify {
        /// A snapshot, a backup, a data directory, or a directory of snapshots.
        path: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// The backup.
    pub(crate) file: PathBuf,
    /// The directory to be made; empty, if it exists.
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// The number of the node it is for.
    #[arg(long)]
    pub(crate) node_id: u64,
    /// A member of the new cluster, as ID=HOST:PORT, or ID=HOST:PORT,service=ADDRESS,name=NAME.
    #[arg(long = "member", value_name = "ID=ADDRESS", required = true, value_parser = member)]
    pub(crate) members: Vec<Member>,
    /// To be counted up when this backup is restored once more after a cluster made from it has
    /// run, so that the two have different ids.
    #[arg(long, default_value_t = 0)]
    pub(crate) attempt: u64,
}

fn member(text: &str) -> Result<Member, String> {
    let (id, rest) = text.split_once('=').ok_or("expected ID=HOST:PORT")?;
    let id = id.parse().ok().filter(|id| *id != 0).ok_or("an id is a number from 1")?;
    let mut parts = rest.split(',');
    let address = parts.next().unwrap_or_default();
    let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if !has_port {
        return Err("an address is HOST:PORT".into());
    }
    let mut member = Member { id, address: address.into(), ..Member::default() };
    for part in parts {
        match part.split_once('=') {
            Some(("service", address)) => member.service_address = address.into(),
            Some(("name", name)) => member.name = name.into(),
            _ => return Err(format!("`{part}` is neither service=ADDRESS nor name=NAME")),
        }
    }
    Ok(member)
}
