//! A real OpenSSH server in the place of a guest's: it has the VM's host key and port, and lets the VM's key in.
//!
//! QEMU's part is played by a process that holds the run lock, as QEMU does, so that everything from the look at the
//! lock to the command's exit code is what users get.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ai_vm::host::layout::{Identity, VmDir};
use ai_vm::host::{detached, lock};
use ai_vm::lifecycle::run::Run;

use crate::home::Home;

/// A registered VM that looks alive, and the server behind its SSH port. Dropped, both processes are ended.
pub struct Guest {
    pub home: Home,
    pub port: u16,
    dir: PathBuf,
    pub server: Option<Server>,
}

impl Guest {
    /// Registers a VM named `vm` and serves it. `settings` are further lines of the server's configuration.
    pub fn serve(settings: &str) -> Self {
        let mut guest = Self::silent();
        guest.start_server(settings);
        guest
    }

    /// Registers a VM named `vm` that is alive and whose port nobody serves.
    pub fn silent() -> Self {
        let home = Home::new();
        // Tests run side by side, each with a registry of its own: the lowest free port would be everybody's.
        let port = portpicker::pick_unused_port().unwrap();
        home.ok(&["create", "vm", "--no-default-ports", "--accel", "tcg", "--ssh-port", &port.to_string()]);
        let dir = home.vm("vm");
        let record = dir.join("vm.toml");
        // The server here logs in nobody but the person who runs the tests.
        let text = std::fs::read_to_string(&record).unwrap();
        let text = text.replace("user = \"tester\"", &format!("user = \"{}\"", whoami()));
        std::fs::write(&record, text).unwrap();
        let vm = VmDir::at(&dir);
        let held = lock::try_exclusive(&vm.file(VmDir::RUN_LOCK)).unwrap().unwrap();
        let mut sleep = Command::new("sleep");
        sleep.arg("infinity");
        detached::spawn(sleep, &dir, held, &vm.file(VmDir::QEMU_LOG), &[]).unwrap();
        std::fs::write(vm.file(VmDir::QMP_SOCKET), "").unwrap();
        let run = Run::now("0".repeat(32), "tcg".to_owned(), None);
        run.write(&vm).unwrap();
        run.set_ready(&vm).unwrap();
        Self { home, port, dir, server: None }
    }

    /// The path of one of the VM's files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Serves it again, with further lines of configuration.
    pub fn start_server(&mut self, settings: &str) {
        let (key, login) = (self.file(Identity::HOST_KEY), self.file(Identity::LOGIN_PUBLIC_KEY));
        self.server = Some(Server::start(self.home.dir(), self.port, &key, &login, settings));
    }

    /// Gives the VM another port, as a launch does when the old one is taken, and serves it there.
    pub fn move_to(&mut self, port: u16, settings: &str) {
        let record = self.file(VmDir::RECORD);
        let text = std::fs::read_to_string(&record).unwrap();
        let old = format!("host = {}\n", self.port);
        assert!(text.contains(&old), "{text}");
        std::fs::write(&record, text.replace(&old, &format!("host = {port}\n"))).unwrap();
        self.port = port;
        self.start_server(settings);
    }

    /// What the server has written to its log.
    pub fn server_says(&self) -> String {
        self.server.as_ref().map(Server::says).unwrap_or_default()
    }

    /// Ends the server and the processes that serve connections, as if the guest had lost its power.
    pub fn pull_the_plug(&mut self) {
        self.server = None;
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(holder) = detached::find_by_stdin(&self.file(VmDir::RUN_LOCK)) {
            let _ = holder.kill();
        }
    }
}

/// A server on a port of this machine. Dropped, it is ended with everything that it has started.
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server with a host key of its own, which lets in whom the file `authorized` says. Its files lie in
    /// `dir`, which is also the home directory of whoever logs in. `settings` are further lines of its configuration.
    pub fn start(dir: &Path, port: u16, host_key: &Path, authorized: &Path, settings: &str) -> Self {
        // The server wants its empty directory when it runs as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        let (config, log) = (dir.join(format!("sshd_config.{port}")), dir.join(format!("sshd.{port}.log")));
        let mut file = std::fs::File::create(&config).unwrap();
        write!(
            file,
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\n\
             UsePAM no\nPermitRootLogin prohibit-password\nMaxStartups 200\nMaxSessions 100\nLogLevel VERBOSE\n\
             AcceptEnv LANG LC_*\nSetEnv HOME={}\n{settings}\n",
            host_key.display(),
            authorized.display(),
            // What the developer's own profiles do is not to be seen.
            dir.display(),
        )
        .unwrap();
        let program =
            ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|path| PathBuf::from(path).exists());
        let program = program.unwrap_or_else(|| panic!("no sshd: install openssh-server"));
        let mut command = Command::new(program);
        command.args(["-D", "-f"]).arg(&config).arg("-E").arg(&log);
        let server = Self { child: command.stdin(Stdio::null()).spawn().unwrap(), log };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not listen: {}", server.says());
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    /// What it has written to its log.
    pub fn says(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills the processes that serve connections, and not the commands that run on them.
    pub fn break_connections(&self) {
        let is_session = |pid: &u32| {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            name.starts_with("sshd")
        };
        for pid in descendants(self.child.id()).into_iter().filter(is_session) {
            let _ =
                Command::new("kill").args(["-s", "KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }

    /// Sends a signal to it and to everything that it has started, parents first: no process may live to tell of its
    /// child's end.
    pub fn signal(&self, name: &str) {
        for pid in [vec![self.child.id()], descendants(self.child.id())].concat() {
            let _ = Command::new("kill").args(["-s", name, &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

/// The name of the user who runs the tests.
pub fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The processes that a process has started, and those that they have, parents first.
fn descendants(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.flat_map(|pid| [vec![pid], descendants(pid)].concat()).collect()
}
