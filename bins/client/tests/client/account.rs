//! Accounts over their life.

use crate::harness::{PASSWORD, Site, anywhere, name, password};
use telegraph_client::{
    client::Client, error::ClientError, event::ClientEvent, managers::error::ManagerError,
};
use telegraph_proto::statement::sealed_keys_hash;

const OTHER: &str = "another password";

async fn account_id(client: &Client) -> String {
    client.whoami().await.unwrap().account_id.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_restores_the_account_and_the_old_one_is_told() {
    let site = Site::new();
    let _manager = site.manager().await;
    let old = site.online("alice").await;
    let mut told = old.events();
    let new = site.client("alice-elsewhere");
    new.login(Some(&name("alice")), &password(PASSWORD)).await.unwrap();
    assert_eq!(account_id(&new).await, account_id(&old).await);
    let event = tokio::time::timeout(crate::harness::PATIENCE, told.recv()).await;
    let ClientEvent::SessionEnded { why, replaced: true } = event.unwrap().unwrap() else {
        panic!("not told")
    };
    assert!(!why.is_empty());
    assert_eq!(old.address().await, None, "it has gone offline by itself");
    // What the new machine announces is taken: its numbers go on from the old one's.
    new.go_online(anywhere(), None).await.unwrap();
    let peers = new.peers().await.unwrap();
    assert_eq!(peers[0].port, Some(new.address().await.unwrap().port()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_opens_nothing_here_or_there() {
    let site = Site::new();
    let _manager = site.manager().await;
    drop(site.person("alice").await);
    let again = site.client("alice");
    let wrong = again.unlock(&password(OTHER)).await;
    assert!(matches!(wrong, Err(ClientError::WrongPassword)), "{wrong:?}");
    let wrong = again.login(None, &password(OTHER)).await;
    assert!(
        matches!(wrong, Err(ClientError::Managers(ManagerError::WrongCredentials(_)))),
        "{wrong:?}"
    );
    let locked = again.messenger().await;
    assert!(matches!(locked, Err(ClientError::Locked)));
    again.unlock(&password(PASSWORD)).await.unwrap();
    assert!(again.whoami().await.unwrap().logged_in);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_leaves_the_profile_free_for_another() {
    let site = Site::new();
    let _manager = site.manager().await;
    let _alice = site.person("alice").await;
    let second = site.client("second");
    let taken = second.register(&name("alice"), &password(OTHER)).await;
    assert!(matches!(taken, Err(ClientError::Managers(ManagerError::NameTaken(_)))), "{taken:?}");
    second.register(&name("alicia"), &password(OTHER)).await.unwrap();
    // One profile, one person.
    let more = second.register(&name("carol"), &password(OTHER)).await;
    assert!(matches!(more, Err(ClientError::ProfileTaken(_))), "{more:?}");
    let other = second.login(Some(&name("alice")), &password(PASSWORD)).await;
    assert!(matches!(other, Err(ClientError::ProfileTaken(_))), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_password_is_refused_before_anything_is_written() {
    let site = Site::new();
    let client = site.client("alice");
    let refused = client.register(&name("alice"), &password("short")).await;
    assert!(matches!(refused, Err(ClientError::Password(_))));
    assert!(!site.profile("alice").join("vault.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_without_managers_is_finished_later_with_the_same_key() {
    let site = Site::new();
    let manager = site.manager().await;
    // Somebody who knows the cluster, and then finds nobody there.
    let client = site.client("alice");
    client.managers().cluster().await.unwrap();
    manager.shutdown().await.unwrap();
    drop(manager);
    drop(client);
    let mut options = site.options("alice");
    options.deadline = std::time::Duration::from_millis(300);
    let hurried = Client::open(options).unwrap();
    let failed = hurried.register(&name("alice"), &password(PASSWORD)).await;
    assert_eq!(failed.unwrap_err().exit_code(), 69);
    drop(hurried);
    let _manager = site.manager().await;
    let client = site.client("alice");
    let enrolled = client.register(&name("alice"), &password(PASSWORD)).await.unwrap();
    assert!(!enrolled.recovery_code.is_empty());
    client.login(None, &password(PASSWORD)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_replaces_the_old_one_here_and_on_other_machines() {
    let site = Site::new();
    let _manager = site.manager().await;
    let first = site.online("alice").await;
    let bob = site.online("bob").await;
    first.send(&name("bob"), "before").await.unwrap();
    first.go_offline().await.unwrap();
    let second = site.client("alice-elsewhere");
    second.login(Some(&name("alice")), &password(PASSWORD)).await.unwrap();
    let wrong = second.change_password(&password(OTHER), &password(OTHER)).await;
    assert!(matches!(wrong, Err(ClientError::WrongPassword)), "{wrong:?}");
    second.change_password(&password(PASSWORD), &password(OTHER)).await.unwrap();
    // This session goes on; the profile opens under the new password alone.
    second.sessions().await.unwrap();
    drop(second);
    let second = site.client("alice-elsewhere");
    let old = second.unlock(&password(PASSWORD)).await;
    assert!(matches!(old, Err(ClientError::WrongPassword)));
    second.unlock(&password(OTHER)).await.unwrap();
    // The first machine learns of it by a login, and keeps its messages.
    let refused = first.login(None, &password(PASSWORD)).await;
    assert_eq!(refused.unwrap_err().exit_code(), 6);
    first.login(None, &password(OTHER)).await.unwrap();
    assert_eq!(first.history(Some(&name("bob")), 10).await.unwrap().len(), 1);
    drop(bob);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_signs_for_all_to_see_only_names_the_sealed_keys() {
    let site = Site::new();
    let manager = site.manager().await;
    let alice = site.person("alice").await;
    let registered = manager.reader().account_by_name(&name("alice")).unwrap().unwrap();
    let first = registered.sealed_keys;
    let shown = |needle: &[u8]| {
        registered.register.body.windows(needle.len()).any(|window| window == needle)
    };
    assert!(shown(&sealed_keys_hash(&first)));
    for sealed in [&first.by_password, &first.by_recovery_code] {
        // Behind the version and the account's id, which everybody knows.
        let sealed = sealed.get(33..).unwrap();
        assert!(sealed.len() > 64 && !sealed.chunks(16).any(shown));
    }
    alice.change_password(&password(PASSWORD), &password(OTHER)).await.unwrap();
    let changed = manager.reader().account_by_name(&name("alice")).unwrap().unwrap();
    assert_ne!(changed.sealed_keys.by_password, first.by_password);
    assert_eq!(changed.sealed_keys.by_recovery_code, first.by_recovery_code);
    assert_eq!(changed.register, registered.register);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_and_ended() {
    let site = Site::new();
    let _manager = site.manager().await;
    let alice = site.person("alice").await;
    let sessions = alice.sessions().await.unwrap();
    let own = sessions.iter().find(|session| session.current).unwrap().session_id.clone();
    let unknown = alice.revoke(&"0".repeat(32)).await.unwrap_err();
    assert_eq!(unknown.exit_code(), 4);
    alice.revoke(&own).await.unwrap();
    let ended = alice.sessions().await.unwrap_err();
    assert!(matches!(ended, ClientError::Managers(ManagerError::SessionEnded(_))), "{ended:?}");
    alice.login(None, &password(PASSWORD)).await.unwrap();
    alice.logout().await.unwrap();
    assert!(!alice.whoami().await.unwrap().logged_in);
    let offline = alice.go_online(anywhere(), None).await;
    assert!(matches!(offline, Err(ClientError::NotLoggedIn)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_leaves_its_name_taken_and_nothing_in_the_profile() {
    let site = Site::new();
    let _manager = site.manager().await;
    let alice = site.online("alice").await;
    let wrong = alice.delete_account(&password(OTHER)).await;
    assert!(matches!(wrong, Err(ClientError::WrongPassword)), "{wrong:?}");
    alice.delete_account(&password(PASSWORD)).await.unwrap();
    for gone in ["vault.json", "messages.redb"] {
        assert!(!site.profile("alice").join(gone).exists(), "{gone}");
    }
    let retired = alice.register(&name("alice"), &password(PASSWORD)).await;
    assert!(matches!(retired, Err(ClientError::Managers(ManagerError::NameTaken(_)))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_of_another_cluster_is_not_used_here() {
    let (home, abroad) = (Site::new(), Site::new());
    let (_here, _there) = (home.manager().await, abroad.manager().await);
    drop(home.person("alice").await);
    let mut options = abroad.options("unused");
    options.profile = home.profile("alice");
    let client = Client::open(options).unwrap();
    let refused = client.login(None, &password(PASSWORD)).await;
    assert!(
        matches!(refused, Err(ClientError::Managers(ManagerError::WrongCluster { .. }))),
        "{refused:?}"
    );
}
