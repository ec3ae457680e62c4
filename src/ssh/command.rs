//! The remote command line: carries any argument vector through any login shell. Pure.
//!
//! The server hands one string to the user's login shell, which may be fish, where POSIX quoting is wrong. The string
//! sent here uses only what bash, dash, zsh and fish read alike; everything else travels in base64. In the guest:
//!
//! 1. The login shell starts `sh`, which decodes and runs the rest.
//! 2. `sh` keeps the command's three streams on descriptors 3 to 5 and starts the login shell once more, as a login
//!    shell, so that the command gets the environment that `ai-vm shell` has. What the user's profile prints or
//!    reads goes nowhere.
//! 3. That shell starts `sh` again, which puts the streams back and becomes the command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

impl RemoteCommand {
    /// Returns the string for the server.
    pub fn encode(&self) -> Result<String, TooLong> {
        let mut script = in_login_shell(&self.script());
        if let Some(user) = &self.user {
            let mut become_user = b"exec sudo -n -H -u ".to_vec();
            become_user.extend(quoted(OsStr::new(user)));
            become_user.extend(b" -- ");
            become_user.extend(decoding(&script).bytes());
            script = become_user;
        }
        let line = format!("exec {}", decoding(&script));
        if line.len() > LIMIT { Err(TooLong { length: line.len() }) } else { Ok(line) }
    }

    /// The last step: directory, variables, and the command in place of the shell.
    fn script(&self) -> Vec<u8> {
        let mut script = b"unset AI_VM_SCRIPT; exec 0<&3 1>&4 2>&5 3<&- 4>&- 5>&-\n".to_vec();
        if let Some(cwd) = &self.cwd {
            script.extend(b"cd -- ");
            script.extend(quoted(cwd));
            script.extend(b" || exit 125\n");
        }
        for (name, value) in &self.env {
            script.extend(format!("export {name}=").bytes());
            script.extend(quoted(value));
            script.push(b'\n');
        }
        script.extend(b"exec");
        for arg in &self.argv {
            script.push(b' ');
            script.extend(quoted(arg));
        }
        script
    }
}

/// Runs a script from a login shell of the user, with the streams kept away from the profile.
fn in_login_shell(script: &[u8]) -> Vec<u8> {
    let mut outer = b"exec 3<&0 4>&1 5>&2 </dev/null >/dev/null 2>/dev/null\nAI_VM_SCRIPT=".to_vec();
    outer.extend(quoted(OsStr::from_bytes(script)));
    outer.extend(b"\nexport AI_VM_SCRIPT\nexec \"${SHELL:-/bin/sh}\" -l -c 'exec sh -c '\\''eval \"$AI_VM_SCRIPT\"'\\'''");
    outer
}

/// Returns the words that decode and run a script. Every shell reads them alike.
fn decoding(script: &[u8]) -> String {
    format!("sh -c 'eval \"$(printf %s \"$0\"|base64 -d)\"' {}", STANDARD.encode(script))
}

/// Quotes a text for POSIX sh.
fn quoted(text: &OsStr) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in text.as_bytes() {
        match byte {
            b'\'' => out.extend(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    /// Runs a remote command line through a login shell on this machine and returns the arguments as they arrive.
    fn through(shell: &str, argv: Vec<OsString>) -> Vec<u8> {
        let probe = ["sh", "-c", "for a in \"$@\"; do printf '%s\\0' \"$a\"; done", "x"];
        let argv = probe.iter().map(OsString::from).chain(argv).collect();
        let line = RemoteCommand { argv, ..RemoteCommand::default() }.encode().unwrap();
        let home = tempfile::tempdir().unwrap();
        let output =
            Command::new(shell).args(["-c", &line]).env("SHELL", shell).env("HOME", home.path()).output();
        output.unwrap().stdout
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
        for shell in ["bash", "dash", "fish"] {
            assert_eq!(through(shell, argv.clone()), expected, "{shell}");
        }
    }

    #[test]
    fn what_is_too_long_is_said() {
        let argv = vec![OsString::from("x".repeat(100_000))];
        assert!(RemoteCommand { argv, ..RemoteCommand::default() }.encode().is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_bytes_arrive(arg in proptest::collection::vec(1u8.., 0..60)) {
            let expected = [arg.as_slice(), b"\0"].concat();
            prop_assert_eq!(through("bash", vec![OsString::from_vec(arg)]), expected);
        }
    }
}
