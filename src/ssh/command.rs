//! The remote command line: carries any argument vector through any login shell. Pure.
//!
//! The server hands one string to the user's login shell, which may be fish, where POSIX quoting is wrong. The string
//! sent here uses only what bash, dash, zsh and fish read alike; what they read differently travels in base64. In the
//! guest:
//!
//! 1. The login shell starts itself once more, as a login shell, so that the command gets the environment that
//!    `ai-vm shell` has. The command's three streams wait on descriptors 3 to 5 meanwhile: what the user's profile
//!    prints or reads goes nowhere.
//! 2. That shell starts `sh`, which puts the streams back, sets directory and variables, and becomes the command.
//!
//! On a warm connection both steps are taken in advance: `sh` then waits for one line, the script for the last step.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Kind};

/// The longest command line that can be sent: Linux takes no single argument of 128 KiB or more.
const LIMIT: usize = 127 * 1024;

/// A command to run in a guest.
#[derive(Clone, Debug, Default)]
pub struct RemoteCommand {
    /// The program and its arguments, exactly as they are to arrive. Not empty.
    pub argv: Vec<OsString>,
    /// Variables to set.
    pub env: Vec<(String, OsString)>,
    /// The directory to work in, instead of the home directory.
    pub cwd: Option<OsString>,
    /// The user to run as, instead of the one who logs in.
    pub user: Option<String>,
    /// Whether it is known that it gets no input.
    pub no_input: bool,
}

/// The command is too long to be sent.
#[derive(Debug, thiserror::Error)]
#[error("the command is {length} bytes long when encoded, the limit is {LIMIT}")]
pub struct TooLong {
    /// Its length in bytes.
    pub length: usize,
}

impl Diagnostic for TooLong {
    fn kind(&self) -> Kind {
        Kind::Usage
    }

    fn hints(&self) -> Vec<String> {
        vec!["send what is long on stdin: `ai-vm exec NAME -- sh < script`".to_owned()]
    }
}

/// A command as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoded {
    /// The string for the server's login shell. ASCII.
    pub line: String,
    /// The line for a shell that waits because of [`standby`], without the line's end. ASCII.
    pub script: String,
    /// Whether it is known that it gets no input.
    pub no_input: bool,
}

impl RemoteCommand {
    /// Returns the command as it is sent.
    pub fn encode(&self) -> Result<Encoded, TooLong> {
        let script = self.script();
        let (line, script) = match &self.user {
            None => (in_login_shell(&script), script),
            Some(user) => {
                let mut become_user = b"exec sudo -n -H -u ".to_vec();
                become_user.extend(quoted(OsStr::new(user)));
                become_user.extend(b" -- ");
                let script = [RESTORE.as_bytes(), &script].concat();
                become_user.extend(decoding(&encoded_in_login_shell(&script)).bytes());
                (format!("exec {}", decoding(&become_user)), become_user)
            }
        };
        if line.len() > LIMIT {
            return Err(TooLong { length: line.len() });
        }
        let script = match String::from_utf8(script) {
            Ok(text) if text.bytes().all(is_printable) => text,
            Ok(text) => evaluating(text.as_bytes()),
            Err(error) => evaluating(error.as_bytes()),
        };
        Ok(Encoded { line, script, no_input: self.no_input })
    }

    /// The last step: directory, variables, and the command in place of the shell.
    fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        if let Some(cwd) = &self.cwd {
            script.extend(b"cd -- ");
            script.extend(quoted(cwd));
            script.extend(b" || exit 125; ");
        }
        for (name, value) in &self.env {
            script.extend(format!("export {name}=").bytes());
            script.extend(quoted(value));
            script.extend(b"; ");
        }
        script.extend(b"exec");
        for arg in &self.argv {
            script.push(b' ');
            script.extend(quoted(arg));
        }
        script
    }
}

/// Returns the string for the server's login shell that makes everything ready for a command, and waits for it: one
/// line on stdin.
pub fn standby() -> String {
    in_login_shell(b"IFS= read -r line || exit 0; eval \"$line\"")
}

/// Puts the command's streams away, and back. Every shell reads these words alike.
const AWAY: &str = "3<&0 4>&1 5>&2 </dev/null >/dev/null 2>/dev/null";
const BACK: &str = "0<&3 1>&4 2>&5 3<&- 4>&- 5>&-";

/// What a script begins with that has not been given its streams back.
const RESTORE: &str = "unset AI_VM_SCRIPT; exec 0<&3 1>&4 2>&5 3<&- 4>&- 5>&-; ";

/// Returns the string that runs a script from a login shell. A script without any character that the shells read
/// differently inside quotes is passed on as it is, which spares the guest three processes.
fn in_login_shell(script: &[u8]) -> String {
    let plain = |byte: u8| is_printable(byte) && !b"`\\!".contains(&byte);
    match std::str::from_utf8(script) {
        Ok(text) if text.bytes().all(plain) => {
            let text = text.replace('"', "\\\"").replace('$', "\\$").replace('\'', "'\\''");
            format!("exec $SHELL -l -c 'exec sh -c \"{text}\" {BACK}' {AWAY}")
        }
        _ => format!("exec {}", decoding(&encoded_in_login_shell(&[RESTORE.as_bytes(), script].concat()))),
    }
}

/// The same for any script, which has to give itself its streams back, as a script for `sh`. It passes the login shell
/// in a variable, which fish writes anew when it has no locale: as if each byte beyond ASCII were a character.
fn encoded_in_login_shell(script: &[u8]) -> Vec<u8> {
    let mut outer = format!("exec {AWAY}\nAI_VM_SCRIPT=").into_bytes();
    outer.extend(if script.is_ascii() {
        in_quotes(script)
    } else {
        in_quotes(evaluating(script).as_bytes())
    });
    outer.extend(b"\nexport AI_VM_SCRIPT\nexec \"${SHELL:-/bin/sh}\" -l -c 'exec sh -c '\\''eval \"$AI_VM_SCRIPT\"'\\'''");
    outer
}

/// Returns the words that decode and run a script. Every shell reads them alike.
fn decoding(script: &[u8]) -> String {
    format!("sh -c 'eval \"$(printf %s \"$0\"|base64 -d)\"' {}", STANDARD.encode(script))
}

/// Returns a line for `sh` that decodes and runs a script.
fn evaluating(script: &[u8]) -> String {
    format!("eval \"$(printf %s {}|base64 -d)\"", STANDARD.encode(script))
}

/// Quotes a text for POSIX sh where it needs that.
pub fn quoted(text: &OsStr) -> Vec<u8> {
    let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(byte);
    let bytes = text.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(bare) { bytes.to_vec() } else { in_quotes(bytes) }
}

fn in_quotes(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in bytes {
        match byte {
            b'\'' => out.extend(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;
    use std::os::unix::ffi::OsStringExt;
    use std::process::{Command, Stdio};

    /// Runs a command through a login shell on this machine, at once and by one that waits, and returns the arguments
    /// as they arrive each time.
    fn through(shell: &str, argv: Vec<OsString>) -> [Vec<u8>; 2] {
        let probe = ["sh", "-c", "for a in \"$@\"; do printf '%s\\0' \"$a\"; done", "x"];
        let argv = probe.iter().map(OsString::from).chain(argv).collect();
        let Encoded { line, script, .. } =
            RemoteCommand { argv, ..RemoteCommand::default() }.encode().unwrap();
        [run(shell, &line, ""), run(shell, &standby(), &format!("{script}\n"))]
    }

    /// Runs a string as an SSH server does.
    fn run(shell: &str, line: &str, stdin: &str) -> Vec<u8> {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(shell);
        command.args(["-c", line]).env("HOME", home.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        // As a server knows it: its path.
        command.env("SHELL", crate::host::program::find(shell, "").unwrap());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    #[test]
    fn nasty_arguments_arrive_through_every_shell() {
        let nasty = [
            "", " ", "a b", "'", "\"", "\\", "$HOME", "`id`", "$(id)", "*", "~", "-n", "a\nb", "\t", "é😀",
            "!", "#", "a'b\"c",
        ];
        let argv: Vec<OsString> =
            nasty.iter().map(OsString::from).chain([OsString::from_vec(vec![0xff, 0x80])]).collect();
        let expected: Vec<u8> = argv.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).collect();
        for shell in ["bash", "dash", "fish", "zsh"] {
            assert_eq!(through(shell, argv.clone()), [expected.clone(), expected.clone()], "{shell}");
        }
    }

    #[test]
    fn common_commands_need_no_further_processes() {
        let encode = |argv: &[&str]| {
            let argv = argv.iter().map(OsString::from).collect();
            RemoteCommand { argv, ..RemoteCommand::default() }.encode().unwrap().line
        };
        assert!(encode(&["git", "-C", "/srv/x", "log", "--format=%h"]).contains("\"exec git -C /srv/x log"));
        assert!(encode(&["echo", "a\\b"]).contains("base64"));
        for shell in ["bash", "dash", "fish", "zsh"] {
            let text = "a, b=%c \"$HOME\" $(id) {x}$";
            assert_eq!(run(shell, &encode(&["printf", "%s", text]), ""), text.as_bytes(), "{shell}");
        }
    }

    #[test]
    fn what_is_too_long_is_said() {
        let argv = vec![OsString::from("x".repeat(140_000))];
        assert!(RemoteCommand { argv, ..RemoteCommand::default() }.encode().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_text_arrives(arg in "[ -~]{0,40}", shell in prop::sample::select(&["bash", "dash", "fish", "zsh"][..])) {
            let expected = [arg.as_bytes(), b"\0"].concat();
            prop_assert_eq!(through(shell, vec![arg.into()]), [expected.clone(), expected]);
        }

        #[test]
        fn any_bytes_arrive(arg in proptest::collection::vec(1u8.., 0..60)) {
            let expected = [arg.as_slice(), b"\0"].concat();
            prop_assert_eq!(through("bash", vec![OsString::from_vec(arg)]), [expected.clone(), expected]);
        }
    }
}
