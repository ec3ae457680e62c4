//! A real QEMU without a guest: its disk is empty, so its firmware waits for ever. Good for everything that does not
//! need an answer from inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::home::{Home, Ran};

/// The flags of a VM with an empty disk; the file for it is made in the home.
pub fn empty(home: &Home) -> Vec<String> {
    let image = home.dir().join("empty.img");
    std::fs::File::create(&image).unwrap().set_len(1 << 20).unwrap();
    let port = portpicker::pick_unused_port().unwrap();
    let image = image.to_str().unwrap();
    [
        "--image",
        image,
        "--accel",
        "tcg",
        "--ram",
        "128mb",
        "--cpu",
        "1",
        "--storage",
        "1",
        "--no-default-ports",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(["--ssh-port".to_owned(), port.to_string()])
    .collect()
}

/// Registers a VM named `vm` with an empty disk.
pub fn create(home: &Home) -> Ran {
    let flags = empty(home);
    home.ok(&[&["create", "vm"], flags.iter().map(String::as_str).collect::<Vec<_>>().as_slice()].concat())
}

/// Starts it, which is all that it can do.
pub fn start(home: &Home) -> Ran {
    home.ok(&["start", "--no-wait", "vm"])
}

/// What `ls` says of the VM.
pub fn state(home: &Home) -> String {
    home.list()[0]["state"].as_str().unwrap().to_owned()
}

/// The QEMU processes of a home with the VM directories that they work in.
pub fn running(home: &Home) -> Vec<(u32, PathBuf)> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        let dir = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        let is_qemu = program.file_name()?.to_str()?.starts_with("qemu-system");
        (is_qemu && dir.starts_with(home.dir())).then_some((pid, dir))
    })
    .collect()
}

/// The only QEMU of a home.
pub fn pid(home: &Home) -> u32 {
    let running = running(home);
    assert_eq!(running.len(), 1, "{running:?}");
    running[0].0
}

/// Sends a signal.
pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap().success());
}

/// Every file and directory below a path, with its permission bits.
pub fn modes(path: &Path) -> Vec<(PathBuf, u32)> {
    use std::os::unix::fs::PermissionsExt;
    let Ok(found) = std::fs::symlink_metadata(path) else { return Vec::new() };
    let mut all = vec![(path.to_owned(), found.permissions().mode() & 0o777)];
    if found.is_dir() {
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            all.extend(modes(&entry.path()));
        }
    }
    all
}
