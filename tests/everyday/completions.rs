//! What shells put in: verbs, options, names of VMs and labels; and for places of `cp` names and files, never more than a
//! part of one word.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::home::{Ran, finish};
use crate::pty::Pty;

/// A home with the VMs `a`, `b` and `c`, all with the same files, and a directory with `ai-vm` for `PATH`.
fn serve() -> (Fleet, PathBuf) {
    let fleet = Fleet::new();
    // One of them has a label.
    let address = fleet.home.list()[1]["address"].as_str().unwrap().to_owned();
    fleet.home.ok(&["rm", "b"]);
    fleet.adopt("b", address.rsplit(':').next().unwrap().parse().unwrap(), &["-l", "team=red"]);
    let bin = fleet.home.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ai-vm"), bin.join("ai-vm")).unwrap();
    let there = fleet.home.dir().join("there");
    fs::create_dir_all(there.join("sub")).unwrap();
    for name in ["two words", "$(touch pwned)", "colon:s", "line\nend", "bell\u{7}", "right\u{202e}left"] {
        fs::write(there.join(name), "").unwrap();
    }
    fs::create_dir(fleet.home.dir().join("here")).unwrap();
    fs::write(fleet.home.dir().join("here/local file"), "").unwrap();
    (fleet, bin)
}

/// A command with the environment that a shell needs to find `ai-vm`.
fn shell(fleet: &Fleet, bin: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    for (name, value) in fleet.home.command(&[]).get_envs() {
        value.map(|value| command.env(name, value));
    }
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bin.display()));
    command
}

fn script(name: &str) -> String {
    format!("{}/completions/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Tries until this comes: on a machine that has much to do a VM may not answer in the second that it has.
fn expect(expected: &str, mut attempt: impl FnMut() -> String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let found = attempt();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} comes, and not {expected:?}");
    }
}

fn completed(fleet: &Fleet, typed: &str) -> Ran {
    fleet.home.ok(&["complete-place", "--", typed])
}

#[test]
fn what_can_be_typed_on() {
    let (fleet, _bin) = serve();
    for (typed, expected) in [
        ("", "a:\nb:\nc:\n"),
        ("b", "b:\n"),
        ("a,", "a,a:\na,b:\na,c:\n"),
        ("x", ""),
        ("./b", ""),
        ("a:th", "a:there/\n"),
        ("a,b:there/s", "a,b:there/sub/\n"),
        ("a:there/", "a:there/$(touch pwned)\na:there/colon:s\na:there/sub/\na:there/two words\n"),
        ("a:there/none", ""),
        ("nobody:", ""),
        (":there", ""),
        ("-x:", ""),
        ("a:/et", "a:/etc/\n"),
    ] {
        expect(expected, || completed(&fleet, typed).out);
    }
    // One that says nothing is not waited for long, and what is wrong with it is not said on a line that is being typed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    fleet.adopt("dead", listener.local_addr().unwrap().port(), &["--no-check"]);
    let ran = completed(&fleet, "dead:x");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
}

/// What the words can become that are typed after the program's name.
fn words(home: &crate::home::Home, typed: &[&str]) -> Vec<String> {
    let ran = home.ok(&[&["complete-words", "--"], typed].concat());
    assert_eq!(ran.err, "");
    ran.out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn what_a_word_can_become() {
    let home = crate::home::Home::new();
    home.ok(&["create", "web", "-l", "team=red", "-l", "note=$(touch pwned)"]);
    home.ok(&["create", "db", "-l", "team=red", "-l", "tier=blue"]);
    let none: [&str; 0] = [];
    assert_eq!(words(&home, &["do"]), ["doctor"]);
    assert_eq!(words(&home, &["hold"]), none);
    assert_eq!(words(&home, &["share", ""]), ["ls", "add", "rm"]);
    assert_eq!(words(&home, &["creds", "set", "--to"]), ["--token", "--token-env"]);
    for verb in ["exec", "shell", "stop", "up", "cp", "wait", "port", "ssh-keys"] {
        let expected: &[&str] = if ["cp", "port", "ssh-keys"].contains(&verb) { &none } else { &["db"] };
        assert_eq!(words(&home, &[verb, "d"]), expected, "{verb}");
    }
    assert_eq!(words(&home, &["port", "add", ""]), ["db", "web"]);
    assert_eq!(words(&home, &["port", "add", "web", ""]), none);
    // One that has been given is not given again, and the value of an option is no name.
    assert_eq!(words(&home, &["stop", "web", ""]), ["db"]);
    assert_eq!(words(&home, &["stop", "--jobs", "web", ""]), ["db", "web"]);
    assert_eq!(words(&home, &["create", ""]), none);
    // A label that a shell would act on has to be typed.
    assert_eq!(words(&home, &["ls", "-l", ""]), ["team=red", "tier=blue"]);
    assert_eq!(words(&home, &["exec", "--label", "ti"]), ["tier=blue"]);
    assert_eq!(words(&home, &["exec", "web", "--", ""]), none);
    assert_eq!(words(&home, &["no-such-verb", ""]), none);
    assert_eq!(words(&home, &["list", ""]), ["db", "web"]);
    // Options of every verb, before it and after it.
    for before in [&["--progress"][..], &["up", "--progress"], &["share", "ls", "--progress"]] {
        assert_eq!(words(&home, &[before, &["p"]].concat()), ["plain"], "{before:?}");
    }
    assert_eq!(words(&home, &["--progress", "json", "stop", "w"]), ["web"]);
    assert_eq!(words(&home, &["--progress=json", "do"]), ["doctor"]);
    assert_eq!(words(&home, &["port", "add", "--prog"]), ["--progress"]);
    assert_eq!(home.ok(&["complete-words"]).out, "");
    fs::create_dir_all(home.data().join("images/debian-abc")).unwrap();
    assert_eq!(words(&home, &["image", "rm", ""]), ["debian-abc"]);
}

/// Types a line until the command gets these arguments.
fn show(pty: &mut Pty, keys: &str, arguments: &str) {
    let mut seen = pty.screen().len();
    let head = &arguments[..=arguments.find('>').unwrap()];
    expect(arguments, || {
        pty.type_keys(&format!("show {keys}"));
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let screen = pty.screen();
            let shown = screen[seen..].find(head).and_then(|at| screen[seen + at..].split_once('\r'));
            if let Some((line, _)) = shown {
                seen = screen.len();
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "the command was not run: {screen}");
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

/// Types into a shell, and looks what a command would get.
fn type_in(fleet: &Fleet, mut pty: Pty, set_up: &str) {
    let here = fleet.home.dir().join("here").display().to_string();
    // What is echoed is not what is waited for.
    pty.type_keys(&format!(
        "cd '{here}'; {set_up}; show() {{ printf '<%s>' \"$@\"; echo; }}; echo set''-up\r"
    ));
    pty.expect("set-up");
    for (keys, arguments) in [
        ("sto\tb\t\r", "<stop><b>"),
        ("ls -l te\t\r", "<ls><-l><team=red>"),
        ("ls -l team=r\t\r", "<ls><-l><team=red>"),
        ("creds se\tc\t--token-\tX\r", "<creds><set><c><--token-env><X>"),
        ("cp a:the\ttw\t .\r", "<cp><a:there/two words><.>"),
        ("cp loc\tb:there/su\tx\r", "<cp><local file><b:there/sub/x>"),
        ("cp a:there/col\t c:\r", "<cp><a:there/colon:s><c:>"),
    ] {
        show(&mut pty, keys, arguments);
    }
    // The only file that begins so; it is a word, and not a command.
    fs::remove_file(fleet.home.dir().join("there/two words")).unwrap();
    fs::remove_file(fleet.home.dir().join("there/colon:s")).unwrap();
    fs::remove_dir(fleet.home.dir().join("there/sub")).unwrap();
    show(&mut pty, "cp a:there/\t .\r", "<cp><a:there/$(touch pwned)><.>");
    pty.type_keys("exit\r");
    assert_eq!(pty.exit_code(), 0, "{}", pty.screen());
    assert!(!fleet.home.dir().join("here/pwned").exists());
}

#[test]
fn bash_puts_it_in() {
    let (fleet, bin) = serve();
    let pty = Pty::run(&shell(&fleet, &bin, "bash", &["--norc", "--noprofile", "-i"]));
    type_in(&fleet, pty, &format!("source '{}'; complete -o default -F _ai_vm show", script("ai-vm.bash")));
}

#[test]
fn zsh_puts_it_in() {
    let (fleet, bin) = serve();
    let pty = Pty::run(&shell(&fleet, &bin, "zsh", &["-f", "-i"]));
    let functions = script("");
    type_in(
        &fleet,
        pty,
        &format!("fpath=('{functions}' $fpath); autoload -U compinit; compinit -u -D; compdef _ai-vm show"),
    );
}

#[test]
fn fish_knows_what_there_is() {
    let (fleet, bin) = serve();
    let complete = |line: &str| {
        let script = format!("source '{}'; complete -C '{line}'", script("ai-vm.fish"));
        let ran =
            finish(shell(&fleet, &bin, "fish", &["--no-config", "-c", &script]), Duration::from_secs(60));
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.out
    };
    assert!(complete("ai-vm cp ").contains("b:\n"));
    assert!(complete("ai-vm sto").starts_with("stop\tPower VMs off"));
    assert_eq!(complete("ai-vm stop a "), "b\nc\n");
    assert_eq!(complete("ai-vm ls -l te"), "team=red\n");
    assert!(complete("ai-vm creds set --token-").starts_with("--token-env\t"));
    assert!(complete("ai-vm trust /et").contains("/etc/"));
    expect("a:there/sub/\n", || complete("ai-vm cp a:there/s"));
}
