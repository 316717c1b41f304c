//! What both builds of the program share: they do as they are told, line by line, on standard
//! input, and answer each line with one.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is how it is told and answers")]

use std::collections::BTreeSet;
use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use raft_core::{CommandError, Member, Node, ProposeError, Replicated, StateMachine};
use tokio::sync::mpsc;

/// Time for one command.
const LIMIT: Duration = Duration::from_secs(5);

/// What a build does with what it is told.
pub(crate) trait Build: StateMachine<Reply = usize> {
    /// The command of a line; `None` for one that this build does not know.
    fn command(words: &[&str]) -> Option<Self::Command>;

    /// All numbers it has been given.
    fn numbers(&self) -> &BTreeSet<u64>;
}

/// Runs a member until standard input ends, or it stops by itself. Its arguments are its number,
/// its directory, and the addresses of members 1, 2, and so on.
pub(crate) fn run<M: Build>() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(serve::<M>())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve<M: Build>() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let id = arguments.next().ok_or("no number")?.parse()?;
    let data_dir = arguments.next().ok_or("no directory")?;
    let members: Vec<Member> = (1..).zip(arguments).map(|(id, at)| Member::new(id, at)).collect();
    let own = members.iter().find(|member| member.id == id).ok_or("no address")?;
    let address: SocketAddr = own.address.parse()?;
    let node = Node::builder(id)
        .data_dir(data_dir)
        .listen(address)
        .members(members)
        .allow_plaintext()
        .configure(|config| {
            config.heartbeat_interval = Duration::from_millis(100);
            config.election_timeout_min = Duration::from_millis(500);
            config.election_timeout_max = Duration::from_millis(900);
            config.quorum_loss_probe_interval = Duration::from_millis(1800);
        })
        .start::<M>()
        .await?;
    println!("ready");
    tokio::select! {
        done = obey(&node) => done?,
        reason = node.node().stopped() => return Err(reason.into()),
    }
    node.shutdown().await?;
    Ok(())
}

async fn obey<M: Build>(node: &Replicated<M>) -> Result<(), Box<dyn Error>> {
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "form" => {
                node.bootstrap().await?;
                println!("formed");
            }
            "read" => println!("{}", read(node).await),
            "snapshot" => {
                let at = node.node().take_snapshot().await?;
                println!("written {at}");
            }
            _ => println!("{}", propose(node, &words).await),
        }
    }
    Ok(())
}

async fn read<M: Build>(node: &Replicated<M>) -> String {
    match node.read(LIMIT, |state| state.numbers().clone()).await {
        Ok(numbers) => {
            let words: Vec<String> = numbers.value.iter().map(u64::to_string).collect();
            format!("numbers {}", words.join(","))
        }
        Err(error) => format!("unread {error}"),
    }
}

async fn propose<M: Build>(node: &Replicated<M>, words: &[&str]) -> String {
    let Some(command) = M::command(words) else { return "unknown".into() };
    match node.propose(&command, LIMIT).await {
        Ok(_) => "ok".into(),
        Err(CommandError::Propose(ProposeError::HeldBack { by, .. })) => format!("held by {by:?}"),
        Err(error) if error.may_have_happened() => format!("unsure {error}"),
        Err(error) => format!("refused {error}"),
    }
}

/// Lines of standard input, read on a thread because they may be long in coming.
fn lines() -> mpsc::Receiver<String> {
    // Whoever writes them waits for an answer to each.
    let (told, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if told.blocking_send(line).is_err() {
                break;
            }
        }
    });
    lines
}
