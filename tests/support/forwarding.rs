//! An `ai-vm forward` that runs beside a test.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::home::{Home, Ran, wait};
use crate::processes;

const PATIENCE: Duration = Duration::from_secs(60);

/// A running `ai-vm forward`. Dropped, it is killed.
pub struct Forward {
    child: Option<Child>,
    name: String,
    said: PathBuf,
}

impl Forward {
    /// Starts it for the machine `vm`.
    pub fn start(home: &Home, args: &[&str]) -> Self {
        Self::start_for(home, "vm", args)
    }

    /// Starts it for a machine.
    pub fn start_for(home: &Home, name: &str, args: &[&str]) -> Self {
        let said = tempfile::NamedTempFile::new_in(home.dir()).unwrap().into_temp_path().keep().unwrap();
        let mut command = home.command(&[&["forward", name], args].concat());
        command.stdout(Stdio::piped()).stderr(std::fs::File::create(&said).unwrap());
        Self { child: Some(command.spawn().unwrap()), name: name.to_owned(), said }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    /// Waits for a line with all of these words, and returns the first such line.
    pub fn expect(&mut self, words: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = self.said();
            let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(line) = whole.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "no line with {words:?}, {ended:?}: {said}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it forwards from a TCP port of this machine to `goal` of the guest, and returns the port.
    pub fn port(&mut self, goal: &str) -> u16 {
        let line = self.expect(&["forwarding 127.0.0.1:", &format!(" -> {}:{goal}", self.name)]);
        line.split(" -> ").next().unwrap().rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Sends a signal and waits for the end.
    pub fn end(mut self, signal: &str) -> Ran {
        processes::signal(self.pid(), signal);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> Ran {
        let ran = wait(self.child.take().unwrap(), PATIENCE, "forward");
        Ran { err: self.said(), ..ran }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
