//! New login keys: taken over only when they are proven, and a login that works at every moment.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ai_vm::host::layout::{Identity, VmDir};
use serde_json::Value;

use crate::crash::kill_at;
use crate::home::{Home, finish};
use crate::sshd::{Guest, Server, whoami};

/// A running VM from a brought image, whose guest has the key beside one of the user's own, as its cloud-init does it.
struct Brought {
    guest: Guest,
}

const MINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEl3cjT0lX1cYyDyMiUP4Zh3cnEKWqzVgMRYOuYkWzqk mine";

impl Brought {
    fn new() -> Self {
        let mut guest = Guest::silent();
        let record = guest.file(VmDir::RECORD);
        let text = std::fs::read_to_string(&record).unwrap();
        let image = "family = \"image\"\nsource = \"/cloud.qcow2\"";
        std::fs::write(&record, text.replace("family = \"debian\"", image)).unwrap();
        let it = Self { guest };
        std::fs::create_dir(it.authorized().parent().unwrap()).unwrap();
        std::fs::write(it.authorized(), format!("{MINE}\n{}", it.public())).unwrap();
        guest = it.guest;
        let (host, port) = (guest.file(Identity::HOST_KEY), guest.port);
        let authorized = guest.home.dir().join(".ssh/authorized_keys");
        guest.server = Some(Server::start(guest.home.dir(), port, &host, &authorized, ""));
        Self { guest }
    }

    fn home(&self) -> &Home {
        &self.guest.home
    }

    fn authorized(&self) -> PathBuf {
        self.home().dir().join(".ssh/authorized_keys")
    }

    fn public(&self) -> String {
        std::fs::read_to_string(self.guest.file(Identity::LOGIN_PUBLIC_KEY)).unwrap()
    }

    /// Whether a private key is let in, asked by OpenSSH.
    fn lets_in(&self, key: &str) -> bool {
        let mut command = Command::new("ssh");
        let port = self.guest.port.to_string();
        command.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-p", &port]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i", key]);
        command.args([&format!("{}@127.0.0.1", whoami()), "true"]).env_remove("SSH_AUTH_SOCK");
        finish(command, Duration::from_secs(60)).code == 0
    }

    /// Keeps the private key that is in use now.
    fn keep_key(&self, name: &str) -> String {
        let kept = self.home().dir().join(name);
        std::fs::copy(self.guest.file(Identity::LOGIN_KEY), &kept).unwrap();
        kept.display().to_string()
    }

    /// What has to hold when no rotation is under way.
    fn check_done(&self, about: &str) {
        let text = std::fs::read_to_string(self.authorized()).unwrap();
        assert_eq!(text, format!("{MINE}\n{}", self.public()), "{about}");
        assert!(!self.guest.file("rotation").exists(), "{about}");
        assert_eq!(self.show()["unfinished"], false, "{about}");
    }

    fn show(&self) -> Value {
        let shown = self.home().ok(&["ssh-keys", "show", "vm", "--json"]).out;
        serde_json::from_str::<Vec<Value>>(&shown).unwrap().remove(0)
    }
}

#[test]
fn the_old_key_is_let_in_no_longer_and_the_users_own_stays() {
    let it = Brought::new();
    let (old, before) = (it.keep_key("old"), it.show());
    assert!(it.lets_in(&old));
    // A warm connection has logged in with the old key.
    for _ in 0..2 {
        it.home().ok(&["exec", "vm", "--", "true"]);
    }
    let ran = it.home().ok(&["ssh-keys", "rotate", "vm"]);
    assert!(ran.err.contains("vm: new login key in use"), "{}", ran.err);
    assert!(!it.lets_in(&old));
    it.check_done("after it");
    let after = it.show();
    assert_ne!(before["login_fingerprint"], after["login_fingerprint"]);
    assert_eq!(before["host_key"], after["host_key"]);
    let shown = it.home().ok(&["ssh-keys", "show", "vm"]).out;
    assert!(shown.contains(after["login_fingerprint"].as_str().unwrap()), "{shown}");
    let logins = || it.guest.server_says().matches("Accepted publickey").count();
    let seen = logins();
    it.home().ok(&["exec", "vm", "--", "true"]);
    assert_eq!(logins(), seen + 1, "a connection of the old key was used");
    // Asked for what is not safe, it says that it was not done.
    let ran = it.home().ok(&["ssh-keys", "rotate", "vm", "--host-key"]);
    assert!(ran.err.contains("the host key stays"), "{}", ran.err);
    assert_eq!(it.show()["host_key"], after["host_key"]);
    it.check_done("again");
}

#[test]
fn a_guest_that_does_not_take_the_new_key_keeps_the_old_one() {
    let it = Brought::new();
    let old = it.public();
    // What the server reads is another file: the key gets in, and does not log in.
    std::fs::rename(it.authorized(), it.home().dir().join("elsewhere")).unwrap();
    let mut it = it;
    it.guest.server = None;
    let (host, port) = (it.guest.file(Identity::HOST_KEY), it.guest.port);
    let elsewhere = it.home().dir().join("elsewhere");
    it.guest.server = Some(Server::start(it.guest.home.dir(), port, &host, &elsewhere, ""));
    let ran = it.home().run(&["ssh-keys", "rotate", "vm"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("the new key does not log in"), "{}", ran.err);
    assert_eq!(it.public(), old);
    it.home().ok(&["exec", "--no-mux", "vm", "--", "true"]);
    assert!(!it.guest.file("rotation/identity").exists(), "a private key that nobody needs");
    // What it may have left in the guest is taken out by the next one.
    std::fs::copy(&elsewhere, it.home().dir().join("both")).unwrap();
    std::fs::remove_file(it.authorized()).unwrap();
    std::os::unix::fs::symlink(&elsewhere, it.authorized()).unwrap();
    it.home().ok(&["ssh-keys", "rotate", "vm"]);
    it.check_done("once it is put right");
    // A guest in which nothing can be written.
    std::fs::remove_file(it.authorized()).unwrap();
    std::fs::create_dir(it.authorized()).unwrap();
    let ran = it.home().run(&["ssh-keys", "rotate", "vm"]);
    assert!(ran.code == 1 && ran.err.contains("did not take the new key"), "{}", ran.err);
    it.home().ok(&["exec", "--no-mux", "vm", "--", "true"]);
}

#[test]
fn killed_anywhere_it_leaves_a_login_that_works() {
    let it = Brought::new();
    let every_point = std::env::var("AI_VM_CRASH_POINTS").is_ok_and(|points| points == "all");
    let step = if every_point { 1 } else { 7 };
    let (mut point, mut unfinished) = (1, 0);
    loop {
        let old = it.keep_key("old");
        let killed = kill_at(it.home(), point, &["ssh-keys", "rotate", "vm"]);
        let about = format!("killed at call {point}");
        let ran = it.home().run(&["exec", "--no-mux", "vm", "--", "true"]);
        assert_eq!(ran.code, 0, "{about}: {}", ran.err);
        unfinished += usize::from(it.show()["unfinished"] == true);
        if !killed {
            it.check_done(&about);
            break;
        }
        it.home().ok(&["ssh-keys", "rotate", "vm"]);
        it.check_done(&about);
        assert!(!it.lets_in(&old), "{about}");
        point += step;
    }
    assert!(unfinished > 2, "only {unfinished} were broken off in the midst of it");
}

#[test]
fn of_four_at_once_each_is_done_whole_or_not_at_all() {
    let it = Brought::new();
    let codes: Vec<i32> = std::thread::scope(|scope| {
        let run = || it.home().run(&["ssh-keys", "rotate", "vm"]).code;
        let all: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(codes.contains(&0) && codes.iter().all(|code| [0, 4].contains(code)), "{codes:?}");
    it.check_done("after them");
    it.home().ok(&["exec", "--no-mux", "vm", "--", "true"]);
}

#[test]
fn a_stopped_vm_gets_its_keys_at_once() {
    let home = Home::new();
    home.ok(&["create", "vm"]);
    let keys = |name: &str| std::fs::read_to_string(home.vm("vm").join(name)).unwrap();
    let files = ["identity/id_ed25519", "identity/id_ed25519.pub", "identity/host_ed25519.pub"];
    let (before, id) = (files.map(keys), keys("identity/machine-id"));
    let ran = home.ok(&["ssh-keys", "rotate", "vm"]);
    assert!(ran.err.contains("from the next start on"), "{}", ran.err);
    let after = files.map(keys);
    assert!(before[0] != after[0] && before[1] != after[1] && before[2] == after[2]);
    home.ok(&["ssh-keys", "rotate", "--all", "--host-key"]);
    let last = files.map(keys);
    assert_ne!(last[2], after[2]);
    assert_eq!(keys("identity/machine-id"), id);
    let pinned = last[2].split(' ').nth(1).unwrap();
    assert!(keys("identity/known_hosts").contains(pinned));
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-y", "-f"]).arg(home.vm("vm").join(files[0]));
    let public = finish(keygen, Duration::from_secs(20)).out;
    assert!(last[1].starts_with(public.trim_end()), "{public} is not {}", last[1]);
    assert!(!home.vm("vm").join("rotation").exists());
    // What has the key on a disk of its own cannot be told while it is stopped.
    let record = home.vm("vm").join("vm.toml");
    let text = std::fs::read_to_string(&record).unwrap();
    let text = text.replace("family = \"debian\"", "family = \"image\"\nsource = \"/cloud.qcow2\"");
    std::fs::write(&record, format!("base = \"image-1\"\n{text}")).unwrap();
    let ran = home.run(&["ssh-keys", "rotate", "vm"]);
    assert!(ran.code == 4 && ran.err.contains("`ai-vm start vm && ai-vm ssh-keys rotate vm`"), "{}", ran.err);
    assert_eq!(files.map(keys), last);
}

#[test]
fn the_keys_of_others_are_not_ours() {
    let home = Home::new();
    let key = ai_vm::ssh::keys::generate("x").unwrap().public;
    home.ok(&["adopt", "box", "dev@127.0.0.1:1", "--no-check", "--host-key", key.trim()]);
    let ran = home.run(&["ssh-keys", "rotate", "box"]);
    assert!(ran.code == 2 && ran.err.contains("not ai-vm's to change"), "{}", ran.err);
    assert_eq!(home.ok(&["ssh-keys", "rotate", "--all"]).err, "");
    let shown = home.ok(&["ssh-keys", "show", "box"]).out;
    assert!(shown.contains("host key:") && !shown.contains("login key:"), "{shown}");
}
