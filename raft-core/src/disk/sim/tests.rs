use super::*;

fn path() -> &'static Path {
    Path::new("d/file")
}

fn dir() -> &'static Path {
    Path::new("d")
}

#[test]
fn a_power_loss_takes_what_was_not_synced() {
    let disk = SimDisk::new(1);
    let file = disk.create(path()).unwrap();
    disk.sync_dir(dir()).unwrap();
    file.write_at(b"safe", 0).unwrap();
    file.sync_data().unwrap();
    file.write_at(b"gone", 4).unwrap();
    assert_eq!(disk.bytes(path()).unwrap(), b"safegone");
    disk.crash(Crash::PowerNothing);
    assert_eq!(disk.bytes(path()).unwrap(), b"safe");
    assert!(file.write_at(b"x", 0).is_err(), "a handle of the former life is dead");
}

#[test]
fn a_file_without_directory_sync_vanishes_and_a_removed_one_returns() {
    let disk = SimDisk::new(1);
    disk.create(path()).unwrap().sync_data().unwrap();
    disk.crash(Crash::PowerNothing);
    assert!(disk.paths().is_empty());
    disk.create(path()).unwrap();
    disk.sync_dir(dir()).unwrap();
    disk.remove(path()).unwrap();
    disk.crash(Crash::PowerNothing);
    assert_eq!(disk.paths(), [path()]);
}

#[test]
fn a_failed_sync_loses_the_data_though_the_next_one_succeeds() {
    let disk = SimDisk::new(1);
    let file = disk.create(path()).unwrap();
    disk.sync_dir(dir()).unwrap();
    file.write_at(b"data", 0).unwrap();
    disk.fail_after(0, Fault::Io);
    assert!(file.sync_data().is_err());
    file.sync_data().unwrap();
    assert_eq!(disk.bytes(path()).unwrap(), b"data");
    disk.crash(Crash::PowerNothing);
    assert_eq!(disk.bytes(path()).unwrap(), b"");
}

#[test]
fn a_full_disk_takes_a_part_and_says_so() {
    let disk = SimDisk::new(1);
    let file = disk.create(path()).unwrap();
    disk.set_capacity(6);
    file.write_at(b"abcd", 0).unwrap();
    let error = file.write_at(b"efgh", 4).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.bytes(path()).unwrap(), b"abcdef");
    file.write_at(b"xy", 0).unwrap();
}

#[test]
fn a_torn_write_leaves_old_new_or_zero_sectors_and_nothing_else() {
    let mut kinds = [false; 3];
    for seed in 0..64 {
        let disk = SimDisk::new(seed);
        let file = disk.create(path()).unwrap();
        disk.sync_dir(dir()).unwrap();
        file.write_at(&[1; 700], 0).unwrap();
        file.sync_data().unwrap();
        file.write_at(&[2; 2000], 700).unwrap();
        disk.crash(Crash::PowerTorn);
        let left = disk.bytes(path()).unwrap();
        assert!(left[..700].iter().all(|byte| *byte == 1), "seed {seed}: synced bytes changed");
        kinds[0] |= left.len() < 2700;
        kinds[1] |= left[700..].contains(&0);
        kinds[2] |= left.len() == 2700 && !left[700..].contains(&0);
        assert!(left[700..].iter().all(|byte| *byte == 0 || *byte == 2), "seed {seed}");
    }
    assert_eq!(kinds, [true; 3], "short, holed and whole tails all occur");
}

#[test]
fn after_power_off_nothing_works_until_the_crash_is_over() {
    let disk = SimDisk::new(1);
    let file = disk.create(path()).unwrap();
    disk.fail_after(1, Fault::PowerOff);
    file.write_at(b"a", 0).unwrap();
    assert!(file.write_at(b"b", 1).is_err());
    assert!(disk.open(path()).is_err());
    disk.crash(Crash::Process);
    assert_eq!(disk.bytes(path()).unwrap(), b"ab");
    assert!(disk.open(path()).is_ok());
}

#[test]
fn the_survivors_of_a_power_loss_are_all_there_are_and_each_of_them_once() {
    let disk = SimDisk::new(1);
    let file = disk.create(path()).unwrap();
    disk.sync_dir(dir()).unwrap();
    file.write_at(&[1; 500], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.survivors(1000, 1).len(), 1, "nothing is unsynced");
    // Of the first sector twelve bytes, of the second twenty.
    file.write_at(&[2; 32], 500).unwrap();
    let left = disk.survivors(1000, 1);
    let contents: Vec<Vec<u8>> = left.iter().map(|disk| disk.bytes(path()).unwrap()).collect();
    let mut different = contents.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), contents.len());
    let with = |length: usize, first: u8, second: u8| {
        let mut bytes = vec![1; 500];
        bytes.resize(512.min(length), first);
        bytes.resize(length, second);
        bytes
    };
    for length in [500, 501, 512, 516, 531, 532] {
        for (first, second) in [(0, 0), (0, 2), (2, 0), (2, 2)] {
            assert!(contents.contains(&with(length, first, second)), "{length} {first} {second}");
        }
    }
    assert_eq!(contents.len(), 1 + 2 + 2 + 4 + 4 + 4);
    disk.create(Path::new("d/other")).unwrap();
    assert_eq!(disk.survivors(1000, 1).len(), 2 * contents.len());
    disk.remove(path()).unwrap();
    // The name of the first file may be gone: then nothing of its content matters.
    assert_eq!(disk.survivors(1000, 1).len(), 2 * contents.len() + 2);
    assert_eq!(disk.survivors(9, 1).len(), 9);
}
