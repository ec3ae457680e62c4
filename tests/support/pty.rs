//! A terminal with the built binary in it: what is typed and what is seen.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{self, Winsize};

/// A terminal in which one command runs.
pub struct Pty {
    keyboard: File,
    slave: OwnedFd,
    seen: Arc<(Mutex<String>, Condvar)>,
    child: Child,
}

impl Pty {
    /// Runs a command in a new terminal of 100 columns and 30 rows, in the directory that it is to have.
    pub fn run(command: &Command) -> Self {
        Self::run_in(command, 100)
    }

    /// Runs a command in a new terminal of so many columns and 30 rows.
    pub fn run_in(command: &Command, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
        resize(&slave, columns, 30);
        // `setsid --ctty` makes the terminal the controlling one, which signals from the keyboard need.
        let mut inside = Command::new("setsid");
        inside.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        inside.env("TERM", "xterm-256color");
        let stream = || Stdio::from(slave.try_clone().unwrap());
        let child = inside.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        let keyboard = File::from(master);
        let mut screen = keyboard.try_clone().unwrap();
        let seen = Arc::<(Mutex<String>, Condvar)>::default();
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                shared.0.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
                shared.1.notify_all();
            }
        });
        Self { keyboard, slave: slave.into(), seen, child }
    }

    /// Types.
    pub fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until a text is on the screen.
    pub fn expect(&self, text: &str) {
        drop(self.wait(|seen| seen.contains(text), text));
    }

    /// Waits until what is on the screen is as it should be.
    pub fn wait(&self, found: impl Fn(&str) -> bool, what: &str) -> MutexGuard<'_, String> {
        self.wait_for(Duration::from_secs(60), found, what)
    }

    /// The same, for as long as it may take.
    pub fn wait_for(
        &self,
        patience: Duration,
        found: impl Fn(&str) -> bool,
        what: &str,
    ) -> MutexGuard<'_, String> {
        let (seen, more) = &*self.seen;
        let waited = more.wait_timeout_while(seen.lock().unwrap(), patience, |seen| !found(seen)).unwrap();
        assert!(!waited.1.timed_out(), "`{what}` did not appear: {}", *waited.0);
        waited.0
    }

    /// Everything that has appeared.
    pub fn screen(&self) -> String {
        self.seen.0.lock().unwrap().clone()
    }

    /// Changes the size of the terminal.
    pub fn resize(&self, columns: u16, rows: u16) {
        resize(&self.slave, columns, rows);
    }

    /// Whether typed lines are edited and echoed here, as they are while no command has the terminal.
    pub fn is_cooked(&self) -> bool {
        let modes = termios::tcgetattr(&self.slave).unwrap().local_modes;
        modes.contains(termios::LocalModes::ICANON | termios::LocalModes::ECHO)
    }

    /// Waits for the end of the command and returns its exit code.
    pub fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
            }
            assert!(Instant::now() < deadline, "the command did not end: {}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn resize(terminal: &impl AsFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    termios::tcsetwinsize(terminal, size).unwrap();
}

impl Drop for Pty {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
