//! What others on this machine, and on the network, get to see of a VM: nothing.

use std::collections::HashSet;
use std::process::Command;
use std::time::Duration;

use crate::home::{Home, finish};
use crate::machine;
use crate::processes;

#[test]
fn nobody_else_may_read_a_file_whatever_the_umask() {
    for umask in ["000", "077"] {
        let home = Home::new();
        let flags = machine::empty(&home).join(" ");
        let binary = env!("CARGO_BIN_EXE_ai-vm");
        let script = format!(
            "umask {umask}; {binary} create vm {flags} && {binary} start --no-wait vm && {binary} ls \
             && {binary} stop --force vm && {binary} start --no-wait vm"
        );
        let settings = home.command(&[]);
        let mut command = Command::new("sh");
        command.args(["-c", &script]);
        for (name, value) in settings.get_envs() {
            value.map(|value| command.env(name, value));
        }
        let ran = finish(command, Duration::from_secs(60));
        assert_eq!(ran.code, 0, "{}", ran.err);
        let open: Vec<_> =
            processes::modes(&home.data()).into_iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
        assert!(open.is_empty(), "umask {umask}: {open:?}");
    }
}

#[test]
fn only_loopback_listens() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let pid = machine::pid(&home);
    let sockets: HashSet<String> = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .flatten()
        .filter_map(|entry| std::fs::read_link(entry.path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    // `sl local_address rem_address st ... inode`; state 0A listens. Of IPv6 there must be nothing at all.
    let listeners = |table: &str| -> Vec<String> {
        let table = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        rows.filter(|row| row.len() > 9 && row[3] == "0A" && sockets.contains(row[9]))
            .map(|row| row[1].to_owned())
            .collect()
    };
    let port = home.list()[0]["ssh_port"].as_u64().unwrap();
    assert_eq!(listeners("tcp"), [format!("0100007F:{port:04X}")]);
    assert!(listeners("tcp6").is_empty());
}

#[test]
fn secrets_stay_in_their_files() {
    let home = Home::new();
    machine::create(&home);
    // What begins a line of a private key, and the same as it travels to the guest.
    let canaries = ["CANARYCANARYCANARY", "Q0FOQVJZ", "NBTkFSW", "DQU5BUl"];
    for secret in ["id_ed25519", "host_ed25519"] {
        std::fs::write(home.vm("vm").join("identity").join(secret), canaries[0].repeat(3)).unwrap();
    }
    let mut said = String::new();
    for args in [
        &["start", "--no-wait", "vm"][..],
        &["info", "vm"],
        &["info", "--json", "vm"],
        &["logs", "vm"],
        &["logs", "--qemu", "vm"],
        &["exec", "--timeout", "1", "vm", "--", "true"],
        &["doctor"],
        &["config"],
    ] {
        let ran = home.run(args);
        said += &ran.out;
        said += &ran.err;
    }
    let pid = machine::pid(&home);
    for file in ["cmdline", "environ"] {
        said += &String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{file}")).unwrap());
    }
    for log in ["qemu.log", "console.log", "run.toml", "vm.toml"] {
        said += &String::from_utf8_lossy(&std::fs::read(home.vm("vm").join(log)).unwrap());
    }
    assert!(said.contains("-smbios"), "QEMU's arguments were not looked at");
    for canary in canaries {
        assert!(!said.contains(canary), "a secret got out: {said}");
    }
    // The copies for the guest are gone as soon as QEMU has read them.
    assert!(!home.vm("vm").join("credentials").exists());
}
