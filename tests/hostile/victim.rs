//! A home with one adopted machine, `vm`, whose server is whatever the test puts there.

use std::process::Stdio;
use std::time::Duration;

use ai_vm::ssh::keys::{KeyPair, generate};

use crate::home::{Home, Ran, wait};
use crate::memory::Watch;

/// How long a command may take that is given two seconds: the rest is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A home with one adopted machine.
pub struct Victim {
    pub home: Home,
}

impl Victim {
    /// Adopts whatever listens on a port; its host key is to be `host`'s.
    pub fn of(port: u16, host: &KeyPair) -> Self {
        let home = Home::new();
        let (key, address) = (home.dir().join("key"), format!("user@127.0.0.1:{port}"));
        std::fs::write(&key, generate("user").unwrap().private).unwrap();
        let key = key.to_str().unwrap();
        home.ok(&["adopt", "vm", &address, "--no-check", "-i", key, "--host-key", &host.public]);
        Self { home }
    }

    /// Runs the binary, which has to end in time and stay small.
    pub fn run(&self, argv: &[&str]) -> Ran {
        let mut command = self.home.command(argv);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (memory, about) = (Watch::on(&child), format!("ai-vm {argv:?}"));
        let ran = wait(child, PATIENCE, &about);
        memory.check(&about);
        assert!(!ran.err.contains("panicked"), "{argv:?}: {}", ran.err);
        ran
    }

    /// Runs a command in the machine, on a connection of its own.
    pub fn exec(&self) -> Ran {
        self.run(&["exec", "--no-mux", "--timeout", "2", "vm", "--", "true"])
    }

    /// Nothing that needs the machine works, and each says so with its own code and these words; `wait` with `waiting`.
    pub fn is_turned_away(&self, words: &str, waiting: i32) {
        let verbs: [(&[&str], i32); 4] = [
            (&["exec", "--no-mux", "--timeout", "2", "vm", "--", "true"], 125),
            (&["exec", "--timeout", "2", "vm", "--", "true"], 125),
            (&["shell", "--timeout", "2", "vm"], 125),
            (&["wait", "--timeout", "2", "vm"], waiting),
        ];
        std::thread::scope(|scope| {
            for (verb, code) in verbs {
                scope.spawn(move || {
                    let ran = self.run(verb);
                    assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{verb:?}: {}", ran.err);
                    assert!(ran.err.contains(words), "{verb:?}: {}", ran.err);
                });
            }
        });
        assert_eq!(self.home.state(), "unreachable");
    }
}
