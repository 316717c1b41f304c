//! Generates the wire types with protox: no protoc on the machine that builds.

use prost::Message as _;
use std::{env, error::Error, fs, path::PathBuf};

const FILES: [(&str, &str); 3] = [
    ("CARGO_FEATURE_RAFT", "telegraph/raft.proto"),
    ("CARGO_FEATURE_IDENTITY", "telegraph/identity.proto"),
    ("CARGO_FEATURE_PEER", "telegraph/peer.proto"),
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let wanted: Vec<&str> = FILES
        .iter()
        .filter(|(feature, _)| env::var_os(feature).is_some())
        .map(|(_, file)| *file)
        .collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(&wanted)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), compiler.encode_file_descriptor_set())?;
    let descriptors = compiler.file_descriptor_set();
    debug_assert!(descriptors.encoded_len() > 0);
    tonic_prost_build::configure()
        // Entries and chunks are shared, not copied, on their way from the socket to the log.
        .bytes(".telegraph.raft.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
