//! Machines that are all one server on this machine, for ai-vm and for what is built on OpenSSH.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::home::Home;
use crate::measure::Background;
use crate::sshd::{Server, whoami};

/// What scp needs of a server.
const SFTP: &str = "Subsystem sftp internal-sftp";

/// The machines.
pub struct Bench {
    home: Home,
    _server: Server,
    names: Vec<String>,
}

impl Bench {
    /// Serves machines named `vm-0` and on, known to ai-vm and in configurations of OpenSSH.
    pub fn new(machines: usize) -> Self {
        let home = Home::new();
        let port = portpicker::pick_unused_port().unwrap();
        let key = |name: &str| {
            let path = home.dir().join(name);
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
            assert!(made.unwrap().success());
            path
        };
        let (host, login) = (key("host"), key("login"));
        let server = Server::start(home.dir(), port, &host, &login.with_extension("pub"), SFTP);
        let pinned = std::fs::read_to_string(host.with_extension("pub")).unwrap();
        let names: Vec<String> = (0..machines).map(|number| format!("vm-{number}")).collect();
        let at = format!("{}@127.0.0.1:{port}", whoami());
        for name in &names {
            home.ok(&[
                "adopt",
                name,
                &at,
                "-i",
                login.to_str().unwrap(),
                "--host-key",
                pinned.trim(),
                "--no-check",
            ]);
        }
        std::fs::write(home.dir().join("known_hosts"), format!("[127.0.0.1]:{port} {pinned}")).unwrap();
        for warm in [false, true] {
            let mut config = format!(
                "Host vm-*\nHostName 127.0.0.1\nPort {port}\nUser {}\nIdentityFile {}\nIdentitiesOnly yes\nBatchMode yes\n\
                 UserKnownHostsFile {}\nStrictHostKeyChecking yes\n",
                whoami(),
                login.display(),
                home.dir().join("known_hosts").display()
            );
            if warm {
                let path = home.dir().join("control-%C-%n");
                write!(config, "ControlMaster auto\nControlPersist 60\nControlPath {}\n", path.display())
                    .unwrap();
            }
            std::fs::write(Self::config(&home, warm), config).unwrap();
        }
        std::fs::write(home.dir().join("hosts"), names.join("\n") + "\n").unwrap();
        Self { home, _server: server, names }
    }

    fn config(home: &Home, warm: bool) -> PathBuf {
        home.dir().join(if warm { "ssh_config.warm" } else { "ssh_config.cold" })
    }

    /// Our own command.
    pub fn ai_vm(&self, args: &[&str]) -> Command {
        self.home.command(args)
    }

    /// OpenSSH, alone or by its ControlMaster.
    pub fn ssh(&self, warm: bool, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(Self::config(&self.home, warm)).args(["vm-0", command]);
        ssh
    }

    /// A directory for files of both sides, which are one machine.
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// One of the tools that are built on OpenSSH. `SSH_COMMAND` in its arguments stands for ssh with its options.
    pub fn over_ssh(&self, program: &str, args: &[&str]) -> Command {
        let ssh = format!("ssh -F {}", Self::config(&self.home, false).display());
        let mut command = Command::new(program);
        command.args(args.iter().map(|arg| arg.replace("SSH_COMMAND", &ssh)));
        command
    }

    /// scp with its options.
    pub fn scp(&self, from: &str, to: &str) -> Command {
        let mut scp = Command::new("scp");
        scp.arg("-q").arg("-F").arg(Self::config(&self.home, false)).args([from, to]);
        scp
    }

    /// All machines by pssh.
    pub fn pssh(&self, command: &str) -> Command {
        let mut pssh = Command::new("parallel-ssh");
        pssh.arg("-h").arg(self.home.dir().join("hosts")).args(["-p", &self.names.len().to_string(), "-i"]);
        pssh.arg("-x").arg(format!("-F {}", Self::config(&self.home, false).display())).arg(command);
        pssh
    }

    /// All machines by clush.
    pub fn clush(&self, command: &str) -> Command {
        let mut clush = Command::new("clush");
        clush.args(["-w", &self.names.join(","), "-f", &self.names.len().to_string()]);
        clush.arg("-o").arg(format!("-F {}", Self::config(&self.home, false).display())).arg(command);
        clush
    }

    /// Finds the holder of our connections, if there is one.
    fn holder(&self) -> Option<PathBuf> {
        let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ours = |path: &PathBuf| {
            let holds = std::fs::read_to_string(path.join("cmdline"))
                .is_ok_and(|line| line.contains("hold-connections"));
            holds && std::fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd == self.home.data())
        };
        processes.into_iter().find(ours)
    }
}

/// The holder of our connections.
impl Background for Bench {
    fn cpu(&self) -> Duration {
        /// The kernel's clock for these figures.
        const TICK: Duration = Duration::from_millis(10);
        let Some(process) = self.holder() else { return Duration::ZERO };
        let stat = std::fs::read_to_string(process.join("stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().unwrap());
        TICK * ticks.sum::<u32>()
    }

    fn peak(&self) -> u64 {
        let Some(process) = self.holder() else { return 0 };
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
    }
}
