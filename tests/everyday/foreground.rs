//! VMs in the foreground: what their console says and takes, and the ways in which they end. The guest is a boot sector.

use std::io::Read;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::home::{Home, wait};
use crate::machine;
use crate::processes::running;
use crate::pty::Pty;

/// Says again what is typed at COM1; powers off at `q`, and when the power button is pressed, unless `p` was typed. By the
/// registers of the Q35's power management, which SeaBIOS puts at 0x600.
const ECHO: [u8; 47] = [
    0xfa, // cli
    0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef, // PM1_EN: tell of the power button
    0xba, 0x00, 0x06, 0xed, 0xf6, 0xc4, 0x01, 0x75, 0x15, // 8: PM1_STS: was it pressed? then off
    0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xef, // COM1: has a byte come? else again
    0xba, 0xf8, 0x03, 0xec, 0xee, // say it again
    0x3c, 0x70, 0x74, 0x0b, // `p`: stay, whatever is pressed
    0x3c, 0x71, 0x75, 0xe2, // not `q`: again
    0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, // off: PM1_CNT: S5
    0xeb, 0xfe, // stay
];

/// Registers a VM named `vm` that boots it.
fn create(home: &Home) {
    machine::create(home);
    let mut sector = [0; 512];
    sector[..ECHO.len()].copy_from_slice(&ECHO);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let mut image = std::fs::read(home.dir().join("empty.img")).unwrap();
    image[..512].copy_from_slice(&sector);
    std::fs::write(home.dir().join("empty.img"), image).unwrap();
}

fn pty(home: &Home) -> Pty {
    Pty::run(&home.command(&["start", "--console", "vm"]))
}

/// Waits until the guest has said again what was typed.
fn type_and_see(pty: &mut Pty, keys: &str) {
    // Typed before the firmware is done, they are lost.
    pty.expect("its console follows");
    let deadline = Instant::now() + Duration::from_secs(30);
    // Until then it is the terminal itself that says again what is typed.
    while pty.is_cooked() {
        assert!(Instant::now() < deadline, "{}", pty.screen());
        std::thread::sleep(Duration::from_millis(10));
    }
    while !pty.screen().contains(keys) {
        assert!(Instant::now() < deadline, "{}", pty.screen());
        pty.type_keys(keys);
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn keys_reach_the_console_and_its_end_is_ours() {
    let home = Home::new();
    create(&home);
    let mut pty = pty(&home);
    pty.expect("its console follows; Ctrl-C stops it");
    pty.expect("SeaBIOS");
    assert!(!pty.is_cooked(), "keys are not passed on one by one");
    type_and_see(&mut pty, "xyz");
    // The keys that would end or stop a program here are the guest's.
    pty.type_keys("\u{1a}\u{1c}<\u{1b}[31m");
    pty.expect("<\u{1b}[31m");
    pty.type_keys("q");
    assert_eq!(pty.exit_code(), 0, "{}", pty.screen());
    assert!(
        pty.screen().contains("\u{1b}[!p") && pty.screen().ends_with("vm: stopped\r\n"),
        "{}",
        pty.screen()
    );
    assert!(pty.is_cooked());
    assert_eq!(home.state(), "stopped");
    assert!(home.ok(&["logs", "vm"]).out.contains("xyz"), "the log has it too");
}

#[test]
fn interrupted_it_presses_the_power_button_and_then_pulls_the_plug() {
    let home = Home::new();
    create(&home);
    let mut graceful = pty(&home);
    type_and_see(&mut graceful, "xyz");
    graceful.type_keys("\u{3}");
    graceful.expect("vm: stopping");
    assert_eq!(graceful.exit_code(), 0, "{}", graceful.screen());
    assert!(graceful.is_cooked());
    let mut forced = pty(&home);
    type_and_see(&mut forced, "xyz");
    forced.type_keys("p\u{3}");
    forced.expect("vm: stopping");
    forced.type_keys("\u{3}");
    assert_eq!(forced.exit_code(), 130, "{}", forced.screen());
    assert!(forced.is_cooked());
    assert_eq!(home.state(), "stopped");
}

#[test]
fn a_qemu_that_is_killed_is_a_failure() {
    let home = Home::new();
    create(&home);
    let mut pty = pty(&home);
    pty.expect("SeaBIOS");
    let (pid, _) = running(&home).remove(0);
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    assert_eq!(pty.exit_code(), 1, "{}", pty.screen());
    pty.expect("error: QEMU of `vm` ended: killed by signal 9");
    pty.expect("hint: `ai-vm logs vm`");
    assert!(pty.is_cooked());
}

/// Runs it without a terminal.
fn piped(home: &Home) -> Child {
    let mut command = home.command(&["start", "--console", "vm"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn without_a_terminal_it_is_harmless_and_a_signal_stops_it() {
    let home = Home::new();
    create(&home);
    let mut child = piped(&home);
    let mut said = String::new();
    let mut stdout = child.stdout.take().unwrap();
    while !said.contains("SeaBIOS") {
        let mut chunk = [0; 256];
        let count = stdout.read(&mut chunk).unwrap();
        assert!(count > 0, "{said}");
        said.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
    // Somebody else may type meanwhile, as nobody does here.
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    let mut other = pty(&home);
    other.expect("runs already, its console follows; Ctrl-C stops it");
    type_and_see(&mut other, "xyz");
    kill_process(pid, Signal::TERM).unwrap();
    let rest = wait(child, Duration::from_secs(30), "start --console");
    assert_eq!(rest.code, 0, "{rest:?}");
    stdout.read_to_string(&mut said).unwrap();
    assert!(said.contains("xyz") && !said.contains('\u{1b}') && !said.contains('\r'), "{said:?}");
    let err = &rest.err;
    assert!(err.contains("without keys for it") && err.ends_with("vm: stopped\n"), "{err}");
    assert_eq!(other.exit_code(), 0, "{}", other.screen());
    assert!(other.is_cooked());
}

#[test]
fn when_nobody_reads_any_more_it_stops() {
    let home = Home::new();
    create(&home);
    let mut child = piped(&home);
    let stdout = child.stdout.take().unwrap();
    let mut pty = pty(&home);
    type_and_see(&mut pty, "xyz");
    drop(stdout);
    // Only what is written finds out.
    type_and_see(&mut pty, "uvw\n");
    let rest = wait(child, Duration::from_secs(30), "start --console");
    assert_eq!(rest.code, 0, "{rest:?}");
    assert_eq!(pty.exit_code(), 0);
    assert_eq!(home.state(), "stopped");
}
