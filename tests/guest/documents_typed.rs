//! What the documents say to type, typed: as one session, in the order of `documents.session`.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::claude::LOGIN;
use crate::documents::{How, Step, session};
use crate::home::{Home, Ran, wait};
use crate::processes;

/// For one command; the slowest starts two guests.
const PATIENCE: Duration = Duration::from_secs(6 * 60);

pub fn as_one_session(home: &Home) {
    home.ok(&["rm", "--force", "--all", "--yes"]);
    let desk = Desk::set_up(home);
    let wrong: Vec<String> = session().iter().filter_map(|step| desk.take(step).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Where somebody works: a home with a repository in it, and `ai-vm` on the path.
struct Desk<'a> {
    home: &'a Home,
    dir: PathBuf,
}

impl<'a> Desk<'a> {
    fn set_up(home: &'a Home) -> Self {
        let dir = home.dir().join("desk");
        for below in ["bin", "app", ".ssh", ".claude"] {
            fs::create_dir_all(dir.join(below)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_ai-vm"), dir.join("bin/ai-vm")).unwrap();
        // OpenSSH takes the home directory from the system, so the file has to be named.
        script(&dir.join("bin/ssh"), "#!/bin/sh\nexec /usr/bin/ssh -F \"$HOME/.ssh/config\" \"$@\"");
        // Nobody can log in in a test: what the agents do is played, where they run is not.
        script(&dir.join("claude"), include_str!("documents_agent.sh"));
        fs::write(dir.join(".claude/.credentials.json"), LOGIN).unwrap();
        // As whom the documents speak of.
        fs::write(dir.join("config.toml"), "user = \"dev\"\n").unwrap();
        Self { home, dir }
    }

    fn take(&self, step: &Step) -> Result<(), String> {
        let begun = Instant::now();
        let ran = match step.how {
            How::Without(_) => return Ok(()),
            How::Prepare | How::Ends(_) => wait(self.start(&step.command), PATIENCE, &step.command),
            How::Interrupted => self.interrupt(&step.command),
        };
        if begun.elapsed() > Duration::from_secs(5) {
            crate::report(&format!("  {}: {:.1} s", step.command, begun.elapsed().as_secs_f64()));
        }
        let is_right = match step.how {
            How::Ends(code) => ran.code == code,
            _ => ran.code == 0,
        };
        if is_right {
            return Ok(());
        }
        let wrong = format!("{step:?}: {}\n{}{}", ran.code, ran.out, ran.err);
        crate::report(&wrong);
        Err(wrong)
    }

    /// Names that stand for any are names here.
    fn start(&self, command: &str) -> Child {
        let command = command.replace("NAME", "web").replace("VERB", "ls").replace("DIR", "man");
        let mut shell = Command::new("bash");
        for (name, value) in self.home.command(&[]).get_envs() {
            value.map(|value| shell.env(name, value));
        }
        let path = std::env::var("PATH").unwrap();
        let bin = self.dir.join("bin");
        shell.env("PATH", format!("{}:{path}", bin.display())).env("HOME", &self.dir);
        shell.env("DOCUMENTS", env!("CARGO_MANIFEST_DIR")).env("AI_VM_CONFIG", self.dir.join("config.toml"));
        shell.current_dir(self.dir.join("app"));
        shell.args(["-c", &format!("exec 2>&1; {command}")]).stdin(Stdio::null()).stdout(Stdio::piped());
        shell.spawn().unwrap()
    }

    /// Runs it until it has said that it is there, and presses Ctrl-C.
    fn interrupt(&self, command: &str) -> Ran {
        let mut child = self.start(&format!("exec timeout 300 {command}"));
        let mut first = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        // What it does then takes a moment to begin.
        std::thread::sleep(Duration::from_secs(1));
        processes::signal(child.id(), "INT");
        let ran = wait(child, PATIENCE, command);
        let code = if ran.code == 130 { 0 } else { ran.code };
        Ran { code, ..ran }
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
