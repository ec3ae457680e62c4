//! QEMU dies, hangs, does not listen to its power button; its port or its disk is gone.

use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use crate::home::Home;
use crate::machine;
use crate::processes;

#[test]
fn a_killed_qemu_is_a_stopped_vm_that_starts_again() {
    let home = Home::new();
    machine::create(&home);
    for _ in 0..2 {
        machine::start(&home);
        assert_eq!(home.state(), "starting");
        processes::signal(machine::pid(&home), "KILL");
        let deadline = Instant::now() + Duration::from_secs(2);
        while home.state() != "stopped" {
            assert!(Instant::now() < deadline, "still {}", home.state());
        }
        assert_eq!(home.run(&["exec", "vm", "--", "true"]).code, 125);
        home.ok(&["stop", "vm"]);
    }
}

#[test]
fn a_hung_qemu_is_unresponsive_and_can_be_stopped() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let pid = machine::pid(&home);
    processes::signal(pid, "STOP");
    let begun = Instant::now();
    assert_eq!(home.state(), "unresponsive");
    assert!(begun.elapsed() < Duration::from_secs(2), "ls took {:?}", begun.elapsed());
    let ran = home.run(&["wait", "--timeout", "30", "vm"]);
    assert!(ran.err.contains("does not answer on its control socket"), "{}", ran.err);
    assert_eq!(ran.code, 1);
    home.ok(&["stop", "vm"]);
    assert_eq!(home.state(), "stopped");
    assert!(processes::running(&home).is_empty());
    machine::start(&home);
    assert_eq!(home.state(), "starting");
}

#[test]
fn a_guest_that_ignores_its_power_button_is_ended_after_the_grace() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let ran = home.ok(&["stop", "-t", "1", "vm"]);
    assert!(ran.err.contains("warning: it did not power off within 1 s"), "{}", ran.err);
    assert!(processes::running(&home).is_empty());
    machine::start(&home);
}

#[test]
fn a_stolen_port_is_moved_if_it_was_automatic() {
    let home = Home::new();
    let flags = machine::empty(&home);
    let mut flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    flags.extend(["-p", "auto:8080"]);
    home.ok(&[&["create", "vm"], flags.as_slice()].concat());
    let port = |home: &Home| home.list()[0]["ports"][1]["host"].as_u64().unwrap();
    let old = port(&home);
    let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(old).unwrap())).unwrap();
    let ran = machine::start(&home);
    assert_ne!(port(&home), old);
    assert!(ran.err.contains(&format!("host port {old} is taken")), "{}", ran.err);
    drop(thief);
}

#[test]
fn a_stolen_port_that_was_asked_for_is_an_error_that_names_the_holder() {
    let home = Home::new();
    machine::create(&home);
    let port = home.list()[0]["ssh_port"].as_u64().unwrap();
    let thief = TcpListener::bind((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap())).unwrap();
    let ran = home.run(&["start", "--no-wait", "vm"]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    let holder = format!("pid {}", std::process::id());
    assert!(ran.err.contains(&port.to_string()) && ran.err.contains(&holder), "{}", ran.err);
    assert_eq!(home.state(), "stopped");
    drop(thief);
    machine::start(&home);
}

#[test]
fn a_missing_disk_is_never_replaced_without_being_asked() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    home.ok(&["stop", "--force", "vm"]);
    let disk = home.vm("vm").join("disk.qcow2");
    std::fs::remove_file(&disk).unwrap();
    let vm = &home.list()[0];
    assert_eq!((&vm["state"], &vm["problem"]), (&"broken".into(), &"its disk is missing".into()));
    let ran = home.run(&["start", "--no-wait", "vm"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("--new-disk"), "{}", ran.err);
    assert!(!disk.exists());
    home.ok(&["start", "--no-wait", "--new-disk", "vm"]);
    assert_eq!(home.state(), "starting");
    // One that runs keeps its disk, and that is said.
    home.ok(&["start", "--no-wait", "vm"]);
    for anew in ["--new-disk", "--base"] {
        let ran = home.run(&["start", "--no-wait", anew, "vm"]);
        assert_eq!(ran.code, 4, "{}", ran.err);
        assert!(ran.err.contains("`ai-vm stop vm`"), "{}", ran.err);
    }
}

#[test]
fn a_qemu_that_cannot_start_says_why_and_leaves_nothing_running() {
    let home = Home::new();
    machine::create(&home);
    let record = home.vm("vm").join("vm.toml");
    let text = std::fs::read_to_string(&record).unwrap();
    std::fs::write(&record, text.replace("pc-q35-7.2", "pc-q35-99.9")).unwrap();
    let ran = home.run(&["start", "--no-wait", "vm"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("does not know the VM's machine type"), "{}", ran.err);
    assert!(processes::running(&home).is_empty());
    assert_eq!(home.state(), "stopped");
}

#[test]
fn many_starts_at_once_run_one_qemu() {
    let home = Home::new();
    machine::create(&home);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| machine::start(&home));
        }
    });
    machine::pid(&home);
}

#[test]
fn a_running_vm_is_not_removed_by_accident() {
    let home = Home::new();
    machine::create(&home);
    machine::start(&home);
    let ran = home.run(&["rm", "vm"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("--force"), "{}", ran.err);
    home.ok(&["rm", "--force", "vm"]);
    assert!(home.list().is_empty() && processes::running(&home).is_empty());
    assert!(!home.vm("vm").exists());
}
