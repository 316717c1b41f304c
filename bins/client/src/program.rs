//! What the `telegraph` program does with a command line, from arguments to exit code.

use crate::{
    chat,
    cli::{Arguments, Command, Global, SessionsAction, Wait},
    client::Client,
    control::{self, Failure},
    error::{self, ClientError},
    options::Options,
    output,
    password::Password,
    profile::{Profile, ProfileError},
    request::{Answer, Goal, Request, perform},
    telemetry,
    trust::{Trust, TrustError},
};
use clap::Parser;
use std::{
    io::{self, IsTerminal},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use telegraph_proto::{account::Username, rest::Secret};

/// Between two tries to take a profile that another command has.
const NEXT_TRY: Duration = Duration::from_millis(50);

/// Reads the command line, does what it says, prints what came of it. Wrong usage ends the process
/// with code 2.
pub async fn run() -> ExitCode {
    let Arguments { global, command } = Arguments::parse();
    telemetry::start(&global.log);
    match dispatch(&global, command).await {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if global.json {
                let problem = serde_json::json!({
                    "kind": "error",
                    "exit_code": failure.exit_code,
                    "message": failure.message,
                });
                // What cannot be printed is still in the exit code.
                let _ = output::line(&problem.to_string());
            }
            output::note(&format!("telegraph: {}", failure.message));
            ExitCode::from(failure.exit_code)
        }
    }
}

async fn dispatch(global: &Global, command: Command) -> Result<u8, Failure> {
    let options = options(global)?;
    match command {
        Command::Register { username } => register(global, options, &username).await,
        Command::Login { username } => login(global, options, username.as_deref()).await,
        Command::Run { listen, advertise, peek } => {
            let client = take(global, options).await.map_err(|e| Failure::from(&e))?;
            let settings = chat::Settings { listen, advertise, peek, json: global.json };
            unlock(&client, &password(global)?).await?;
            chat::run(client, settings).await.map_err(|e| Failure::from(&e))?;
            Ok(0)
        }
        other => ask(global, options, other).await,
    }
}

/// Takes the profile. A command that has it at this moment is waited for; `run` is not, it stays.
async fn take(global: &Global, options: Options) -> Result<Client, ClientError> {
    let deadline = Instant::now() + Duration::from_secs(global.timeout);
    loop {
        match Client::open(options.clone()) {
            Err(ClientError::Profile(ProfileError::InUse(directory)))
                if Instant::now() < deadline && !control::is_served(&directory).await =>
            {
                tokio::time::sleep(NEXT_TRY).await;
            }
            taken => return taken,
        }
    }
}

/// Makes the account, then a session: whoever registers wants to be in.
async fn register(global: &Global, options: Options, username: &str) -> Result<u8, Failure> {
    let username = parse_name(username)?;
    let client = take(global, options).await.map_err(|e| in_use(&e))?;
    let password = new_password(global.password_file.as_deref(), "Password: ")?;
    let enrolled = client.register(&username, &password).await.map_err(|e| Failure::from(&e))?;
    let recovery_code = enrolled.recovery_code.to_string();
    let login = client.login(Some(&username), &password).await;
    let account_id = client.whoami().await.ok().and_then(|who| who.account_id);
    let username = username.to_string();
    // Printed even if the login failed: it is shown only now.
    print(global, &Answer::Enrolled { username, account_id, recovery_code })?;
    login.map_err(|e| Failure::from(&e))?;
    Ok(0)
}

async fn login(global: &Global, options: Options, username: Option<&str>) -> Result<u8, Failure> {
    let username = username.map(parse_name).transpose()?;
    let client = take(global, options).await.map_err(|e| in_use(&e))?;
    let password = password(global)?;
    client.login(username.as_ref(), &password).await.map_err(|e| Failure::from(&e))?;
    let who = client.whoami().await.map_err(|e| Failure::from(&e))?;
    let name = who.username.unwrap_or_default();
    print(global, &Answer::Done { message: format!("logged in as {name}") })?;
    Ok(0)
}

/// A command that can be done here, or by the process that holds the profile.
async fn ask(global: &Global, options: Options, command: Command) -> Result<u8, Failure> {
    let directory = options.profile.clone();
    if matches!(command, Command::Whoami) && !Profile::exists(&directory) {
        return Err(nobody_here());
    }
    let (answer, json) = match take(global, options).await {
        Ok(client) => {
            let request = request(global, command)?;
            (alone(global, &client, request).await?, global.json)
        }
        Err(ClientError::Profile(ProfileError::InUse(_))) => {
            let request = request(global, command)?;
            let asked = control::ask(&directory, &request).await;
            let answer = asked.map_err(|error| Failure {
                exit_code: ClientError::Profile(ProfileError::InUse(directory)).exit_code(),
                message: format!("another process has the profile and does not answer: {error}"),
            })?;
            (answer?, global.json)
        }
        Err(error) => return Err(Failure::from(&error)),
    };
    output::print(&answer, json).map_err(|e| not_printed(&e))?;
    Ok(exit_code(&answer))
}

/// Does a command without a `telegraph run`: unlocks, and goes online when it is to send.
async fn alone(global: &Global, client: &Client, request: Request) -> Result<Answer, Failure> {
    let failure = |error: ClientError| Failure::from(&error);
    if matches!(request, Request::Whoami) {
        let who = client.whoami().await.map_err(failure)?;
        who.username.ok_or_else(nobody_here)?;
    }
    let old = match &request {
        // Without a password it tells what lies open.
        Request::Whoami if global.password_file.is_none() => None,
        Request::Passwd { old, .. } => Some(Password::new(&old.0)),
        Request::DeleteAccount { password } => Some(Password::new(&password.0)),
        _ => Some(Ok(password(global)?)),
    };
    if let Some(password) = old {
        let password = password.map_err(|e| failure(e.into()))?;
        unlock(client, &password).await?;
    }
    if matches!(request, Request::Send { .. }) {
        let anywhere: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
        client.go_online(anywhere, None).await.map_err(failure)?;
    }
    if matches!(request, Request::Whoami) && global.password_file.is_some() {
        // Opens the messages, to count what is pending.
        client.messenger().await.map_err(failure)?;
    }
    let mut happenings = client.events();
    let answer = perform(client, request).await;
    client.go_offline().await.map_err(failure)?;
    while let Ok(event) = happenings.try_recv() {
        if let Some(text) = output::few_compared(&event) {
            output::note(&text);
        }
    }
    answer.map_err(failure)
}

async fn unlock(client: &Client, password: &Password) -> Result<(), Failure> {
    client.unlock(password).await.map_err(|error| Failure::from(&error))
}

/// What a command asks for; prompts for what it still needs.
fn request(global: &Global, command: Command) -> Result<Request, Failure> {
    let secret = |password: &Password| Secret(password.expose().to_owned());
    Ok(match command {
        Command::Whoami => Request::Whoami,
        Command::Peers => Request::Peers,
        Command::Send { username, text, wait } => Request::Send {
            to: username,
            text: text.join(" "),
            wait: goal(wait),
            timeout_ms: Duration::from_secs(global.timeout).as_millis() as u64,
        },
        Command::Read { username, limit, peek } => Request::Read { with: username, limit, peek },
        Command::Sessions { action: None } => Request::Sessions,
        Command::Sessions { action: Some(SessionsAction::Revoke { id }) } => {
            Request::Revoke { session_id: id }
        }
        Command::Logout => Request::Logout,
        Command::Passwd { new_password_file } => {
            let old = password(global)?;
            let new = new_password(new_password_file.as_deref(), "New password: ")?;
            Request::Passwd { old: secret(&old), new: secret(&new) }
        }
        Command::DeleteAccount { yes } => {
            if !yes {
                confirm_deletion()?;
            }
            Request::DeleteAccount { password: secret(&password(global)?) }
        }
        Command::Register { .. } | Command::Login { .. } | Command::Run { .. } => {
            return Err(usage("this command is not asked of another process".into()));
        }
    })
}

fn goal(wait: Wait) -> Goal {
    match wait {
        Wait::Pending => Goal::Pending,
        Wait::Sent => Goal::Sent,
        Wait::Delivered => Goal::Delivered,
        Wait::Read => Goal::Read,
    }
}

/// The exit code of something that was done, or not quite.
fn exit_code(answer: &Answer) -> u8 {
    match answer {
        Answer::Sent(sent) if sent.done => 0,
        Answer::Sent(sent) if sent.reason.is_none() => error::TEMPORARY,
        Answer::Sent(_) => error::ERROR,
        _ => 0,
    }
}

fn confirm_deletion() -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(usage("deleting an account needs --yes where nobody can be asked".into()));
    }
    output::note("The account, its messages here and its name are gone for ever. Type \"delete\":");
    let mut typed = String::new();
    io::stdin().read_line(&mut typed).map_err(|e| usage(e.to_string()))?;
    if typed.trim() == "delete" { Ok(()) } else { Err(usage("nothing was deleted".into())) }
}

fn options(global: &Global) -> Result<Options, Failure> {
    let profile = global.profile.clone().unwrap_or_else(Options::default_profile);
    let unfit = |error: TrustError| usage(error.to_string());
    let trust = match (&global.ca, &global.ca_fingerprint) {
        (Some(path), _) => {
            let pem =
                std::fs::read(path).map_err(|e| usage(format!("--ca {}: {e}", path.display())))?;
            Some(Trust::Authority(pem))
        }
        (None, Some(hex)) => Some(Trust::parse_fingerprint(hex).map_err(unfit)?),
        (None, None) => None,
    };
    Ok(Options {
        managers: global.manager.clone(),
        trust,
        dns: global.dns.clone(),
        sweep: global.sweep.clone(),
        device_name: host_name(),
        deadline: Duration::from_secs(global.timeout),
        ..Options::new(profile)
    })
}

/// What the list of sessions calls this machine.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
}

fn password(global: &Global) -> Result<Password, Failure> {
    match &global.password_file {
        Some(path) => Password::from_file(path),
        None => Password::prompt("Password: "),
    }
    .map_err(|e| Failure::from(&e.into()))
}

fn new_password(file: Option<&Path>, label: &str) -> Result<Password, Failure> {
    match file {
        Some(path) => Password::from_file(path),
        None => Password::prompt_new(label),
    }
    .map_err(|e| Failure::from(&e.into()))
}

fn parse_name(text: &str) -> Result<Username, Failure> {
    Username::parse(text).map_err(|e| usage(e.to_string()))
}

fn print(global: &Global, answer: &Answer) -> Result<(), Failure> {
    output::print(answer, global.json).map_err(|e| not_printed(&e))
}

fn not_printed(error: &io::Error) -> Failure {
    Failure { exit_code: error::ERROR, message: format!("stdout: {error}") }
}

fn nobody_here() -> Failure {
    let message = "no account here: register or log in first".to_owned();
    Failure { exit_code: error::NOT_FOUND, message }
}

fn usage(message: String) -> Failure {
    Failure { exit_code: error::USAGE, message }
}

/// `register` and `login` change the profile itself and are not asked of who holds it.
fn in_use(error: &ClientError) -> Failure {
    let mut failure = Failure::from(error);
    if matches!(error, ClientError::Profile(ProfileError::InUse(_))) {
        failure.message.push_str(": stop `telegraph run` first");
    }
    failure
}
