//! A real QEMU without a guest: its disk is empty, so its firmware waits for ever. Good for everything that does not
//! need an answer from inside.

use crate::home::{Home, Ran};
use crate::processes::running;

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

/// The only QEMU of a home.
pub fn pid(home: &Home) -> u32 {
    let running = running(home);
    assert_eq!(running.len(), 1, "{running:?}");
    running[0].0
}
