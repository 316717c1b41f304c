//! Generates the client of etcd's service with protox: no protoc on the machine that builds.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .open_files(["etcd.proto"])?
        .file_descriptor_set();
    tonic_prost_build::configure()
        .build_server(false)
        // Values are shared, not copied, for they are shared on the other side of the comparison.
        .bytes(".etcdserverpb")
        .compile_fds(descriptors)?;
    Ok(())
}
