//! Other SSH clients: `ssh`, `scp`, `sftp`, `rsync` and `git` reach machines by what `ssh-config` tells them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use proptest::prelude::*;

use crate::home::{Home, Ran, finish, wait};
use crate::machine;
use crate::sshd::{Guest, Server, whoami};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program of OpenSSH's, or one that calls it, without anybody to ask.
fn client(home: &Home, program: &str, args: &[&str]) -> Ran {
    finish(command(home, program, args), PATIENCE)
}

fn command(home: &Home, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    // OpenSSH takes the home directory from the system, so the file has to be named.
    let options: &[&str] = match program {
        "ssh" | "scp" | "sftp" => &["-o", "BatchMode=yes", "-F", ".ssh/config"],
        _ => &[],
    };
    command.args(options).args(args).current_dir(home.dir()).stdin(Stdio::null());
    command.env("HOME", home.dir()).env("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -F .ssh/config");
    command.env_remove("SSH_AUTH_SOCK").env_remove("AI_VM_HOME");
    command
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

fn ssh(home: &Home, args: &[&str]) -> Ran {
    client(home, "ssh", args)
}

fn keygen(file: &Path) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(file);
    assert!(command.status().unwrap().success());
}

/// Adopts a real server as `Box_1`, with a key whose path means something to OpenSSH.
fn adopt(home: &Home) -> Server {
    let (host, key) = (home.dir().join("host"), home.dir().join("k %d\"$x"));
    keygen(&host);
    keygen(&key);
    let port = portpicker::pick_unused_port().unwrap();
    let authorized = home.dir().join("authorized");
    std::fs::copy(home.dir().join("k %d\"$x.pub"), &authorized).unwrap();
    let settings = "Subsystem sftp internal-sftp";
    let server = Server::start(home.dir(), port, &host, &authorized, settings);
    let host_key = std::fs::read_to_string(home.dir().join("host.pub")).unwrap();
    let address = format!("{}@127.0.0.1:{port}", whoami());
    home.ok(&["adopt", "Box_1", &address, "-i", key.to_str().unwrap(), "--host-key", host_key.trim()]);
    server
}

/// Works with a machine in every way that there is.
fn use_all(home: &Home, host: &str) {
    let path = |name: &str| home.dir().join(name).display().to_string();
    let ran = ssh(home, &[host, "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (7, "out\n", "err\n"));
    let content: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(home.dir().join("big"), &content).unwrap();
    let same = |name: &str| {
        assert!(std::fs::read(home.dir().join(name)).unwrap() == content, "{name} is another file");
        std::fs::remove_file(home.dir().join(name)).unwrap();
    };
    let ran = client(home, "scp", &["big", &format!("{host}:{}", path("by scp"))]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    same("by scp");
    std::fs::write(home.dir().join("batch"), format!("get \"{}\" by-sftp\n", path("big"))).unwrap();
    let ran = client(home, "sftp", &["-b", "batch", host]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    same("by-sftp");
    if installed("rsync") {
        let shell = "ssh -o BatchMode=yes -F .ssh/config";
        let ran = client(home, "rsync", &["-a", "-e", shell, "big", &format!("{host}:{}", path("by-rsync"))]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        same("by-rsync");
    }
    if installed("git") {
        let git = |args: &[&str]| {
            let identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
            let ran = client(home, "git", &[&identity, args].concat());
            assert_eq!(ran.code, 0, "git {args:?}: {}", ran.err);
        };
        if !home.dir().join("repo").exists() {
            git(&["init", "-q", "repo"]);
            git(&["-C", "repo", "commit", "-q", "--allow-empty", "-m", "one"]);
        }
        git(&["clone", "-q", &format!("{host}:{}", path("repo")), "cloned"]);
        assert!(home.dir().join("cloned/.git").exists());
        std::fs::remove_dir_all(home.dir().join("cloned")).unwrap();
    }
}

#[test]
fn every_client_reaches_an_adopted_machine() {
    let home = Home::new();
    let server = adopt(&home);
    home.ok(&["ssh-config", "--install"]);
    for host in ["Box_1.ai-vm", "box_1.ai-vm"] {
        use_all(&home, host);
    }
    // What is printed is enough by itself.
    std::fs::write(home.dir().join(".ssh/config"), home.ok(&["ssh-config", "Box_1"]).out).unwrap();
    assert_eq!(ssh(&home, &["Box_1.ai-vm", "true"]).code, 0);
    drop(server);
}

#[test]
fn a_vm_is_reached_by_its_name_whatever_its_port_and_path() {
    let settings = "Subsystem sftp internal-sftp";
    let mut guest = Guest::serve(settings);
    guest.home.ok(&["ssh-config", "--install"]);
    use_all(&guest.home, "vm.ai-vm");
    // Its port is another one from now on, and nobody has told OpenSSH.
    guest.server = None;
    guest.move_to(portpicker::pick_unused_port().unwrap(), settings);
    let home = &guest.home;
    let ran = ssh(home, &["vm.ai-vm", "true"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let printed = home.ok(&["ssh-config"]).out;
    assert!(printed.contains(&format!("Port {}", guest.port)), "{printed}");
    std::fs::write(home.dir().join(".ssh/config"), printed).unwrap();
    assert_eq!(ssh(home, &["vm.ai-vm", "true"]).code, 0);
}

#[test]
fn odd_paths_are_written_so_that_openssh_reads_them() {
    let home = Home::with_data_in("a b/50% \"it's\" [$x] {1} \u{fc}\\");
    let _server = adopt(&home);
    home.ok(&["ssh-config", "--install"]);
    assert_eq!(ssh(&home, &["Box_1.ai-vm", "true"]).code, 0, "{}", ssh(&home, &["Box_1.ai-vm", "true"]).err);
    // The command that connects is found there too: it says which VM it cannot reach.
    home.ok(&["create", "vm"]);
    for printed in [None, Some(home.ok(&["ssh-config", "vm"]).out)] {
        if let Some(printed) = printed {
            std::fs::write(home.dir().join(".ssh/config"), printed).unwrap();
        }
        let ran = ssh(&home, &["vm.ai-vm", "true"]);
        assert!(ran.code == 255 && ran.err.contains("`vm` is stopped"), "{}", ran.err);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_path_arrives_as_it_is(name in "[ -.0-~\t\u{fc}]{1,20}") {
        prop_assume!(!name.contains("${") && name != "." && name != "..");
        let home = Home::with_data_in(&name);
        home.ok(&["create", "vm"]);
        home.ok(&["ssh-config", "--install"]);
        let settings = ssh(&home, &["-G", "vm.ai-vm"]).out;
        // It is shown before OpenSSH makes one percent sign of two.
        let key = home.vm("vm").join("identity/id_ed25519").display().to_string().replace('%', "%%");
        prop_assert!(settings.lines().any(|line| line == format!("identityfile {key}")), "{settings}");
        let script = home.data().join("ssh_proxy");
        let ran = client(&home, "sh", &[script.to_str().unwrap(), "vm"]);
        prop_assert!(ran.err.contains("`vm` is stopped"), "{}", ran.err);
    }
}

#[test]
fn a_server_with_another_key_gets_nothing() {
    let home = Home::new();
    let mut server = adopt(&home);
    home.ok(&["ssh-config", "--install"]);
    let port = home.list()[0]["address"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let accepted = |server: &Server| server.says().matches("Accepted publickey").count();
    let before = accepted(&server);
    drop(server);
    keygen(&home.dir().join("other"));
    server = Server::start(home.dir(), port, &home.dir().join("other"), &home.dir().join("authorized"), "");
    let ran = ssh(&home, &["box_1.ai-vm", "true"]);
    assert!(ran.code == 255 && ran.err.contains("erification failed"), "{}", ran.err);
    // The log goes on where the other server's ended.
    assert_eq!(accepted(&server), before, "{}", server.says());
    // Nobody's yes is remembered anywhere.
    assert!(!home.dir().join(".ssh/known_hosts").exists());
}

#[test]
fn the_file_of_the_user_keeps_everything_that_is_theirs() {
    let home = Home::new();
    let (config, dotfile) = (home.dir().join(".ssh/config"), home.dir().join("dotfile"));
    let theirs = "# mine\r\nHost *\n    ForwardAgent yes\n    User \u{fc}\n\tPort 7";
    std::fs::create_dir(home.dir().join(".ssh")).unwrap();
    std::fs::write(&dotfile, theirs).unwrap();
    std::fs::set_permissions(&dotfile, PermissionsExt::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("../dotfile", &config).unwrap();
    for _ in 0..2 {
        home.ok(&["ssh-config", "--install"]);
        let text = std::fs::read_to_string(&config).unwrap();
        let (line, rest) = text.split_once('\n').unwrap();
        assert!(line.starts_with("Include ") && rest == theirs, "{text}");
    }
    // VMs come and go without another word.
    home.ok(&["create", "one"]);
    let settings = ssh(&home, &["-G", "one.ai-vm"]).out;
    assert!(settings.contains("stricthostkeychecking true\n"), "{settings}");
    assert!(settings.contains("forwardagent no\n"), "{settings}");
    assert!(settings.contains("user tester\n") && settings.contains("ssh_proxy' one\n"), "{settings}");
    home.ok(&["rm", "one"]);
    assert!(!ssh(&home, &["-G", "one.ai-vm"]).out.contains("proxycommand"));
    home.ok(&["ssh-config", "--uninstall"]);
    home.ok(&["ssh-config", "--uninstall"]);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), theirs);
    assert!(config.is_symlink());
    assert_eq!(std::fs::metadata(&dotfile).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn what_is_missing_or_stale_is_written_by_the_next_install() {
    let home = Home::new();
    home.ok(&["create", "old"]);
    std::fs::remove_file(home.vm("old").join("ssh_config")).unwrap();
    std::fs::remove_file(home.vm("old").join("identity/known_hosts")).unwrap();
    home.ok(&["ssh-config", "--install"]);
    assert!(ssh(&home, &["-G", "old.ai-vm"]).out.contains("hostkeyalias old.ai-vm\n"));
    assert!(home.vm("old").join("identity/known_hosts").exists());
}

/// `ai-vm proxy` with its streams in the test's hands.
fn proxy(home: &Home, args: &[&str]) -> std::process::Child {
    let mut command = home.command(&[&["proxy"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A server of the test's own, adopted as `box`.
fn listener(home: &Home) -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    keygen(&home.dir().join("host"));
    let key = std::fs::read_to_string(home.dir().join("host.pub")).unwrap();
    let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
    home.ok(&["adopt", "box", &address, "--no-check", "--host-key", key.trim()]);
    listener
}

#[test]
fn bytes_pass_unchanged_and_each_direction_ends_by_itself() {
    let home = Home::new();
    let listener = listener(&home);
    let mut child = proxy(&home, &["box"]);
    let (mut server, _) = listener.accept().unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    server.write_all(b"SSH-2.0-test\r\n").unwrap();
    let content: Vec<u8> = (0..2_000_000u32).map(|n| (n % 253) as u8).collect();
    let (mut stdin, sent) = (child.stdin.take().unwrap(), content.clone());
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut received = Vec::new();
    server.read_to_end(&mut received).unwrap();
    writer.join().unwrap();
    assert!(received == content);
    // The other direction is open still.
    server.write_all(b"\0\xffafter the end").unwrap();
    drop(server);
    let mut out = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut out).unwrap();
    assert_eq!(out, b"SSH-2.0-test\r\n\0\xffafter the end");
    assert_eq!(wait(child, PATIENCE, "proxy").code, 0);
}

#[test]
fn a_server_that_ends_first_ends_it_while_nobody_types() {
    let home = Home::new();
    let listener = listener(&home);
    let mut child = proxy(&home, &["box"]);
    let (mut server, _) = listener.accept().unwrap();
    let keyboard = child.stdin.take();
    server.write_all(b"SSH-2.0-test\r\n").unwrap();
    drop(server);
    assert_eq!(wait(child, PATIENCE, "proxy").code, 0);
    drop(keyboard);
}

#[test]
fn a_reader_that_goes_away_ends_it_while_the_server_speaks() {
    let home = Home::new();
    let listener = listener(&home);
    let mut child = proxy(&home, &["box"]);
    let (mut server, _) = listener.accept().unwrap();
    server.set_write_timeout(Some(PATIENCE)).unwrap();
    let keyboard = child.stdin.take();
    server.write_all(b"SSH-2.0-test\r\n").unwrap();
    drop(child.stdout.take());
    // As long as somebody takes it.
    while server.write_all(&[0; 4096]).is_ok() {}
    assert_eq!(wait(child, PATIENCE, "proxy").code, 0);
    drop(keyboard);
}

#[test]
fn many_installs_at_once_add_one_line() {
    let home = Home::new();
    home.ok(&["create", "vm"]);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| home.ok(&["ssh-config", "--install"]));
        }
    });
    let text = std::fs::read_to_string(home.dir().join(".ssh/config")).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(std::fs::read_dir(home.dir().join(".ssh")).unwrap().count(), 1);
}

#[test]
fn whoever_cannot_be_reached_is_code_255_and_nothing_on_stdout() {
    let home = Home::new();
    home.ok(&["create", "vm"]);
    let listener = listener(&home);
    drop(listener);
    for (args, says) in [
        (&["vm"][..], "`ai-vm start vm`"),
        (&["box"], "nothing answers"),
        (&["nobody"], "no VM named `nobody`"),
    ] {
        let ran = wait(proxy(&home, args), PATIENCE, "proxy");
        assert_eq!((ran.code, ran.out.as_str()), (255, ""), "{args:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{args:?}: {}", ran.err);
    }
}

#[test]
fn a_stopped_vm_is_started_where_that_is_wanted() {
    let home = Home::new();
    machine::create(&home);
    let ran = wait(proxy(&home, &["--start", "--timeout", "2", "vm"]), PATIENCE, "proxy");
    assert!(ran.code == 255 && ran.err.contains("was not ready within 2 s"), "{}", ran.err);
    machine::pid(&home);
    home.ok(&["ssh-config", "--install", "--start"]);
    let script = std::fs::read_to_string(home.data().join("ssh_proxy")).unwrap();
    assert!(script.contains(" proxy --start "), "{script}");
    home.ok(&["ssh-config", "--install"]);
    assert!(!std::fs::read_to_string(home.data().join("ssh_proxy")).unwrap().contains("--start"));
}
