//! Which logins are taken, whose they are then, and which VM may not go.

use serde_json::json;

use super::*;
use crate::host::data_dir;

const HOUR: u64 = 3600 * 1000;

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let layout = data_dir::open(&dir.path().join("data")).unwrap();
    (dir, Store::new(&layout))
}

fn login(number: u64, expires: u64) -> Credentials {
    let token = |what: &str| format!("sk-ant-{what}-CANARY-CANARY-{number}");
    let file = json!({"claudeAiOauth": {
        "accessToken": token("oat01"), "refreshToken": token("ort01"), "expiresAt": expires,
    }});
    Credentials::parse(file.to_string().as_bytes()).unwrap()
}

fn account(id: &str) -> Account {
    Account { id: Some(id.to_owned()), ..Account::default() }
}

fn unknown() -> Account {
    Account::default()
}

#[test]
fn the_newest_is_kept_and_whose_it_is_is_this_machines_word() {
    let (_dir, store) = store();
    let (web, now) = ("web".parse().unwrap(), Millis::now().0);
    let vm = Origin::Vm(&web);
    let (one, two, three) = (login(1, now + HOUR), login(2, now + 2 * HOUR), login(3, now + 3 * HOUR));
    let offer = |origin, login: &Credentials, whose: &Account, host: &Account| {
        store.offer(origin, login, whose, host)
    };
    assert_eq!(store.held().unwrap(), None);
    assert_eq!(offer(Origin::Host, &two, &account("me"), &unknown()).unwrap(), Offer::Newer);
    assert_eq!(offer(vm, &one, &unknown(), &unknown()).unwrap(), Offer::Older);
    assert_eq!(offer(vm, &two, &account("ME"), &unknown()).unwrap(), Offer::Same);
    let error = offer(vm, &three, &account("other"), &unknown()).unwrap_err();
    assert!(matches!(error, LoginError::Refused { reason: Refusal::OtherAccount { .. }, .. }), "{error}");
    let error = offer(Origin::Host, &three, &account("other"), &unknown()).unwrap_err();
    assert!(matches!(error, LoginError::OtherAccountHere { .. }), "{error}");
    assert_eq!(store.held().unwrap().unwrap().credentials, two);
    assert_eq!(offer(vm, &three, &unknown(), &account("me")).unwrap(), Offer::Newer);
    let held = store.held().unwrap().unwrap();
    assert_eq!((held.credentials, held.account, held.from.as_str()), (three, account("me"), "web"));
    assert!(store.forget().unwrap() && !store.forget().unwrap());
    // Where nobody else says whose it is, the first VM does, and no other one may then say otherwise.
    assert_eq!(offer(vm, &one, &account("me"), &unknown()).unwrap(), Offer::Newer);
    assert!(offer(vm, &two, &account("other"), &unknown()).is_err());
    // This machine knows it better.
    assert!(offer(vm, &two, &account("me"), &account("boss")).is_err());
    let audit = std::fs::read_to_string(store.layout.claude(Claude::AUDIT)).unwrap();
    assert_eq!(audit.lines().filter(|line| line.ends_with(" refused")).count(), 4, "{audit}");
    assert!(!audit.contains("CANARY"), "{audit}");
}

#[test]
fn what_is_kept_and_cannot_be_read_is_told_without_its_content() {
    let (_dir, store) = store();
    store.dir().unwrap();
    std::fs::write(store.layout.claude(Claude::LOGIN), "{\"claudeAiOauth\": \"CANARY\"}").unwrap();
    let error = store.held().unwrap_err();
    assert!(matches!(error, LoginError::Kept { .. }) && !format!("{error} {error:?}").contains("CANARY"));
    assert!(store.forget().unwrap());
}

#[test]
fn what_goes_somewhere_is_noted_before_and_after_and_the_log_does_not_grow_for_ever() {
    let (_dir, store) = store();
    let (web, now) = ("web".parse().unwrap(), Millis::now().0);
    store.offer(Origin::Vm(&web), &login(1, now + HOUR), &unknown(), &unknown()).unwrap();
    let path = store.layout.claude(Claude::AUDIT);
    let read = |path: &PathBuf| std::fs::read_to_string(path).unwrap();
    let fingerprint = login(1, now).fingerprint().to_owned();
    let ends: Vec<String> =
        read(&path).lines().map(|line| line[line.find(' ').unwrap()..].to_owned()).collect();
    assert_eq!(ends, ["begun", "done"].map(|stage| format!(" web guest->kept {fingerprint} {stage}")),);
    // What cannot be noted does not go.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(store.offer(Origin::Vm(&web), &login(2, now + 2 * HOUR), &unknown(), &unknown()).is_err());
    assert!(store.forget().is_err() && store.held().unwrap().unwrap().credentials == login(1, now + HOUR));
    std::fs::remove_dir(&path).unwrap();

    let line = "2026-01-01T00:00:00Z web kept->guest 000000000000 done\n";
    std::fs::write(&path, line.repeat((1 << 20) / line.len() + 1)).unwrap();
    for _ in 0..2 {
        store.note(Way::Out(&web), "0123", Stage::Begun).unwrap();
    }
    assert_eq!(read(&path).lines().count(), 2);
    let before = store.layout.claude(Claude::AUDIT_BEFORE);
    assert!(read(&before).starts_with(line) && before.metadata().unwrap().len() > 1 << 20);
}

#[test]
fn a_vm_may_not_go_while_it_may_have_the_newest() {
    let (_dir, store) = store();
    let (web, now): (VmName, _) = ("web".parse().unwrap(), Millis::now());
    let dir = store.layout.vm(&web);
    std::fs::create_dir_all(dir.path()).unwrap();
    std::fs::write(dir.file(VmDir::DISK), "").unwrap();
    let give = |login: &Credentials| {
        store.offer(Origin::Host, login, &unknown(), &unknown()).unwrap();
        store.seen(&web, Some(login), None).unwrap();
    };
    assert!(!store.may_be_newest(&web, now), "nothing is known of it");
    give(&login(1, now.0 + 8 * HOUR));
    assert!(!store.may_be_newest(&web, now), "nobody has had to renew it");
    assert!(store.may_be_newest(&web, now.plus(Duration::from_secs(7 * 3600))));
    give(&login(2, now.0 + 8 * HOUR + 1));
    let later = now.plus(Duration::from_secs(9 * 3600));
    assert!(store.may_be_newest(&web, later));
    store.settle(&web).unwrap();
    assert!(!store.may_be_newest(&web, later), "it was fetched before the VM was stopped");
    // It has run since.
    let disk = File::options().write(true).open(dir.file(VmDir::DISK)).unwrap();
    disk.set_modified(std::time::SystemTime::now() + Duration::from_secs(60)).unwrap();
    assert!(store.may_be_newest(&web, later));
    // Another one has a newer login: this one is worthless.
    store.offer(Origin::Host, &login(3, now.0 + 20 * HOUR), &unknown(), &unknown()).unwrap();
    assert!(!store.may_be_newest(&web, later));
}
