//! A private data directory and the built binary in it, every run under a deadline.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A data directory of a test's own.
pub struct Home {
    dir: tempfile::TempDir,
    data: PathBuf,
}

/// Whatever a test leaves running in its home is ended with it.
impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.command(&["rm", "--force", "--all", "--yes"]).output();
    }
}

/// What a run of the binary came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        Self::with_data_in("data")
    }

    /// A home whose data directory has this name in it.
    pub fn with_data_in(name: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("ai-vm-test.").tempdir().unwrap();
        let data = dir.path().join(name);
        Self { dir, data }
    }

    /// The directory around the data directory, for files of the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    pub fn vm(&self, name: &str) -> PathBuf {
        self.data().join("vms").join(name)
    }

    /// The binary with this home and nothing of the developer's own settings.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ai-vm"));
        command.args(args).stdin(Stdio::null());
        command.env("AI_VM_HOME", self.data()).env("AI_VM_CONFIG", self.dir().join("config.toml"));
        // Whether or not there is a Nix on this machine.
        command.env("HOME", self.dir()).env("USER", "tester").env("AI_VM_GUEST", "debian");
        for theirs in ["NO_COLOR", "AI_VM_NO_INPUT", "AI_VM_FLAKE", "AI_VM_OWN_FLAKE", "CLAUDE_CONFIG_DIR"] {
            command.env_remove(theirs);
        }
        command
    }

    /// Runs the binary; a run of more than a minute is a failure.
    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args), Duration::from_secs(60))
    }

    /// Runs the binary, which has to succeed.
    pub fn ok(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "ai-vm {args:?} failed: {}", ran.err);
        ran
    }

    /// What `ls` says that the first VM is doing.
    pub fn state(&self) -> String {
        self.list()[0]["state"].as_str().unwrap().to_owned()
    }

    /// `ls --json` as a value.
    pub fn list(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.ok(&["ls", "--json"]).out).unwrap()
    }
}

/// Starts a command with captured output and waits for its end; kills it and panics at the deadline.
pub fn finish(mut command: Command, patience: Duration) -> Ran {
    let shown = format!("{command:?}");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait(child, patience, &shown)
}

/// Waits for a child whose output is captured.
pub fn wait(mut child: Child, patience: Duration, shown: &str) -> Ran {
    let drain = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = drain(child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let err = drain(child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > patience {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{shown} did not end within {patience:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    use std::os::unix::process::ExitStatusExt;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ran { code, out: out.join().unwrap(), err: err.join().unwrap() }
}
