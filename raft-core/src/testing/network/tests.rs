use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

/// Far longer than anything takes; time is paused, so that it passes at once.
const PATIENCE: Duration = Duration::from_secs(3600);

async fn connected(network: &Network) -> (AnyConnection, AnyConnection) {
    let listener = network.host("b").listen(([0, 0, 0, 0], 0).into()).await.unwrap();
    let address = format!("b:{}", listener.local_addr().unwrap().port());
    let ours = network.host("a").connect(&address).await.unwrap();
    let (theirs, from) = listener.accept().await.unwrap();
    assert_eq!(from.ip(), ip(network.id("a")));
    (ours, theirs)
}

async fn says(from: &mut AnyConnection, to: &mut AnyConnection, words: &[u8]) {
    from.write_all(words).await.unwrap();
    let mut heard = vec![0; words.len()];
    timeout(PATIENCE, to.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(heard, words);
}

async fn hears_nothing(to: &mut AnyConnection) {
    assert!(timeout(PATIENCE, to.read_u8()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_arrives_in_order_and_so_does_the_end() {
    let network = Network::new(1);
    network.delay(Duration::ZERO..=Duration::from_millis(50));
    network.lose(300);
    let (mut ours, mut theirs) = connected(&network).await;
    let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        ours.write_all(&copy).await.unwrap();
        ours.shutdown().await.unwrap();
        ours
    });
    let mut received = Vec::new();
    theirs.read_to_end(&mut received).await.unwrap();
    assert!(received == sent);
    drop(writer.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_cut_holds_back_one_direction_until_it_is_mended() {
    let network = Network::new(1);
    let (mut ours, mut theirs) = connected(&network).await;
    says(&mut ours, &mut theirs, b"hello").await;
    network.cut("a", "b");
    ours.write_all(b"x").await.unwrap();
    hears_nothing(&mut theirs).await;
    says(&mut theirs, &mut ours, b"the other way").await;
    network.mend("a", "b");
    assert_eq!(theirs.read_u8().await.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_already_is_woken_by_the_end_of_a_cut() {
    let network = Network::new(1);
    let (mut ours, mut theirs) = connected(&network).await;
    network.cut("a", "b");
    ours.write_all(b"x").await.unwrap();
    let mut reader = tokio::spawn(async move { theirs.read_u8().await.unwrap() });
    assert!(timeout(Duration::from_secs(1), &mut reader).await.is_err(), "it hears nothing");
    network.heal();
    assert_eq!(timeout(PATIENCE, reader).await.unwrap().unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_made_while_either_direction_is_cut() {
    let network = Network::new(1);
    let listener = network.host("b").listen(([0, 0, 0, 0], 7).into()).await.unwrap();
    for (from, to) in [("a", "b"), ("b", "a")] {
        network.cut(from, to);
        assert!(timeout(PATIENCE, network.host("a").connect("b:7")).await.is_err());
        network.heal();
    }
    network.host("a").connect("b:7").await.unwrap();
    listener.accept().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_listens_and_nobody_is_known() {
    let network = Network::new(1);
    let host = network.host("a");
    let error = host.connect("b:7").await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    drop(network.host("b").listen(([0, 0, 0, 0], 7).into()).await.unwrap());
    for address in ["b:7", "10.0.0.2:7"] {
        let error = host.connect(address).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{address}");
    }
    assert!(host.connect("b").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_port_has_one_listener_at_a_time() {
    let network = Network::new(1);
    let host = network.host("a");
    let first = host.listen(([0, 0, 0, 0], 7).into()).await.unwrap();
    let error = host.listen(([0, 0, 0, 0], 7).into()).await.err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    drop(first);
    host.listen(([0, 0, 0, 0], 7).into()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_process_is_noticed_unless_the_link_is_cut() {
    let network = Network::new(1);
    let (ours, mut theirs) = connected(&network).await;
    network.cut("a", "b");
    drop(ours);
    hears_nothing(&mut theirs).await;
    // It cannot be told that nobody listens any more, either.
    theirs.write_all(b"into the void").await.unwrap();
    network.heal();
    assert_eq!(theirs.read(&mut [0; 9]).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_reset_breaks_both_ends() {
    let network = Network::new(1);
    let (mut ours, mut theirs) = connected(&network).await;
    network.reset("b", "a");
    let broken = |error: io::Error| error.kind() == io::ErrorKind::ConnectionReset;
    assert!(broken(ours.write_all(b"x").await.unwrap_err()));
    assert!(broken(theirs.read_u8().await.unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_kept() {
    let network = Network::new(1);
    let (mut ours, mut theirs) = connected(&network).await;
    let delay = Duration::from_millis(70);
    network.delay(delay..=delay);
    let before = Instant::now();
    says(&mut ours, &mut theirs, b"late").await;
    let taken = before.elapsed();
    assert!(taken >= delay && taken < 2 * delay, "{taken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_nobody_reads_waits_and_goes_on() {
    let network = Network::new(1);
    let (mut ours, mut theirs) = connected(&network).await;
    let much = vec![7; 1 << 20];
    assert!(timeout(PATIENCE, ours.write_all(&much)).await.is_err());
    let mut some = vec![0; 1 << 18];
    theirs.read_exact(&mut some).await.unwrap();
    timeout(PATIENCE, ours.write_all(b"more")).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_host_without_power_is_silent_and_breaks_its_connections_when_it_is_back() {
    let network = Network::new(1);
    let (ours, mut theirs) = connected(&network).await;
    network.switch_off("a");
    drop(ours);
    hears_nothing(&mut theirs).await;
    network.heal();
    hears_nothing(&mut theirs).await;
    network.switch_on("a");
    let error = theirs.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}
