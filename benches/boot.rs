//! From `ai-vm start` to the end of the first `exec`, beside the same disk started by hand: the same QEMU with the
//! same arguments, asked by OpenSSH in a tight loop until a command has run. Run with `cargo bench --bench boot`; the
//! number of rounds can follow: `cargo bench --bench boot -- 15`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints and panics"
)]

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/home.rs"]
mod home;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/processes.rs"]
mod processes;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ai_vm::guest::credentials::Identity;
use home::{Home, finish};

const ROUNDS: usize = 9;
const VM: &str = "bench";

fn main() {
    let home = Home::new();
    home.ok(&["create", VM, "--user", "dev", "--ram", "2", "--no-default-ports"]);
    // Makes the image and lets the first boot do what only a first boot does.
    let first = finish(home.command(&["start", "--timeout", "10m", VM]), Duration::from_secs(15 * 60));
    assert_eq!(first.code, 0, "{}", first.err);
    let arguments = launched_with(&home);
    home.ok(&["stop", VM]);
    let rounds = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(ROUNDS);
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        // An emulated boot varies by a tenth, so what is compared runs side by side, each first in turn.
        let ours_first = (round % 2 == 0).then(|| our_run(&home));
        let by_hand = hand_run(&home, &arguments);
        let ours = ours_first.unwrap_or_else(|| our_run(&home));
        ratios.push(ours / by_hand);
        println!("round {round}: ai-vm {ours:6.2} s   by hand {by_hand:6.2} s   ratio {:.3}", ours / by_hand);
    }
    println!("median of the ratios: {:.3}", median(ratios));
}

/// Returns the arguments of the running QEMU.
fn launched_with(home: &Home) -> Vec<String> {
    let (pid, _) = processes::running(home)[0];
    let arguments = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let text = String::from_utf8(arguments).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// Seconds from the start to the end of the first command, then stops.
fn our_run(home: &Home) -> f64 {
    let begun = Instant::now();
    home.ok(&["start", VM]);
    home.ok(&["exec", VM, "--", "true"]);
    let took = begun.elapsed().as_secs_f64();
    home.ok(&["stop", VM]);
    took
}

/// The same with QEMU and OpenSSH alone.
fn hand_run(home: &Home, arguments: &[String]) -> f64 {
    let dir = home.vm(VM);
    write_credentials(&dir);
    let ssh = ssh(home, arguments);
    let begun = Instant::now();
    let mut qemu = Command::new(&arguments[0]);
    qemu.args(&arguments[1..]).current_dir(&dir).stdin(Stdio::null());
    let mut qemu = qemu
        .stdout(Stdio::null())
        .stderr(File::create(home.dir().join("by-hand.log")).unwrap())
        .spawn()
        .unwrap();
    while !run(&ssh, "true") {
        assert!(begun.elapsed() < Duration::from_secs(120), "the guest does not answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = begun.elapsed().as_secs_f64();
    // One login may take longer than OpenSSH was told to wait.
    while qemu.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(240), "the guest does not power off");
        run(&ssh, "sudo systemctl poweroff");
        std::thread::sleep(Duration::from_millis(500));
    }
    std::fs::remove_dir_all(dir.join("credentials")).unwrap();
    took
}

/// Writes what the guest is told at launch; ai-vm deletes these files as soon as QEMU has read them.
fn write_credentials(dir: &Path) {
    let read = |name: &str| std::fs::read_to_string(dir.join("identity").join(name)).unwrap();
    let identity = Identity {
        hostname: VM.to_owned(),
        machine_id: read("machine-id").trim().to_owned(),
        user: "dev".to_owned(),
        uid: 1000,
        authorized_keys: read("id_ed25519.pub"),
        host_key: read("host_ed25519"),
        boot: "by-hand".to_owned(),
        fstab: String::new(),
    };
    std::fs::create_dir_all(dir.join("credentials")).unwrap();
    for (name, string) in identity.smbios_strings() {
        std::fs::write(dir.join("credentials").join(name), string).unwrap();
    }
}

/// OpenSSH's arguments, with what shortens its waits: it gives a silent guest one second.
fn ssh(home: &Home, arguments: &[String]) -> Vec<String> {
    let forward = arguments.iter().find_map(|value| value.split_once("hostfwd=tcp:127.0.0.1:")).unwrap().1;
    let port = forward.split_once('-').unwrap().0.to_owned();
    let key = home.vm(VM).join("identity/id_ed25519").display().to_string();
    let known = home.dir().join("known_hosts").display().to_string();
    let mut all = vec!["-F".into(), "none".into(), "-i".into(), key, "-p".into(), port];
    for option in ["BatchMode=yes", "ConnectTimeout=1", "StrictHostKeyChecking=accept-new", "LogLevel=QUIET"]
    {
        all.extend(["-o".into(), option.into()]);
    }
    all.extend(["-o".into(), format!("UserKnownHostsFile={known}"), "dev@127.0.0.1".into()]);
    all
}

fn run(ssh: &[String], command: &str) -> bool {
    let mut run = Command::new("ssh");
    run.args(ssh).arg(command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().unwrap().success()
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
