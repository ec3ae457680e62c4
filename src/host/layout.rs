//! Every file name below the data directory, in one place.

use std::path::{Path, PathBuf};

use crate::vm::name::VmName;

/// Where everything of ai-vm lies. Only names: nothing here touches the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Lays out a data directory.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns the data directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held for the milliseconds in which names and ports are decided and a VM appears or leaves.
    pub fn registry_lock(&self) -> PathBuf {
        self.root.join("registry.lock")
    }

    /// One directory a VM, named like it.
    pub fn vms(&self) -> PathBuf {
        self.root.join("vms")
    }

    /// The directory of one VM.
    pub fn vm(&self, name: &VmName) -> VmDir {
        VmDir { path: self.vms().join(name.as_str()) }
    }

    /// One directory an image.
    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    /// The directory of one image.
    pub fn image(&self, id: &str) -> PathBuf {
        self.images().join(id)
    }

    /// Held exclusively while an image is made or removed, and shared while a VM that is to use it is prepared.
    pub fn image_lock(&self, id: &str) -> PathBuf {
        self.images().join(format!("{id}.lock"))
    }

    /// The flake in this program as it was written down, by its content.
    pub fn flake(&self, content: &str) -> PathBuf {
        self.root.join("flakes").join(content)
    }

    /// By which Nix knows that a system is still wanted: a link, named like the image.
    pub fn gc_root(&self, id: &str) -> PathBuf {
        self.root.join("gcroots").join(id)
    }

    /// What Nix said in the last build.
    pub fn nixos_log(&self) -> PathBuf {
        self.root.join("nixos-build.log")
    }

    /// Held while Nix builds.
    pub fn nixos_lock(&self) -> PathBuf {
        self.root.join("nixos-build.lock")
    }

    /// Half-made and half-removed directories; whatever is here and has no owner is rubbish.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Held shared by everyone who has something in [`Layout::staging`].
    pub fn staging_lock(&self) -> PathBuf {
        self.root.join("staging.lock")
    }

    /// The socket of the process that keeps connections, by its version, relative to the data directory.
    pub fn holder_socket(version: &str) -> String {
        format!("connections-{version}.sock")
    }

    /// Held by the process that keeps connections.
    pub fn holder_lock(&self, version: &str) -> PathBuf {
        self.root.join(format!("connections-{version}.lock"))
    }

    /// What that process says when something goes wrong.
    pub fn holder_log(&self) -> PathBuf {
        self.root.join("connections.log")
    }

    /// The script by which OpenSSH connects to a VM, once the user has asked for that.
    pub fn ssh_proxy(&self) -> PathBuf {
        self.root.join("ssh_proxy")
    }

    /// What the user has agreed to of files that repositories bring, one file each.
    pub fn trust(&self) -> PathBuf {
        self.root.join("trust")
    }

    /// What is kept of logins of Claude Code: [`Claude`] has the names in it.
    pub fn claude(&self, name: &str) -> PathBuf {
        self.root.join("claude").join(name)
    }

    /// What is known about accelerators on this machine since it booted.
    pub fn accelerator_verdict(&self) -> PathBuf {
        self.root.join("accelerator.json")
    }

    /// How long things took last time on this machine.
    pub fn durations(&self) -> PathBuf {
        self.root.join("durations.json")
    }
}

/// The directory of one VM and the names in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VmDir {
    path: PathBuf,
}

impl VmDir {
    /// The record: what the VM should be.
    pub const RECORD: &str = "vm.toml";
    /// What OpenSSH is told about the VM.
    pub const SSH_CONFIG: &str = "ssh_config";
    /// Held by QEMU as long as it lives. Held = the VM is alive.
    pub const RUN_LOCK: &str = "run.lock";
    /// The VM's own disk, copy-on-write over its image.
    pub const DISK: &str = "disk.qcow2";
    /// A link to a disk in a folder of the user's, before it is [`VmDir::DISK`].
    pub const DISK_LINK: &str = "disk.link";
    /// What the guest wrote to its serial console.
    pub const CONSOLE_LOG: &str = "console.log";
    /// The same of the launch before.
    pub const EARLIER_CONSOLE_LOG: &str = "console.1.log";
    /// The same, to be typed at: a socket of QEMU's. Whoever can connect to it is before the guest's console.
    pub const CONSOLE_SOCKET: &str = "console.sock";
    /// Held by whoever types there.
    pub const CONSOLE_LOCK: &str = "console.lock";
    /// What QEMU itself said.
    pub const QEMU_LOG: &str = "qemu.log";
    /// The same of the launch before.
    pub const EARLIER_QEMU_LOG: &str = "qemu.1.log";
    /// QEMU's control socket. Whoever can connect to it can run code as this user.
    pub const QMP_SOCKET: &str = "qmp.sock";
    /// Facts about the present or last launch.
    pub const RUN: &str = "run.toml";
    /// What a viewer has to know to see the guest's screen.
    pub const SCREEN_PASSWORD: &str = "screen-password";
    /// Keys and identifiers of the guest.
    pub const IDENTITY: &str = "identity";
    /// Held while keys are changed, and while a launch reads them.
    pub const KEYS_LOCK: &str = "keys.lock";
    /// A change of keys that is under way: the identity that is to be, or was, and [`VmDir::TOUCHED`].
    pub const ROTATION: &str = "rotation";
    /// Every public key that such a change may have left in the guest, in its directory.
    pub const TOUCHED: &str = "touched.pub";
    /// What the guest is given at launch, one SMBIOS string a file.
    pub const CREDENTIALS: &str = "credentials";
    /// The disk from which a brought image sets itself up.
    pub const SEED: &str = "seed.img";
    /// The disk on which a guest records what it is to boot.
    pub const BOOT_DISK: &str = "boot.img";
    /// What has been taken from there: [`VmDir::RECORDED_NEXT`] and [`VmDir::RECORDED_GOOD`].
    pub const RECORDED: &str = "recorded";
    /// The system that was recorded last and has not been seen ready.
    pub const RECORDED_NEXT: &str = "recorded/next";
    /// The system that was recorded before, or last, and has been seen ready.
    pub const RECORDED_GOOD: &str = "recorded/good";
    /// The identifier of the recorded system with which the guest was seen ready last.
    pub const RECORDED_READY: &str = "recorded/ready";
    /// Says that what was recorded is to be forgotten at the next start.
    pub const FORGET_RECORDED: &str = "forget-recorded";
    /// The token with which Claude Code is logged in there.
    pub const CLAUDE_TOKEN: &str = "claude-token";
    /// Which login of Claude Code the guest was last seen with.
    pub const CLAUDE_LOGIN: &str = "claude-login.json";
    /// What agents without a terminal said there, one file each, named like the agent.
    pub const RUNS: &str = "runs";
    /// The marker of the boot that was last seen ready.
    pub const READY: &str = "ready";

    /// Takes a directory that is, or will become, a VM's.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns the directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of one of the names above.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The names in the directory of [`Layout::claude`].
#[derive(Debug)]
pub struct Claude;

impl Claude {
    /// Held for the milliseconds in which something there is changed.
    pub const LOCK: &str = "lock";
    /// The newest login of those that are copied.
    pub const LOGIN: &str = "login.json";
    /// The token of VMs that have none of their own.
    pub const TOKEN: &str = "token";
    /// A line for each login that went from one place to another.
    pub const AUDIT: &str = "audit.log";
    /// The lines before those.
    pub const AUDIT_BEFORE: &str = "audit.1.log";
}

/// The files that make a guest this VM and no other, relative to the VM's directory.
#[derive(Debug)]
pub struct Identity;

impl Identity {
    /// The private key that may log in.
    pub const LOGIN_KEY: &str = "identity/id_ed25519";
    /// The public key that may log in.
    pub const LOGIN_PUBLIC_KEY: &str = "identity/id_ed25519.pub";
    /// The private key of the guest's SSH server.
    pub const HOST_KEY: &str = "identity/host_ed25519";
    /// The public key by which the guest's SSH server is recognised.
    pub const HOST_PUBLIC_KEY: &str = "identity/host_ed25519.pub";
    /// The public key by which the SSH server of a machine is recognised that something else runs.
    pub const ADOPTED_HOST_KEY: &str = "identity/host.pub";
    /// The same as OpenSSH's known_hosts has it.
    pub const KNOWN_HOSTS: &str = "identity/known_hosts";
    /// systemd's machine id.
    pub const MACHINE_ID: &str = "identity/machine-id";
}
