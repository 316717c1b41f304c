use super::*;
use crate::audit::audit;
use crate::digest::digest;
use crate::tests::cast::{CLUSTER, Person, Twin, contents, entries, play, village};

fn state() -> Twin {
    let mut twin = Twin::new();
    play(&mut twin, &entries(&village()));
    twin
}

fn image_of(state: &Twin) -> Vec<u8> {
    let mut image = Vec::new();
    export(state, &CLUSTER, &mut image).unwrap();
    image
}

fn import_into_nothing(image: &[u8]) -> Result<Twin, StoreError> {
    let mut twin = Twin::new();
    import(&mut twin, &CLUSTER, &mut &*image)?;
    Ok(twin)
}

/// Closes an image over these pairs as [`export`] would, whatever they are.
fn forge(pairs: &[Pair]) -> Vec<u8> {
    let mut image = [&MAGIC[..], &FORMAT.to_be_bytes(), &CLUSTER].concat();
    let mut digest = Digest::default();
    for (key, value) in pairs {
        image.push(PAIR);
        image.extend((key.len() as u16).to_be_bytes());
        image.extend((value.len() as u32).to_be_bytes());
        image.extend(key);
        image.extend(value);
        digest.add(key, value);
    }
    image.push(END);
    image.extend((pairs.len() as u64).to_be_bytes());
    image.extend(digest.finish());
    image
}

#[test]
fn an_image_brings_back_the_state_with_its_indexes() {
    let state = state();
    let image = image_of(&state);
    let again = import_into_nothing(&image).unwrap();
    assert_eq!(again, contents(&state));
    assert_eq!(digest(&again).unwrap(), digest(&state).unwrap());
    assert_eq!(image_of(&again), image);
    audit(&again).unwrap();
}

#[test]
fn the_image_of_nothing_is_an_image() {
    let again = import_into_nothing(&image_of(&Twin::new())).unwrap();
    assert_eq!(again, Twin::new());
}

#[test]
fn a_state_of_more_than_one_chunk_is_brought_back() {
    let people = (0..2 * CHUNK + 3).map(|n| Person::named(&format!("person{n}")).register());
    let mut state = Twin::new();
    play(&mut state, &entries(&people.collect::<Vec<_>>()));
    assert_eq!(import_into_nothing(&image_of(&state)).unwrap(), contents(&state));
}

#[test]
fn engine_records_are_in_no_image_and_no_digest() {
    let plain = state();
    let mut recorded = plain.clone();
    recorded.insert(keys::record(b"position"), b"anything".to_vec());
    assert_eq!(image_of(&recorded), image_of(&plain));
    assert_eq!(digest(&recorded).unwrap(), digest(&plain).unwrap());
}

#[test]
fn every_cut_is_refused() {
    let image = image_of(&state());
    for length in 0..image.len() {
        assert!(import_into_nothing(&image[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let image = image_of(&state());
    for at in 0..image.len() {
        let mut flipped = image.clone();
        flipped[at] ^= 1 << (at % 8);
        assert!(import_into_nothing(&flipped).is_err(), "byte {at}");
    }
}

#[test]
fn what_follows_the_end_is_refused() {
    let mut image = image_of(&state());
    image.push(0);
    let refused = import_into_nothing(&image).unwrap_err();
    assert!(matches!(refused, StoreError::Image(ImageError::Malformed(_))), "{refused}");
}

#[test]
fn images_of_other_clusters_and_later_formats_are_told_apart() {
    let image = image_of(&state());
    let foreign = import(&mut Twin::new(), &[9; 16], &mut &*image).unwrap_err();
    assert!(matches!(foreign, StoreError::Image(ImageError::OtherCluster)));
    let mut later = image;
    later[11] = 2;
    let later = import_into_nothing(&later).unwrap_err();
    assert!(matches!(
        later,
        StoreError::Image(ImageError::NewerFormat { found: 2, known: FORMAT })
    ));
}

#[test]
fn a_well_closed_image_of_an_impossible_state_is_refused() {
    let state = state();
    let good = (&state as &dyn KeyValues).range(&Range::state(), usize::MAX).unwrap();
    import_into_nothing(&forge(&good)).unwrap();
    let with = |change: &dyn Fn(&mut Vec<Pair>)| {
        let mut pairs = good.clone();
        change(&mut pairs);
        pairs.sort();
        import_into_nothing(&forge(&pairs)).is_err()
    };
    let at = |prefix: u8| good.iter().position(|(key, _)| key[0] == prefix).unwrap();
    let session = at(keys::SESSION);
    assert!(with(&|pairs| pairs.push((keys::name(&Person::named("eve").username()), vec![1]))));
    assert!(with(&|pairs| pairs.push((vec![keys::CLOCK, 1], vec![0; 24]))));
    assert!(with(&|pairs| pairs[at(keys::CLOCK)].1.push(0)), "a clock that is too long");
    assert!(with(&|pairs| pairs[session].0[9] ^= 1), "a session under another token");
    assert!(with(&|pairs| pairs[session].1.clear()), "a session of nothing");
    assert!(with(&|pairs| pairs.retain(|(key, _)| key[0] != keys::ACCOUNT)), "no accounts");
    assert!(with(&|pairs| {
        let mut twin = decode_session(&pairs[session].1).unwrap();
        twin.token_hash = [1; 32];
        pairs.push((keys::session(&twin.token_hash), encode_session(&twin)));
    }));
    assert!(with(&|pairs| {
        let crowd = (0..=MAX_KEPT as u8).map(|n| {
            let mut session = decode_session(&pairs[session].1).unwrap();
            (session.token_hash, session.session_id) = ([n; 32], [n; 16]);
            (keys::session(&session.token_hash), encode_session(&session))
        });
        let crowd: Vec<Pair> = crowd.collect();
        pairs.extend(crowd);
    }));
    assert!(with(&|pairs| {
        let eve = Person::named("eve");
        let (_, record) = &pairs[at(keys::ACCOUNT)];
        let username = match decode_holder(record).unwrap() {
            Holder::Living(account) => account.username,
            Holder::Retired(tombstone) => tombstone.username,
        };
        let usurper =
            crate::account::Tombstone { account_id: eve.id(), username, deleted_unix_ms: 1 };
        pairs.push((keys::account(&eve.id()), encode_holder(&Holder::Retired(usurper))));
    }));
    let mut unsorted = good.clone();
    unsorted.reverse();
    assert!(import_into_nothing(&forge(&unsorted)).is_err());
}
