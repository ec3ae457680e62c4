//! Any argument vector arrives as it is: through every login shell, on a new connection and by the shell that waits on
//! a kept one.
//!
//! What is sent is made by the product's own encoder; a server gives it to the user's login shell by `-c`, which is what
//! happens here, in four surroundings: dash and bash as the guest's `sh`, with a locale and without. The whole binary
//! and a real server carry some more.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ai_vm::host::program;
use ai_vm::ssh::command::{Encoded, RemoteCommand, standby};

use crate::sshd::Guest;
use crate::vectors::Vectors;

const SHELLS: [&str; 4] = ["bash", "dash", "zsh", "fish"];

/// What shows its arguments. The word after it keeps none and one empty one apart.
const PROBE: [&str; 2] = ["%s\\0", "x"];

fn expected(vector: &[OsString]) -> Vec<u8> {
    let shown = [&[OsString::from("x")], vector].concat();
    shown.iter().flat_map(|arg| [arg.as_bytes(), b"\0"].concat()).collect()
}

fn path_of(program: &str) -> PathBuf {
    program::find(program, "").unwrap()
}

/// Where a login shell finds itself.
struct Surroundings {
    home: tempfile::TempDir,
    locale: Option<&'static str>,
}

impl Surroundings {
    fn all() -> Vec<Self> {
        let cases = [("dash", None), ("bash", None), ("dash", Some("C.UTF-8")), ("bash", Some("C.UTF-8"))];
        cases.into_iter().map(|(sh, locale)| Self::new(sh, locale)).collect()
    }

    /// A home whose profiles make a shell the guest's `sh`, and print what must not be seen.
    fn new(sh: &str, locale: Option<&'static str>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        std::fs::create_dir_all(home.path().join(".config/fish")).unwrap();
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(path_of(sh), bin.join("sh")).unwrap();
        let posix = format!("PATH={}:$PATH; echo noise; echo noise >&2; read -r none\n", bin.display());
        for profile in [".profile", ".zprofile"] {
            std::fs::write(home.path().join(profile), &posix).unwrap();
        }
        let fish = format!("set -x PATH {} $PATH; status is-login; and echo noise\n", bin.display());
        std::fs::write(home.path().join(".config/fish/config.fish"), fish).unwrap();
        Self { home, locale }
    }

    /// Gives a line to a login shell as a server does.
    fn run(&self, shell: &Path, line: &str, stdin: &[u8]) -> Vec<u8> {
        let mut command = Command::new(shell);
        command.args(["-c", line]).env_clear().env("HOME", self.home.path()).env("SHELL", shell);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.home.path().join("bin").display()));
        command.envs(self.locale.map(|locale| ("LANG", locale)));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    /// Sees that vectors arrive in one line, and by the shell that waits. Those that are too long for one line go by
    /// two.
    fn check(&self, shell: &Path, vectors: &[Vec<OsString>], about: &str) {
        let program = [OsString::from("printf"), PROBE[0].into(), PROBE[1].into()];
        let all = vectors.concat();
        let command = RemoteCommand { argv: [&program, all.as_slice()].concat(), ..RemoteCommand::default() };
        let Ok(Encoded { line, script, .. }) = command.encode() else {
            assert!(vectors.len() > 1, "one vector alone is too long, {about}");
            let (first, second) = vectors.split_at(vectors.len() / 2);
            self.check(shell, first, about);
            return self.check(shell, second, about);
        };
        for (way, arrived) in [
            ("a new connection", self.run(shell, &line, b"")),
            ("a kept connection", self.run(shell, &standby(), format!("{script}\n").as_bytes())),
        ] {
            compare(&arrived, &all, &format!("{shell:?} by {way}, locale {:?}, {about}", self.locale));
        }
    }
}

fn compare(arrived: &[u8], vector: &[OsString], about: &str) {
    let right = expected(vector);
    if arrived != right {
        let args = arrived.strip_suffix(b"\0").unwrap_or(arrived).split(|byte| *byte == 0).skip(1);
        let mut pairs = args.map(OsStr::from_bytes).zip(vector);
        let (got, sent) = pairs.find(|(got, sent)| got != sent).unzip();
        let counts = (arrived.split(|byte| *byte == 0).count(), vector.len() + 2);
        panic!("{about}: of {sent:?} became {got:?}; {counts:?} words");
    }
}

/// Carries vectors through every shell, so many by one line.
fn carry(count: usize, by_line: usize) {
    let (mut source, seed) = Vectors::new();
    let lines: Vec<Vec<Vec<OsString>>> = (0..count / by_line)
        .map(|line| {
            let vector = |_| if line % 5 == 0 { source.plain() } else { source.wild() };
            (0..by_line).map(vector).collect()
        })
        .collect();
    let places = Surroundings::all();
    std::thread::scope(|scope| {
        for shell in SHELLS.map(path_of) {
            let (lines, places) = (&lines, &places);
            scope.spawn(move || {
                for (number, vectors) in lines.iter().enumerate() {
                    let about = format!("line {number}, AI_VM_SEED={seed}");
                    places[number % places.len()].check(&shell, vectors, &about);
                }
            });
        }
    });
}

#[test]
fn ten_thousand_vectors_arrive_through_every_login_shell() {
    carry(10_000, 100);
}

#[test]
fn vectors_arrive_alone() {
    carry(80, 1);
}

#[test]
#[ignore = "takes minutes: the same vectors as above, each by a line of its own"]
fn ten_thousand_vectors_arrive_alone() {
    carry(10_000, 1);
}

/// Every byte beside every other: what a shell keeps for itself is often a pair.
#[test]
fn every_byte_and_every_pair_of_what_is_no_letter_arrives() {
    let is_special = |byte: &u8| !byte.is_ascii_alphanumeric();
    let pairs = (1..=255).filter(is_special).map(|first: u8| {
        let seconds = (1..=255).filter(is_special);
        seconds.map(|second| OsStr::from_bytes(&[first, second]).to_owned()).collect::<Vec<_>>()
    });
    let pairs: Vec<_> = pairs.collect();
    let places = Surroundings::all();
    std::thread::scope(|scope| {
        for shell in SHELLS.map(path_of) {
            let (pairs, places) = (&pairs, &places);
            scope.spawn(move || {
                for place in places {
                    for several in pairs.chunks(97) {
                        place.check(&shell, several, "pairs");
                    }
                }
            });
        }
    });
}

#[test]
fn the_whole_way_is_exact() {
    let (mut source, seed) = Vectors::new();
    let mut vectors: Vec<Vec<OsString>> = (0..20).map(|_| source.wild()).collect();
    vectors.extend((0..4).map(|_| source.plain()));
    vectors.extend((0..2).map(|_| vec![source.long(), OsString::new(), source.long()]));
    std::thread::scope(|scope| {
        for shell in SHELLS.map(path_of) {
            let vectors = &vectors;
            scope.spawn(move || through_a_server(&shell, vectors, seed));
        }
    });
}

/// Carries vectors by the whole binary to a server whose user has this login shell.
fn through_a_server(shell: &Path, vectors: &[Vec<OsString>], seed: u64) {
    let named = shell.display();
    let guest =
        Guest::serve(&format!("ForceCommand SHELL={named} exec {named} -c \"$SSH_ORIGINAL_COMMAND\""));
    // The name of a program is no different from an argument.
    let probe = guest.home.dir().join("it's a \"probe\" of\n$HOME!");
    std::os::unix::fs::symlink(path_of("printf"), &probe).unwrap();
    for (number, vector) in vectors.iter().enumerate() {
        for flags in [["exec", "vm"].as_slice(), &["exec", "--no-mux", "vm"]] {
            let mut command = guest.home.command(flags);
            command.arg("--").arg(&probe).args(PROBE).args(vector);
            let ended = command.output().unwrap();
            let about = format!("{shell:?}, {flags:?}, vector {number}, AI_VM_SEED={seed}");
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!((ended.status.code(), said.as_ref()), (Some(0), ""), "{about}");
            compare(&ended.stdout, vector, &about);
        }
    }
    let logins = guest.server_says().matches("Accepted publickey").count();
    assert!(logins <= vectors.len() + 3, "{logins} logins: the kept connection was not used");
}
