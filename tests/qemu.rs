//! The QEMU room against the real QEMU. No guest is needed: an empty disk leaves the firmware waiting.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ai_vm::host::layout::{Layout, VmDir};
use ai_vm::host::{data_dir, detached, lock};
use ai_vm::qemu::accel::{self, Accelerator};
use ai_vm::qemu::args::{MACHINE, Machine};
use ai_vm::qemu::disk::{self, DiskFormat};
use ai_vm::qemu::launch::{self, LaunchError, launch};
use ai_vm::qemu::qmp;
use ai_vm::vm::port::{Forward, Port, loopback};
use ai_vm::vm::size::{CpuCount, DiskSize, MemorySize};
use ai_vm::vm::spec::{AcceleratorChoice, Hardware};
use ai_vm::vm::state::Answer;

/// A VM directory with an empty disk. Dropped, its QEMU is ended.
struct Vm {
    _tmp: tempfile::TempDir,
    layout: Layout,
    dir: VmDir,
    port: Port,
}

impl Vm {
    fn new() -> Self {
        // Deep, because a socket's path may only have 107 bytes.
        let tmp = tempfile::tempdir().unwrap();
        let layout = data_dir::open(&tmp.path().join("d".repeat(120))).unwrap();
        let dir = layout.vm(&"web".parse().unwrap());
        std::fs::create_dir(dir.path()).unwrap();
        std::fs::create_dir(layout.image("x")).unwrap();
        let base = std::fs::File::create(layout.image("x").join("root.img")).unwrap();
        base.set_len(1 << 20).unwrap();
        let port = portpicker::pick_unused_port().and_then(Port::new).unwrap();
        Self { _tmp: tmp, layout, dir, port }
    }

    fn with_disk() -> Self {
        let vm = Self::new();
        let base = PathBuf::from("../../images/x/root.img");
        disk::create_overlay(&vm.dir.file(VmDir::DISK), &base, DiskFormat::Raw, size()).unwrap();
        vm
    }

    async fn launch(&self) -> Result<(), LaunchError> {
        let forward = Forward { host: self.port, guest: Port::SSH, bind: loopback(), auto: true };
        let machine = Machine {
            name: "web",
            uuid: "da7a8eba-7321-45f0-9790-61ced372ad27",
            machine: MACHINE,
            accel: Accelerator::Tcg,
            hardware: Hardware {
                memory: MemorySize::from_mib(128).unwrap(),
                cpus: CpuCount::new(1).unwrap(),
                disk: size(),
            },
            base: "../../images/x/root.img".into(),
            base_format: DiskFormat::Raw,
            seed: None,
            store: None,
            boot_disk: None,
            boot: None,
            smbios: &[],
            forwards: &[forward],
            shares: &[],
            sound: None,
            screen: None,
        };
        // Another test's program that is being started has our last look at the lock until it has begun.
        let held = lock::exclusive(&self.dir.file(VmDir::RUN_LOCK), Duration::from_secs(1)).unwrap();
        let qemu = ai_vm::qemu::binary(None).unwrap();
        let given = launch::Given { args: machine.args(), ..launch::Given::default() };
        launch(&qemu, given, &self.dir, held, Duration::from_secs(20)).await
    }

    fn pid(&self) -> u32 {
        detached::find_by_stdin(&self.dir.file(VmDir::RUN_LOCK)).unwrap().pid
    }

    fn is_alive(&self) -> bool {
        lock::is_held(&self.dir.file(VmDir::RUN_LOCK)).unwrap()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn wait_until_dead(&self) {
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.is_alive() {
            assert!(Instant::now() < deadline, "QEMU is still alive");
        }
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        launch::end(&self.dir);
        self.wait_until_dead();
    }
}

fn size() -> DiskSize {
    DiskSize::from_gib(1).unwrap()
}

#[tokio::test]
async fn it_comes_up_answers_and_ends() {
    let vm = Vm::with_disk();
    vm.launch().await.unwrap();
    assert!(vm.is_alive());
    assert_eq!(qmp::status(&vm.dir).await, Answer::Running);
    qmp::execute(&vm.dir, "quit").await.unwrap();
    vm.wait_until_dead();
    assert_eq!(qmp::status(&vm.dir).await, Answer::Absent);
}

#[tokio::test]
async fn it_is_confined() {
    let vm = Vm::with_disk();
    vm.launch().await.unwrap();
    let proc = |name: &str| std::fs::read_to_string(format!("/proc/{}/{name}", vm.pid())).unwrap();
    assert!(proc("status").contains("Seccomp:\t2"), "the sandbox is not on");
    assert!(!proc("environ").contains("CARGO_"), "the environment leaked");
    let limits = proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let listening = format!(":{:04X} ", vm.port.get());
    let table = proc("net/tcp");
    let line = table.lines().find(|line| line.contains(&listening)).unwrap();
    assert!(line.contains(&format!("0100007F{listening}")), "{line}");
}

#[tokio::test]
async fn a_killed_qemu_frees_its_lock_at_once() {
    let vm = Vm::with_disk();
    vm.launch().await.unwrap();
    vm.signal(rustix::process::Signal::KILL);
    vm.wait_until_dead();
    assert_eq!(
        qmp::status(&vm.dir).await,
        Answer::Absent,
        "the socket of a dead QEMU is taken for a live one"
    );
    vm.launch().await.unwrap();
}

#[tokio::test]
async fn a_stopped_qemu_is_silent_within_two_seconds() {
    let vm = Vm::with_disk();
    vm.launch().await.unwrap();
    vm.signal(rustix::process::Signal::STOP);
    let start = Instant::now();
    assert_eq!(qmp::status(&vm.dir).await, Answer::Silent);
    assert!(start.elapsed() < Duration::from_millis(2500));
    vm.signal(rustix::process::Signal::CONT);
    assert_eq!(qmp::status(&vm.dir).await, Answer::Running);
}

#[tokio::test]
async fn a_stolen_port_is_named() {
    let vm = Vm::with_disk();
    let _thief = TcpListener::bind(("127.0.0.1", vm.port.get())).unwrap();
    let error = vm.launch().await.unwrap_err();
    assert!(matches!(error, LaunchError::PortTaken { port } if port == vm.port), "{error}");
    assert!(!vm.is_alive());
}

#[tokio::test]
async fn a_missing_disk_is_told_in_qemus_words() {
    let vm = Vm::new();
    let error = vm.launch().await.unwrap_err();
    assert!(error.to_string().contains("disk.qcow2"), "{error}");
}

#[test]
fn kvm_is_used_only_where_it_runs_a_guest_and_the_verdict_is_kept() {
    let vm = Vm::new();
    let qemu = ai_vm::qemu::binary(None).unwrap();
    let first = accel::decide(&vm.layout, &qemu, AcceleratorChoice::Auto, || {}).unwrap();
    // Either it works and nothing is said, or it does not and the reason is.
    assert_eq!(first.accel == Accelerator::Kvm, first.reason.is_none(), "{first:?}");
    let start = Instant::now();
    assert_eq!(accel::decide(&vm.layout, &qemu, AcceleratorChoice::Auto, || {}).unwrap(), first);
    assert!(start.elapsed() < Duration::from_secs(1), "the trial was made again");
}

#[test]
fn images_that_lead_to_other_files_are_refused() {
    let vm = Vm::with_disk();
    let error = disk::inspect(&vm.dir.file(VmDir::DISK)).unwrap_err();
    assert!(error.to_string().contains("lies over another file"), "{error}");
    let found = disk::inspect(&vm.layout.image("x").join("root.img")).unwrap();
    assert_eq!((found.format, found.bytes), (DiskFormat::Raw, 1 << 20));
}
