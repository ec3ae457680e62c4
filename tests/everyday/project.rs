//! What a repository says about its VM is followed as far as it is about the VM, and beyond that only when it was agreed to.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::home::{Home, Ran, finish};
use crate::pty::Pty;

struct Repo {
    home: Home,
    dir: PathBuf,
}

impl Repo {
    fn with(text: &str) -> Self {
        let home = Home::new();
        let dir = home.dir().join("work/app");
        fs::create_dir_all(dir.join("src/deep")).unwrap();
        let repo = Self { home, dir };
        repo.says(text);
        repo
    }

    fn says(&self, text: &str) {
        fs::write(self.dir.join(".ai-vm.toml"), text).unwrap();
    }

    /// Runs in a folder below the file's.
    fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.home.command(args);
        command.current_dir(self.dir.join("src/deep"));
        finish(command, Duration::from_secs(60))
    }

    /// Makes a VM of an empty image, for a QEMU that is none: what the VM was to be is what counts.
    fn up(&self, args: &[&str]) -> Ran {
        let image = self.home.dir().join("empty.img");
        fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
        let args = [&["up", "--accel", "tcg", "--image", image.to_str().unwrap()], args].concat();
        let mut command = self.home.command(&args);
        command.current_dir(self.dir.join("src/deep")).env("AI_VM_QEMU", "/bin/false");
        finish(command, Duration::from_secs(60))
    }

    fn vm(&self) -> serde_json::Value {
        let list = self.home.list();
        assert_eq!(list.len(), 1);
        list[0].clone()
    }
}

#[test]
fn what_the_vm_is_may_be_said_by_anybody() {
    let repo = Repo::with("name = 'web-1'\nram = '512mb'\ncpu = 1\nstorage = 5\nuser = 'dev'\n");
    let ran = repo.up(&[]);
    assert!(ran.err.contains("work/app/.ai-vm.toml` says"), "{}", ran.err);
    let vm = repo.vm();
    assert_eq!((&vm["name"], &vm["ram_mib"]), (&"web-1".into(), &512.into()), "{vm}");
    let record = fs::read_to_string(repo.home.vm("web-1").join("vm.toml")).unwrap();
    assert!(record.contains("512") && record.contains("dev"), "{record}");
    // What is typed comes first; another name means another VM.
    repo.home.ok(&["rm", "--force", "--yes", "web-1"]);
    repo.up(&["web-1", "--ram", "1gb"]);
    let record = fs::read_to_string(repo.home.vm("web-1").join("vm.toml")).unwrap();
    assert!(record.contains("1024") && record.contains("dev"), "{record}");
    repo.home.ok(&["rm", "--force", "--yes", "web-1"]);
    repo.up(&["other"]);
    assert_eq!(repo.vm()["name"], "other");
    assert!(!fs::read_to_string(repo.home.vm("other").join("vm.toml")).unwrap().contains("dev"));
}

#[test]
fn without_a_name_the_folder_has_one() {
    let repo = Repo::with("ram = 1\n");
    repo.up(&[]);
    assert_eq!(repo.vm()["name"], "app");
    fs::remove_file(repo.dir.join(".ai-vm.toml")).unwrap();
    let ran = repo.up(&[]);
    assert!(ran.code == 2 && ran.err.contains("nothing says which VM"), "{}", ran.err);
}

#[test]
fn this_machine_is_opened_only_by_consent() {
    let repo = Repo::with("name = 'web'\nshare-rw = ['.']\nports = ['auto:8000']\n");
    let ran = repo.up(&[]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    for part in
        ["`ports`, `share-rw`", "only when you trust it", "hint: look at it and agree: `ai-vm trust '"]
    {
        assert!(ran.err.contains(part), "{part} is not in {}", ran.err);
    }
    assert!(repo.home.list().is_empty());
    let show = repo.run(&["trust", "--show"]);
    assert!(show.code == 1 && show.out.contains("trusted   no"), "{}", show.out);
    // Nobody is asked who is not there.
    let ran = repo.run(&["trust"]);
    assert!(ran.code == 2 && ran.err.contains("ai-vm trust --yes"), "{}", ran.err);
    assert_eq!(repo.run(&["trust", "--yes"]).code, 0);
    let show = repo.run(&["trust", "--show", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&show.out).unwrap();
    assert_eq!((show.code, &shown["trust"], &shown["asks_for"][0]), (0, &"yes".into(), &"`ports`".into()));
    // A change of one byte, by whomever, and it is not trusted any more.
    repo.says("name = 'web'\nshare-rw = ['..']\nports = ['auto:8000']\n");
    let ran = repo.up(&[]);
    assert!(ran.code == 4 && ran.err.contains("has changed since you agreed"), "{}", ran.err);
    assert!(repo.home.list().is_empty());
    repo.says("name = 'web'\nshare-rw = ['.']\nports = ['auto:8000']\n");
    repo.up(&[]);
    let shared = repo.home.ok(&["share", "ls", "--json"]).out;
    assert!(shared.contains("/work/app\""), "{shared}");
    assert_eq!(repo.run(&["trust", "--revoke"]).code, 0);
    repo.home.ok(&["rm", "--force", "--yes", "web"]);
    assert_eq!(repo.up(&[]).code, 4);
    // Of the user's logins it gets none before that either.
    repo.says("name = 'web'\nclaude = 'copy'\n");
    let ran = repo.up(&[]);
    assert!(
        ran.code == 4 && ran.err.contains("asks for `claude`") && repo.home.list().is_empty(),
        "{}",
        ran.err
    );
    assert_eq!(repo.run(&["trust", "--yes"]).code, 0);
    repo.up(&["--claude", "token"]);
    assert_eq!(repo.vm()["claude"], "token");
    repo.home.ok(&["rm", "--force", "--yes", "web"]);
    repo.up(&[]);
    assert_eq!(repo.vm()["claude"], "copy");
    repo.home.ok(&["rm", "--force", "--yes", "web"]);
    repo.says("name = 'web'\nshare-rw = ['.']\nports = ['auto:8000']\n");
    // The same text elsewhere is another matter.
    assert_eq!(repo.run(&["trust", "--yes"]).code, 0);
    let copy = repo.home.dir().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(repo.dir.join(".ai-vm.toml"), copy.join(".ai-vm.toml")).unwrap();
    let mut command = repo.home.command(&["up"]);
    command.current_dir(copy);
    assert_eq!(finish(command, Duration::from_secs(60)).code, 4);
}

#[test]
fn whoever_sits_at_a_terminal_is_asked_and_shown_what() {
    let repo = Repo::with("name = 'web'\nshare-ro = ['.'] # \u{202e}\n");
    let file = repo.dir.join(".ai-vm.toml");
    for (keys, code) in [("\n", 1), ("n\n", 1), ("y\n", 0)] {
        let mut terminal = Pty::run(&repo.home.command(&["trust", file.to_str().unwrap()]));
        terminal.expect("asks for `share-ro`.");
        terminal.expect("Do you trust it? [y/N]");
        terminal.type_keys(keys);
        assert_eq!(terminal.exit_code(), code, "{}", terminal.screen());
        assert!(terminal.screen().contains("share-ro = ['.']") && !terminal.screen().contains('\u{202e}'));
        assert_eq!(repo.run(&["trust", "--show"]).code, code);
    }
}

#[test]
fn more_than_the_machine_has_needs_consent_too() {
    let repo = Repo::with("name = 'web'\nram = '1000gb'\n");
    let ran = repo.up(&[]);
    assert!(ran.code == 4 && ran.err.contains("of memory is more than"), "{}", ran.err);
}

#[test]
fn what_it_does_not_know_is_an_error_with_its_line() {
    for (text, part) in [
        ("name = 'web'\n\nbind = '0.0.0.0'\n", ".ai-vm.toml:3: unknown field `bind`"),
        ("ram = 'lots'\n", ".ai-vm.toml:1: `lots` is not a valid memory size"),
        ("name = 'a/b'\n", ".ai-vm.toml:1: "),
    ] {
        let ran = Repo::with(text).up(&[]);
        assert!(ran.code == 2 && ran.err.contains(part), "{}", ran.err);
    }
    let repo = Repo::with("");
    fs::remove_file(repo.dir.join(".ai-vm.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", repo.dir.join(".ai-vm.toml")).unwrap();
    let ran = repo.up(&[]);
    assert!(ran.code == 2 && ran.err.contains("is not a plain file"), "{}", ran.err);
    // And whoever names another VM does not care.
    repo.up(&["other"]);
    assert_eq!(repo.vm()["name"], "other");
}
