//! The story, step by step. Every step checks what it claims before it is told.

use crate::cluster::{Cluster, LEASE, MANAGERS};
use crate::narrator::Narrator;
use crate::people::Person;
use crate::report::Report;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use telegraph_client::messaging::Stage;

/// How long the story looks at a message that must not arrive.
const A_MOMENT: Duration = Duration::from_millis(700);

/// Tells it all; returns what came of it and the managers, still running.
pub(crate) async fn tell(narrator: &mut Narrator) -> Result<(Report, Cluster)> {
    let begin = Instant::now();
    let mut report = Report { managers: MANAGERS, ..Report::default() };
    let mut cluster = managers(narrator, &mut report).await?;
    let (mut alice, mut bob) = people(narrator, &cluster).await?;
    talk(narrator, &mut alice, &bob).await?;
    away(narrator, &mut alice, &bob).await?;
    lose_the_leader(narrator, &mut report, &mut cluster, &mut alice, &mut bob).await?;
    come_back(narrator, &report, &mut cluster).await?;
    count(narrator, &mut report, &cluster, &[&alice, &bob]).await?;
    alice.go_offline().await?;
    bob.go_offline().await?;
    report.elapsed_ms = millis(begin.elapsed());
    Ok((report, cluster))
}

async fn managers(narrator: &mut Narrator, report: &mut Report) -> Result<Cluster> {
    narrator.chapter("Three managers");
    narrator.explain("A manager keeps the address book: who exists, with which key, and where.");
    narrator.explain("Three of them keep the same book, so that any one may break. Everything");
    narrator
        .explain("they agree on is on the disks of at least two before anybody hears \"done\".");
    let cluster = Cluster::start().await?;
    narrator.done("three managers run, each with a directory and ports of its own");
    report.leader_before = cluster.leader().await?;
    let leader = report.leader_before;
    narrator.done(&format!("they elected manager {leader}: it decides the order of changes"));
    Ok(cluster)
}

async fn people(narrator: &mut Narrator, cluster: &Cluster) -> Result<(Person, Person)> {
    narrator.chapter("Two people");
    narrator.explain("Each makes a key pair; the account is that key, the name a label on it.");
    narrator.explain("Managers get neither the secret key nor the password.");
    let alice = Person::register(cluster, "alice").await?;
    narrator.done("alice registered");
    let bob = Person::register(cluster, "bob").await?;
    narrator.done("bob registered");
    alice.login().await?;
    bob.login().await?;
    narrator.done("both logged in");
    let door = alice.go_online().await?;
    narrator.done(&format!("alice listens at {door} and signed a statement that she does"));
    let door = bob.go_online().await?;
    narrator.done(&format!("bob listens at {door}"));
    alice.sees(&bob.name, true).await?;
    narrator.done("bob appears online to alice");
    Ok((alice, bob))
}

async fn talk(narrator: &mut Narrator, alice: &mut Person, bob: &Person) -> Result<()> {
    narrator.chapter("A message");
    narrator.explain("alice asks a manager where bob is, checks bob's signature on the answer,");
    narrator.explain("and connects to him directly. No manager sees a byte of what follows.");
    let text = "hello bob, can you read this?";
    let id = alice.send(&bob.name, text).await?;
    narrator.done("alice's message is accepted: it is on her disk");
    alice.wait_for(id, Stage::Delivered).await?;
    ensure!(bob.copies(&alice.name, text).await? == 1, "bob has alice's message once");
    narrator.done("bob has it on his disk and says so: \"delivered\"");
    bob.read_all().await?;
    alice.wait_for(id, Stage::Read).await?;
    narrator.done("bob looked at it; alice has the read receipt");
    Ok(())
}

async fn away(narrator: &mut Narrator, alice: &mut Person, bob: &Person) -> Result<()> {
    narrator.chapter("Bob is away");
    narrator
        .explain("There is no mailbox in the middle. What cannot be delivered waits with alice.");
    let before = bob.go_online().await?;
    bob.go_offline().await?;
    let text = "are you there?";
    let id = alice.send(&bob.name, text).await?;
    let stage = alice.stage_after(id, A_MOMENT).await?;
    ensure!(stage < Stage::Delivered, "the message waits, it is {stage:?}");
    narrator.done("bob left; alice's message is pending");
    alice.sees(&bob.name, false).await?;
    let lease = LEASE.as_secs();
    narrator.done(&format!("after {lease} s without a heartbeat the managers call bob offline"));
    let after = bob.go_online().await?;
    ensure!(before != after, "bob is back at another port");
    narrator.done(&format!("bob is back, at another address: {after}"));
    alice.wait_for(id, Stage::Delivered).await?;
    ensure!(bob.copies(&alice.name, text).await? == 1, "the message came exactly once");
    narrator.done("the message arrived, once and only once");
    bob.read_all().await?;
    Ok(())
}

async fn lose_the_leader(
    narrator: &mut Narrator,
    report: &mut Report,
    cluster: &mut Cluster,
    alice: &mut Person,
    bob: &mut Person,
) -> Result<()> {
    narrator.chapter("The leader breaks");
    narrator.explain("It is stopped as if its power had failed. The other two notice the silence");
    narrator.explain("and elect one of themselves. Messages do not wait for that: they need no");
    narrator.explain("manager once the two people know each other.");
    let broken = Instant::now();
    cluster.halt(report.leader_before).await?;
    ensure!(cluster.is_leaderless(), "nobody leads just after the leader stopped");
    // Told as it happens, and timed by who watches nothing else.
    let (exchanged, elected) = tokio::join!(exchange(cluster, alice, bob), async {
        let leader = cluster.leader().await;
        leader.map(|leader| (leader, broken.elapsed()))
    });
    narrator.done_in("there is no leader; alice wrote and bob answered all the same", exchanged?);
    let (leader, took) = elected?;
    ensure!(leader != report.leader_before, "another manager leads");
    narrator.done_in(&format!("manager {leader} was elected by the two that are left"), took);
    (report.leader_after, report.failover_ms) = (leader, millis(took));
    let carol = Person::register(cluster, "carol").await?;
    carol.login().await?;
    narrator.done("carol registered and logged in with two managers of three");
    alice.read_all().await?;
    bob.read_all().await?;
    Ok(())
}

/// A message each way; fails when a leader was elected before both had arrived, as the story claims
/// that none is needed. Returns the time it took.
async fn exchange(cluster: &Cluster, alice: &mut Person, bob: &mut Person) -> Result<Duration> {
    let begin = Instant::now();
    let question = alice.send(&bob.name, "is anybody leading?").await?;
    let answer = bob.send(&alice.name, "nobody, and it does not matter").await?;
    alice.wait_for(question, Stage::Delivered).await?;
    bob.wait_for(answer, Stage::Delivered).await?;
    ensure!(cluster.is_leaderless(), "messages went both ways while there was no leader");
    Ok(begin.elapsed())
}

async fn come_back(narrator: &mut Narrator, report: &Report, cluster: &mut Cluster) -> Result<()> {
    narrator.chapter("The broken manager returns");
    narrator.explain("It finds its log on disk, asks for what it missed and applies it in order.");
    cluster.restart(report.leader_before).await?;
    narrator.done(&format!("manager {} runs again", report.leader_before));
    cluster.digests().await?;
    narrator.done("it has caught up: all three have applied the same changes");
    Ok(())
}

/// Counts by looking at both people's own histories, not by what was said on the way.
async fn count(
    narrator: &mut Narrator,
    report: &mut Report,
    cluster: &Cluster,
    people: &[&Person],
) -> Result<()> {
    narrator.chapter("Counting");
    for sender in people {
        for (to, text, id) in sender.sent() {
            report.messages_sent += 1;
            let receiver = people.iter().find(|person| person.name == *to);
            let copies = match receiver {
                Some(receiver) => receiver.copies(&sender.name, text).await?,
                None => 0,
            };
            report.messages_delivered += usize::from(copies > 0);
            report.messages_lost += usize::from(copies == 0);
            report.messages_duplicated += copies.saturating_sub(1);
            report.receipts += usize::from(sender.has_receipt(*id).await?);
        }
    }
    narrator.done("every message looked up in the receiver's history");
    (report.applied_index, report.digests) = cluster.digests().await?;
    report.digests_equal = report.digests.windows(2).all(|pair| pair[0] == pair[1]);
    narrator.done("every manager's whole state hashed");
    Ok(())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
