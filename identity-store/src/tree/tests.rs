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

/// Changes of a few keys, and of `state` likewise.
fn move_on(
    dice: &mut crate::tests::cast::Dice,
    state: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    fill: u8,
) -> Changes {
    let changes: Changes = (0..1 + dice.below(6))
        .map(|_| {
            let key = vec![1 + dice.below(3) as u8, dice.below(40) as u8];
            let value = (!dice.once_in(3)).then(|| vec![fill; dice.below(5)]);
            (key, value)
        })
        .collect();
    for (key, value) in &changes {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
    changes
}

#[test]
fn a_moment_is_held_while_the_state_moves_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    let mut dice = crate::tests::cast::Dice(11);
    let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut on_disk = 0;
    for round in 0..60_u8 {
        // All of it on disk, some of it, none of it.
        tree.aside_bytes = [0, 1000, usize::MAX][usize::from(round) % 3];
        let number = tree.hold().unwrap();
        let at_the_moment = state.clone();
        let mut rest = Range { from: vec![1, dice.below(20) as u8], to: vec![3, 20] };
        loop {
            for _ in 0..dice.below(4) {
                tree.commit(move_on(&mut dice, &mut state, round)).unwrap();
            }
            let held = tree.held(number).unwrap();
            let limit = [1, 3, 17, 999][dice.below(4)];
            let expected = KeyValues::range(&at_the_moment, &rest, limit).unwrap();
            assert_eq!(held.range(&rest, limit).unwrap(), expected, "round {round}");
            match expected.last() {
                Some((last, _)) => rest = rest.after(last),
                None => break,
            }
        }
        let put_aside = tree.held(number).unwrap().put_aside.len();
        assert!(put_aside == 0 || round % 3 < 2, "there was room in memory");
        on_disk += put_aside;
        tree.let_go(number).unwrap();
        assert!(matches!(tree.held(number), Err(StoreError::Overtaken)));
        assert_eq!(tree.db.tree_names().len(), 2, "what was put aside is gone");
    }
    assert!(on_disk > 100, "{on_disk} keys went to disk");
}

#[test]
fn a_moment_is_whole_though_commits_do_not_wait_for_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    let mut dice = crate::tests::cast::Dice(12);
    let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for round in 0..30_u8 {
        tree.aside_bytes = [0, 1000, usize::MAX][usize::from(round) % 3];
        let number = tree.hold().unwrap();
        let at_the_moment = state.clone();
        let read = std::sync::atomic::AtomicBool::new(false);
        let mut commits = 0;
        thread::scope(|scope| {
            let (held, read) = (tree.held(number).unwrap(), &read);
            let reading = scope.spawn(move || {
                let mut found = BTreeMap::new();
                let mut rest = Range::state();
                loop {
                    let page = held.range(&rest, 7).unwrap();
                    let Some((last, _)) = page.last() else { break };
                    rest = rest.after(last);
                    found.extend(page);
                }
                read.store(true, std::sync::atomic::Ordering::Release);
                found
            });
            while commits < 20 || !read.load(std::sync::atomic::Ordering::Acquire) {
                tree.commit(move_on(&mut dice, &mut state, round)).unwrap();
                commits += 1;
            }
            assert_eq!(reading.join().unwrap(), at_the_moment, "round {round}");
        });
        tree.let_go(number).unwrap();
    }
}

#[test]
fn a_moment_outlives_its_state_and_nothing_outlives_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut tree = Tree::open(dir.path()).unwrap();
    tree.commit(change(&[2], b"first")).unwrap();
    let number = tree.hold().unwrap();
    tree.commit(change(&[2], b"second")).unwrap();
    for _ in 0..3 {
        let mut successor = tree.successor().unwrap();
        successor.write(change(&[3], b"other")).unwrap();
        tree.succeed(successor).unwrap();
        tree.commit(change(&[2], b"third")).unwrap();
        let held = tree.held(number).unwrap();
        assert_eq!(held.range(&Range::state(), 9).unwrap(), [(vec![2], b"first".to_vec())]);
    }
    tree.let_go(number).unwrap();
    assert_eq!(tree.db.tree_names().len(), 2);

    // A later moment ends an earlier one, and a process that dies ends both.
    let (earlier, later) = (tree.hold().unwrap(), tree.hold().unwrap());
    assert!(matches!(tree.held(earlier), Err(StoreError::Overtaken)));
    tree.let_go(earlier).unwrap();
    tree.commit(change(&[2], b"fourth")).unwrap();
    let held = tree.held(later).unwrap();
    assert_eq!(held.range(&Range::state(), 1).unwrap(), [(vec![2], b"third".to_vec())]);
    tree.flush().unwrap();
    drop(tree);
    let tree = Tree::open(dir.path()).unwrap();
    assert_eq!(tree.get(&[2]).unwrap().unwrap(), b"fourth");
    assert_eq!(tree.db.tree_names().len(), 2);
}
