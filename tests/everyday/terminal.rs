//! In a terminal: the shell has one of its own there, and the one here is as it was afterwards.

use crate::pty::Pty;
use crate::sshd::Guest;

#[test]
fn a_shell_has_a_terminal_of_the_right_size_and_leaves_ours_as_it_was() {
    let guest = Guest::serve("");
    let mut pty = Pty::run(&guest.home.command(&["shell", "vm"]));
    pty.type_keys("stty size; echo TERM=$TERM\r");
    pty.expect("30 100");
    pty.expect("TERM=xterm-256color");
    assert!(!pty.is_cooked(), "the terminal is not in raw mode while the shell has it");
    // A command of its own hears of the new size: bash, before it prompts, can put back the one that it has just asked for.
    pty.type_keys("sh -c 'trap \"stty size\" WINCH; echo be\"\"gin; while :; do sleep 0.1; done'\r");
    pty.expect("begin");
    pty.resize(77, 22);
    pty.expect("22 77");
    // The keyboard's interrupt goes to the command there, not to the program here.
    pty.type_keys("\x03");
    pty.type_keys("echo after=$?\r");
    pty.expect("after=130");
    pty.type_keys("exit 9\r");
    assert_eq!(pty.exit_code(), 9);
    assert!(pty.is_cooked(), "the terminal was not put back");
}

#[test]
fn a_terminal_that_changes_while_the_vm_is_waited_for_has_its_new_size() {
    let mut guest = Guest::silent();
    let mut pty = Pty::run(&guest.home.command(&["shell", "vm", "--", "stty", "size"]));
    pty.expect("vm: ");
    pty.resize(77, 22);
    guest.start_server("");
    pty.expect("22 77");
    assert_eq!(pty.exit_code(), 0);
}

#[test]
fn a_command_gets_a_terminal_exactly_when_there_is_one() {
    let guest = Guest::serve("");
    let probe = ["sh", "-c", "test -t 0 && echo yes-tty || echo no-tty"];
    let run =
        |flags: &[&str]| guest.home.command(&[&["exec"], flags, &["vm", "--"], probe.as_slice()].concat());
    for (flags, answer) in [(vec![], "yes-tty"), (vec!["-T"], "no-tty")] {
        let mut pty = Pty::run(&run(&flags));
        assert_eq!(pty.exit_code(), 0);
        pty.expect(answer);
    }
    for (flags, answer) in [(vec![], "no-tty"), (vec!["-t"], "yes-tty")] {
        let output = run(&flags).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), answer);
    }
}

#[test]
fn the_terminal_is_put_back_when_the_connection_is_lost() {
    let mut guest = Guest::serve("");
    let mut pty = Pty::run(&guest.home.command(&["shell", "vm"]));
    pty.type_keys("echo be''gin\r");
    pty.expect("begin");
    assert!(!pty.is_cooked());
    guest.pull_the_plug();
    assert_eq!(pty.exit_code(), 255);
    assert!(pty.is_cooked(), "the terminal was not put back");
    // Its last words may still be on their way to the screen when it has ended.
    pty.expect("the connection to the VM was lost");
}

#[test]
fn a_script_can_be_piped_into_a_shell() {
    let guest = Guest::serve("");
    let mut command = guest.home.command(&["shell", "vm"]);
    let script = guest.home.dir().join("script");
    std::fs::write(&script, "test -t 0 || echo piped\nexit 3\n").unwrap();
    let output = command.stdin(std::fs::File::open(script).unwrap()).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).ends_with("piped\n"));
}

#[test]
fn a_shell_can_begin_elsewhere_or_be_a_command() {
    let guest = Guest::serve("");
    let mut pty = Pty::run(&guest.home.command(&["shell", "-C", "/usr/lib", "-e", "X=a 'b'", "vm"]));
    pty.type_keys("pwd; echo \"X=$X\"; stty size; shopt -q login_shell && echo lo''gin\r");
    for text in ["/usr/lib\r\n", "X=a 'b'", "30 100", "login\r\n"] {
        pty.expect(text);
    }
    pty.type_keys("exit 6\r");
    assert_eq!(pty.exit_code(), 6);
    let mut pty = Pty::run(&guest.home.command(&["shell", "vm", "--", "sh", "-c", "stty size; exit 5"]));
    assert_eq!(pty.exit_code(), 5);
    pty.expect("30 100");
    let ran = guest.home.run(&["shell", "--cwd", "/nowhere", "vm"]);
    assert_eq!(ran.code, 125, "{}", ran.err);
}
