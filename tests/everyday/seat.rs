//! Sound and screens of VMs, on machines that have them and on such that do not.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::home::{Home, Ran, finish};
use crate::machine;

/// Runs the binary as if nobody sat at this machine, with these variables.
fn run(home: &Home, args: &[&str], seat: &[(&str, &str)]) -> Ran {
    let mut command = home.command(args);
    for theirs in ["DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "PULSE_SERVER"] {
        command.env_remove(theirs);
    }
    command.envs(seat.iter().copied());
    finish(command, Duration::from_secs(60))
}

fn create(home: &Home, name: &str, flags: &[&str], seat: &[(&str, &str)]) -> Ran {
    let empty = machine::empty(home);
    let empty: Vec<&str> = empty.iter().map(String::as_str).collect();
    run(home, &[&["create", name], empty.as_slice(), flags].concat(), seat)
}

fn info(home: &Home, name: &str) -> Value {
    serde_json::from_str::<Value>(&home.ok(&["info", "--json", name]).out).unwrap()[0].clone()
}

/// A QEMU that is the real one, except that it has what this file of a shell script says.
pub fn qemu(home: &Home, name: &str, cases: &str) -> PathBuf {
    let path = home.dir().join(name);
    let text = format!("#!/bin/sh\ncase \"$*\" in\n{cases}\nesac\nexec qemu-system-x86_64 \"$@\"\n");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_screen_is_for_its_owner_by_loopback() {
    let home = Home::new();
    let made = create(&home, "vm", &["--desktop", "--resolution", "1280x720"], &[]);
    assert_eq!(made.code, 0, "{}", made.err);
    assert_eq!(home.list()[0]["desktop"], "1280x720");
    assert_eq!(info(&home, "vm")["screen"], Value::Null);
    let vnc = qemu(&home, "without-spice", "'-spice help') exit 1 ;;");
    for (qemu, scheme) in [(None, "spice"), (Some(vnc), "vnc")] {
        let mut seat = Vec::new();
        let path = qemu.as_ref().map(|path| path.to_str().unwrap());
        seat.extend(path.map(|path| ("AI_VM_QEMU", path)));
        let started = run(&home, &["start", "--no-wait", "vm"], &seat);
        assert_eq!(started.code, 0, "{}", started.err);
        let vm = info(&home, "vm");
        let address = vm["screen"].as_str().unwrap();
        let (found, port) = address.split_once("://127.0.0.1:").unwrap();
        assert_eq!(found, scheme);
        let mut viewer = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
        viewer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        if scheme == "vnc" {
            // RFC 6143: versions, then the ways to log in, of which there is one: by password (2).
            let mut said = [0; 12];
            viewer.read_exact(&mut said).unwrap();
            assert!(said.starts_with(b"RFB 003."), "{said:?}");
            viewer.write_all(b"RFB 003.008\n").unwrap();
            let mut ways = [0; 2];
            viewer.read_exact(&mut ways).unwrap();
            assert_eq!(ways, [1, 2]);
        }
        let password = PathBuf::from(vm["screen_password"].as_str().unwrap());
        assert_eq!(std::fs::metadata(&password).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(&password).unwrap().len(), 20);
        let pid = vm["pid"].as_u64().unwrap();
        let args = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(args.contains("virtio-vga,xres=1280,yres=720") && args.contains("spawn=deny"), "{args}");
        let secret = std::fs::read_to_string(&password).unwrap();
        assert!(!args.contains(&secret), "the password is among the arguments");
        home.ok(&["stop", "--force", "vm"]);
        assert_eq!(info(&home, "vm")["screen"], Value::Null);
    }
}

#[test]
fn two_screens_have_two_ports_and_keep_them() {
    let home = Home::new();
    for name in ["a", "b"] {
        assert_eq!(create(&home, name, &["-d"], &[]).code, 0);
    }
    let start = || {
        assert_eq!(run(&home, &["start", "--no-wait", "a", "b"], &[]).code, 0);
        let screens = ["a", "b"].map(|name| info(&home, name)["screen"].as_str().unwrap().to_owned());
        home.ok(&["stop", "--force", "a", "b"]);
        screens
    };
    let first = start();
    assert_ne!(first[0], first[1]);
    assert_eq!(start(), first);
    // Nor does a forward get it.
    let port = first[0].rsplit(':').next().unwrap();
    let ran = home.run(&["create", "c", "-p", &format!("{port}:80")]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("belongs to the VM `a`"), "{}", ran.err);
}

#[test]
fn sound_is_refused_with_a_reason_where_there_is_none() {
    let home = Home::new();
    let has_pa =
        qemu(&home, "with-pa", "'-audiodev help') printf 'Available audio drivers:\\nnone\\npa\\n'; exit ;;");
    let has_none = qemu(
        &home,
        "with-alsa",
        "'-audiodev help') printf 'Available audio drivers:\\nnone\\nalsa\\n'; exit ;;",
    );
    let runtime = home.dir().join("run");
    let runtime = runtime.to_str().unwrap();
    for (qemu, seat, said) in [
        (&has_none, vec![], "only to: alsa"),
        (&has_pa, vec![], "XDG_RUNTIME_DIR is not set"),
        (&has_pa, vec![("XDG_RUNTIME_DIR", runtime)], "/run/pulse/native`: No such file"),
        (&has_pa, vec![("PULSE_SERVER", "unix:/nowhere/p")], "`/nowhere/p`: No such file"),
    ] {
        let seat = [vec![("AI_VM_QEMU", qemu.to_str().unwrap())], seat].concat();
        let ran = create(&home, "vm", &["--audio"], &seat);
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(ran.err.contains(said) && ran.err.contains("hint: "), "{}", ran.err);
        assert!(home.list().is_empty(), "it left a VM behind");
    }
    // Somebody who would play it.
    std::fs::create_dir_all(format!("{runtime}/pulse")).unwrap();
    let server = std::os::unix::net::UnixListener::bind(format!("{runtime}/pulse/native")).unwrap();
    let seat = [("AI_VM_QEMU", has_pa.to_str().unwrap()), ("XDG_RUNTIME_DIR", runtime)];
    let ran = create(&home, "vm", &["--audio"], &seat);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(home.list()[0]["audio"], true);
    // When they have gone it does not start, and says so.
    drop(server);
    let ran = run(&home, &["start", "--no-wait", "vm"], &seat);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("Connection refused"), "{}", ran.err);
    assert_eq!(home.state(), "stopped");
}

#[test]
fn a_window_is_opened_where_one_can_be() {
    let home = Home::new();
    // QEMU's window cannot be opened here; what it is told to do shows how it would be.
    let said = home.dir().join("said");
    let gtk = qemu(
        &home,
        "with-gtk",
        &format!(
            "'-display help') echo gtk; exit ;;\n*gtk*) echo \"$DISPLAY $*\" > '{}'; exit 1 ;;",
            said.display()
        ),
    );
    let seat = [("AI_VM_QEMU", gtk.to_str().unwrap()), ("DISPLAY", ":7")];
    assert_eq!(create(&home, "vm", &["-d"], &[]).code, 0);
    assert_eq!(run(&home, &["start", "--no-wait", "vm"], &seat).code, 1);
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.starts_with(":7 ") && said.contains("-display gtk,window-close=off"), "{said}");
    assert!(said.contains("elevateprivileges=deny") && !said.contains("-vnc"), "{said}");
}
