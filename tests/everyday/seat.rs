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

/// The variables of a session at this machine.
const SESSION: [(&str, &str); 6] = [
    ("DISPLAY", ":7"),
    ("WAYLAND_DISPLAY", "wayland-7"),
    ("XAUTHORITY", "/run/x"),
    ("PULSE_SERVER", "unix:/run/p"),
    ("PULSE_COOKIE", "/run/c"),
    ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/bus"),
];

/// Which of those, and of `XDG_RUNTIME_DIR`, the QEMU of a VM has.
fn session(home: &Home, name: &str) -> Vec<String> {
    let pid = info(home, name)["pid"].as_u64().unwrap();
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let names = environment.split('\0').filter_map(|variable| variable.split_once('=')).map(|(name, _)| name);
    let is_of_session =
        |name: &&str| *name == "XDG_RUNTIME_DIR" || SESSION.iter().any(|(variable, _)| variable == name);
    let mut found: Vec<String> = names.filter(is_of_session).map(str::to_owned).collect();
    found.sort();
    found
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
        assert_eq!(session(&home, "vm"), [""; 0], "a viewer finds its screen by its port");
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
fn a_port_that_is_taken_at_the_last_moment_is_left_to_whoever_has_it() {
    let home = Home::new();
    assert_eq!(create(&home, "vm", &["-d"], &[]).code, 0);
    // Somebody opens it after it was found to be free, and before QEMU does.
    let once = home.dir().join("once");
    let cases = format!(
        "*port=*password-secret*) [ -e '{0}' ] || {{ echo \"$*\" > '{0}'; echo 'failed to initialize spice server' >&2; exit 1; }} ;;",
        once.display()
    );
    let late = qemu(&home, "late", &cases);
    let ran = run(&home, &["start", "--no-wait", "vm"], &[("AI_VM_QEMU", late.to_str().unwrap())]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let refused = std::fs::read_to_string(once).unwrap();
    let screen = info(&home, "vm")["screen"].as_str().unwrap().to_owned();
    let port = screen.strip_prefix("spice://127.0.0.1:").unwrap();
    assert!(refused.contains("port=59") && !refused.contains(&format!("port={port}")), "{screen}: {refused}");
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
fn qemu_knows_no_more_of_the_session_than_it_needs() {
    let home = Home::new();
    let runtime = home.dir().join("run");
    std::fs::create_dir_all(runtime.join("pulse")).unwrap();
    let _server = std::os::unix::net::UnixListener::bind(runtime.join("p")).unwrap();
    let server = format!("unix:{}", runtime.join("p").display());
    // It plays to nobody, but believes that it plays to PulseAudio.
    let path = home.dir().join("with-pa");
    let script = "#!/bin/sh\ncase \"$*\" in '-audiodev help') printf 'none\\npa\\n'; exit ;; esac\n\
        for arg; do shift; [ \"$arg\" = pa,id=sound ] && arg=none,id=sound; set -- \"$@\" \"$arg\"; done\n\
        exec qemu-system-x86_64 \"$@\"\n";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut seat = SESSION.to_vec();
    seat.extend([("XDG_RUNTIME_DIR", runtime.to_str().unwrap()), ("AI_VM_QEMU", path.to_str().unwrap())]);
    seat.retain(|(name, _)| *name != "PULSE_SERVER");
    seat.push(("PULSE_SERVER", &server));
    for (name, flags, expected) in [
        ("plain", vec![], vec![]),
        ("loud", vec!["--audio"], vec!["PULSE_COOKIE", "PULSE_SERVER", "XDG_RUNTIME_DIR"]),
    ] {
        let ran = create(&home, name, &flags, &seat);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let ran = run(&home, &["start", "--no-wait", name], &seat);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!(session(&home, name), expected, "{name}");
    }
}

#[test]
fn a_port_that_no_screen_can_have_is_told() {
    let home = Home::new();
    assert_eq!(create(&home, "vm", &["--desktop"], &[]).code, 0);
    let record = home.vm("vm").join("vm.toml");
    let text = std::fs::read_to_string(&record).unwrap();
    let edited = text.replace("resolution = \"1920x1080\"", "resolution = \"1920x1080\"\nport = 5899");
    assert_ne!(text, edited);
    std::fs::write(&record, edited).unwrap();
    let ran = run(&home, &["start", "--no-wait", "vm"], &[]);
    assert_ne!(ran.code, 0);
    let said = "5899 cannot be the port of a screen: those are 5900 to 65535";
    assert!(ran.err.contains(said) && ran.err.contains("vm.toml"), "{}", ran.err);
    assert_eq!(home.state(), "broken");
    std::fs::write(&record, text).unwrap();
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
            "'-display help') echo gtk; exit ;;\n*gtk*) echo \"$DISPLAY $XAUTHORITY $PULSE_SERVER- $*\" > '{}'; exit 1 ;;",
            said.display()
        ),
    );
    let seat = [&SESSION, [("AI_VM_QEMU", gtk.to_str().unwrap())].as_slice()].concat();
    assert_eq!(create(&home, "vm", &["-d"], &[]).code, 0);
    assert_eq!(run(&home, &["start", "--no-wait", "vm"], &seat).code, 1);
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.starts_with(":7 /run/x - ") && said.contains("-display gtk,window-close=off"), "{said}");
    assert!(said.contains("elevateprivileges=deny") && !said.contains("-vnc"), "{said}");
}
