//! Forwards of a VM that exists: added, taken away, and shown as they really are.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use serde_json::Value;

use crate::home::Home;
use crate::machine;
use crate::processes;

fn unused() -> u16 {
    portpicker::pick_unused_port().unwrap()
}

/// What `port ls` says of a host port; `None` when it does not list it.
fn state(home: &Home, host: u16) -> Option<String> {
    let rows: Vec<Value> = serde_json::from_str(&home.ok(&["port", "ls", "--json", "vm"]).out).unwrap();
    let row = rows.iter().find(|row| row["host"] == host)?;
    assert_eq!(row["in_use"], row["state"] != "free", "{row}");
    Some(row["state"].as_str().unwrap().to_owned())
}

fn listens(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[test]
fn a_running_vm_gets_and_loses_ports_at_once_and_keeps_them_over_a_restart() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let (one, two) = (unused(), unused());
    let ran = home.ok(&["port", "add", "vm", &format!("{one}:80"), &format!("{two}:81")]);
    assert_eq!(ran.out, "");
    assert!(ran.err.contains(&format!("forwards 127.0.0.1:{one} to guest port 80")), "{}", ran.err);
    assert!(listens(one) && listens(two));
    assert_eq!(state(&home, one).as_deref(), Some("listening"));
    // The same again changes nothing.
    home.ok(&["port", "add", "vm", &format!("{one}:80"), "auto:81"]);
    assert_eq!(home.list()[0]["ports"].as_array().unwrap().len(), 3);
    home.ok(&["port", "rm", "vm", &two.to_string()]);
    assert!(listens(one) && !listens(two));
    assert_eq!(state(&home, two), None);
    assert_eq!(home.run(&["port", "rm", "vm", &two.to_string()]).code, 3);
    home.ok(&["stop", "--force", "vm"]);
    assert!(!listens(one));
    assert_eq!(state(&home, one).as_deref(), Some("free"));
    machine::start(&home);
    assert!(listens(one) && !listens(two));
}

#[test]
fn a_stopped_vm_gets_them_when_it_starts() {
    let home = Home::new();
    machine::create(&home);
    let port = unused();
    home.ok(&["port", "add", "vm", &format!("{port}:80"), "auto:24080"]);
    assert_eq!(state(&home, port).as_deref(), Some("free"));
    let chosen = home.list()[0]["ports"][2].clone();
    assert_eq!(chosen["guest"], 24080);
    machine::start(&home);
    assert!(listens(port) && listens(u16::try_from(chosen["host"].as_u64().unwrap()).unwrap()));
}

#[test]
fn what_cannot_be_had_leaves_everything_as_it_was() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let record = home.vm("vm").join("vm.toml");
    let before = std::fs::read_to_string(&record).unwrap();
    let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = thief.local_addr().unwrap().port();
    let free = unused();
    let ssh = home.list()[0]["ssh_port"].as_u64().unwrap();
    let cases = [
        (vec![format!("{free}:80"), format!("{taken}:81")], 4, format!("pid {}", std::process::id())),
        (vec![format!("{ssh}:80")], 4, "belongs to the VM `vm`".to_owned()),
        (vec![format!("{free}:80"), format!("{free}:81")], 2, "asked for twice".to_owned()),
        (vec!["80".to_owned()], 2, "is not a port forward".to_owned()),
    ];
    for (forwards, code, message) in cases {
        let forwards: Vec<&str> = forwards.iter().map(String::as_str).collect();
        let ran = home.run(&[&["port", "add", "vm"], forwards.as_slice()].concat());
        assert_eq!(ran.code, code, "{forwards:?}: {}", ran.err);
        assert!(ran.err.contains(&message), "{forwards:?}: {}", ran.err);
        assert_eq!(std::fs::read_to_string(&record).unwrap(), before, "{forwards:?}");
        assert!(!listens(free));
    }
    let ran = home.run(&["port", "rm", "vm", &ssh.to_string()]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("leads to the SSH server"), "{}", ran.err);
    assert!(listens(u16::try_from(ssh).unwrap()));
}

#[test]
fn a_port_that_qemu_itself_cannot_open_is_given_back() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let record = home.vm("vm").join("vm.toml");
    let before = std::fs::read_to_string(&record).unwrap();
    // QEMU may open one more file, which will be our connection to its control socket.
    let pid = machine::pid(&home);
    let is_open = |fd: &u32| std::path::Path::new(&format!("/proc/{pid}/fd/{fd}")).symlink_metadata().is_ok();
    let limit = (0..).find(|fd| !is_open(fd)).unwrap() + 1;
    let set = |limit: &str| {
        let limit = format!("--nofile={limit}:");
        assert!(
            Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status().unwrap().success()
        );
    };
    set(&limit.to_string());
    let port = unused();
    let forward = format!("{port}:80");
    let ran = home.run(&["port", "add", "vm", &forward]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("QEMU refused `hostfwd_add`"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&record).unwrap(), before);
    set("1000");
    home.ok(&["port", "add", "vm", &forward]);
    assert!(listens(port));
}

#[test]
fn a_hung_qemu_is_told_within_its_deadline_and_changes_nothing() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let before = home.list()[0]["ports"].clone();
    processes::signal(machine::pid(&home), "STOP");
    let ran = home.run(&["port", "add", "vm", &format!("{}:80", unused())]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.err.contains("does not answer on its control socket"), "{}", ran.err);
    assert_eq!(home.list()[0]["ports"], before);
    // The kernel says who listens, whatever QEMU is doing.
    let ssh = u16::try_from(home.list()[0]["ssh_port"].as_u64().unwrap()).unwrap();
    assert_eq!(state(&home, ssh).as_deref(), Some("listening"));
}

#[test]
fn the_whole_fleet_is_listed_and_a_stranger_is_named() {
    let home = Home::new();
    machine::create(&home);
    home.ok(&[
        "create",
        "other",
        "--no-default-ports",
        "-l",
        "team=red",
        "--ssh-port",
        &unused().to_string(),
    ]);
    home.ok(&["create", "broken"]);
    std::fs::write(home.vm("broken").join("vm.toml"), "").unwrap();
    let ssh = u16::try_from(home.list()[2]["ssh_port"].as_u64().unwrap()).unwrap();
    let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, ssh)).unwrap();
    let ran = home.ok(&["port", "ls"]);
    let lines: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["VM", "HOST", "GUEST", "BIND", "STATE"]);
    assert_eq!(lines[1][..3], ["other", lines[1][1], "22"]);
    assert_eq!(lines[2][..6], ["vm", &ssh.to_string(), "22", "127.0.0.1", "taken", "by"], "{}", ran.out);
    assert!(ran.out.contains(&format!("(pid {})", std::process::id())), "{}", ran.out);
    assert!(ran.err.contains("warning: broken: "), "{}", ran.err);
    assert_eq!(home.ok(&["port", "ls", "-l", "team=red"]).out.lines().count(), 2);
    assert_eq!(home.run(&["port", "ls", "nobody"]).code, 3);
    drop(thief);
}
