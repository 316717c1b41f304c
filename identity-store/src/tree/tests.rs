use super::*;
use std::collections::BTreeMap;

fn change(key: &[u8], value: &[u8]) -> Changes {
    BTreeMap::from([(key.to_vec(), Some(value.to_vec()))])
}

#[test]
fn what_was_committed_is_there_when_it_is_opened_again_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..100_u8 {
        let tree = Tree::open(dir.path()).unwrap();
        assert_eq!(tree.range(&Range::of(2), 99).unwrap().len(), usize::from(n));
        tree.commit(change(&[2, n], b"kept")).unwrap();
        tree.flush().unwrap();
    }
}

#[test]
fn a_successor_is_seen_by_nobody_before_it_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    tree.commit(change(&[2], b"old")).unwrap();
    let mut abandoned = tree.successor().unwrap();
    abandoned.write(change(&[3], b"abandoned")).unwrap();
    drop(abandoned);
    let mut successor = tree.successor().unwrap();
    assert_eq!(successor.get(&[3]).unwrap(), None);
    successor.write(change(&[2], b"new")).unwrap();
    assert_eq!(tree.get(&[2]).unwrap().unwrap(), b"old");
    tree.succeed(successor).unwrap();
    assert_eq!(tree.get(&[2]).unwrap().unwrap(), b"new");
    drop(tree);
    assert_eq!(Tree::open(dir.path()).unwrap().get(&[2]).unwrap().unwrap(), b"new");
}

#[test]
fn a_replacement_that_was_interrupted_leaves_the_old_state_and_no_remains() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.commit(change(&[2], b"old")).unwrap();
    tree.successor().unwrap().write(change(&[2], b"new")).unwrap();
    tree.flush().unwrap();
    assert_eq!(tree.db.tree_names().len(), 3);
    drop(tree);
    let tree = Tree::open(dir.path()).unwrap();
    assert_eq!(tree.get(&[2]).unwrap().unwrap(), b"old");
    assert_eq!(tree.db.tree_names().len(), 2);
}

#[test]
fn many_replacements_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    for n in 0..30_u8 {
        let mut successor = tree.successor().unwrap();
        let crowd = (0..500_u16).map(|k| (k.to_be_bytes().to_vec(), Some(vec![n; 100])));
        successor.write(crowd.collect()).unwrap();
        tree.succeed(successor).unwrap();
    }
    assert_eq!(tree.db.tree_names().len(), 2);
    assert_eq!(tree.generation, 30);
    // 30 generations of 50 KiB; segments of 512 KiB are given free once nothing in them is used.
    let size = tree.db.size_on_disk().unwrap();
    assert!(size < 8 << 20, "{size} bytes");
}

#[test]
fn a_write_that_was_lost_on_its_own_is_noticed() {
    use crate::checksum::verify;
    let dir = tempfile::tempdir().unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    tree.commit(change(&[2], b"first")).unwrap();
    tree.commit(change(&[3], b"second")).unwrap();
    tree.commit(change(&[2], b"third")).unwrap();
    verify(&tree).unwrap();
    write(&tree.state, change(&[2], b"first")).unwrap();
    assert!(matches!(verify(&tree), Err(StoreError::Damaged(_))));
    write(&tree.state, change(&[2], b"third")).unwrap();
    verify(&tree).unwrap();
}

#[test]
fn a_directory_whose_contents_are_not_recognised_is_damaged_and_not_empty() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("db"), [0xaa; 5000]).unwrap();
    assert!(matches!(Tree::open(dir.path()), Err(StoreError::Damaged(_))));
}
