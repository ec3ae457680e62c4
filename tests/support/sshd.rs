//! A real OpenSSH server in the place of a guest's: it has the VM's host key and port, and lets the VM's key in.
//!
//! QEMU's part is played by a process that holds the run lock, as QEMU does, so that everything from the look at the
//! lock to the command's exit code is what users get.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
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
    server: Option<Child>,
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
        detached::spawn(sleep, &dir, held, &vm.file(VmDir::QEMU_LOG)).unwrap();
        std::fs::write(vm.file(VmDir::QMP_SOCKET), "").unwrap();
        let run = Run::now("0".repeat(32), "tcg".to_owned());
        run.write(&vm).unwrap();
        run.set_ready(&vm).unwrap();
        Self { home, port, dir, server: None }
    }

    /// The path of one of the VM's files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn start_server(&mut self, settings: &str) {
        // The server wants its empty directory when it runs as root.
        let _ = std::fs::create_dir_all("/run/sshd");
        let config = self.home.dir().join("sshd_config");
        let mut file = std::fs::File::create(&config).unwrap();
        let (key, login) = (self.file(Identity::HOST_KEY), self.file(Identity::LOGIN_PUBLIC_KEY));
        write!(
            file,
            "ListenAddress 127.0.0.1:{}\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nPidFile none\n\
             UsePAM no\nPermitRootLogin prohibit-password\nMaxStartups 200\nMaxSessions 100\nLogLevel VERBOSE\n\
             AcceptEnv LANG LC_*\nSetEnv HOME={}\n{settings}\n",
            self.port,
            key.display(),
            login.display(),
            // What the developer's own profiles do is not to be seen.
            self.home.dir().display(),
        )
        .unwrap();
        let program =
            ["/usr/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|path| PathBuf::from(path).exists());
        let program = program.unwrap_or_else(|| panic!("no sshd: install openssh-server"));
        let mut command = Command::new(program);
        command.args(["-D", "-f"]).arg(&config).arg("-E").arg(self.server_log());
        self.server = Some(command.stdin(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(Instant::now() < deadline, "sshd does not listen: {}", self.server_says());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn server_log(&self) -> PathBuf {
        self.home.dir().join("sshd.log")
    }

    /// What the server has written to its log.
    pub fn server_says(&self) -> String {
        std::fs::read_to_string(self.server_log()).unwrap_or_default()
    }

    /// Ends the server and the processes that serve connections, as if the guest had lost its power.
    pub fn pull_the_plug(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // Parents first: no process may live to tell of its child's end.
        for pid in [vec![server.id()], descendants(server.id())].concat() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let _ = server.kill();
        let _ = server.wait();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.pull_the_plug();
        if let Some(holder) = detached::find_by_stdin(&self.file(VmDir::RUN_LOCK)) {
            let _ = holder.kill();
        }
    }
}

/// The name of the user who runs the tests.
fn whoami() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The processes that a process has started, and those that they have, parents first.
fn descendants(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.flat_map(|pid| [vec![pid], descendants(pid)].concat()).collect()
}
