//! What is compared with what.

use std::fmt;

/// What runs as three processes; the first is what the other is measured against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Debian's etcd.
    Etcd,
    /// raft-core's example.
    KvService,
}

/// What has figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Etcd,
    KvService,
    /// Three members of raft-core in this process, which count.
    Embedded,
    /// The same with a log that keeps nothing.
    EmbeddedMemory,
}

impl Program {
    /// Both, in the order in which they take turns.
    pub(crate) const BOTH: [Program; 2] = [Program::Etcd, Program::KvService];
}

impl System {
    /// All, in the order of tables.
    pub(crate) const ALL: [System; 4] =
        [System::Etcd, System::KvService, System::Embedded, System::EmbeddedMemory];

    /// Whose figures are divided by whose, where both were measured under one load.
    pub(crate) const RATIOS: [(System, System); 3] = [
        (System::KvService, System::Etcd),
        (System::Embedded, System::Etcd),
        (System::Embedded, System::EmbeddedMemory),
    ];

    /// As it is called in tables and files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            System::Etcd => "etcd",
            System::KvService => "kv_service",
            System::Embedded => "embedded",
            System::EmbeddedMemory => "embedded, memory log",
        }
    }
}

impl From<Program> for System {
    fn from(program: Program) -> System {
        match program {
            Program::Etcd => System::Etcd,
            Program::KvService => System::KvService,
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        System::from(*self).fmt(f)
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
