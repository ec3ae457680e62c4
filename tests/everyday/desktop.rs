//! The Debian image with a desktop: which VM gets which image, what is said, what is kept. The images are empty disks under the
//! names of the real ones; making those is for the guest suite.

use std::fs;
use std::time::Duration;

use ai_vm::guest::debian::{Variant, image_id};
use serde_json::Value;

use crate::home::{Home, Ran, finish};
use crate::overlay::{has_mark, mark};

/// Puts an image in place that was made before there were desktops where the manifest has no word of one.
fn image(home: &Home, id: &str, desktop: &str) {
    let dir = home.data().join("images").join(id);
    fs::create_dir_all(&dir).unwrap();
    fs::File::create(dir.join("root.img")).unwrap().set_len(1 << 20).unwrap();
    let manifest = "family = 'debian'\ncreated = '2026-01-01T00:00:00Z'\ndisk = 'root.img'\nformat = 'raw'\n";
    fs::write(dir.join("image.toml"), format!("{manifest}{desktop}\n")).unwrap();
}

/// A home with both images.
fn home() -> (Home, [String; 2]) {
    let home = Home::new();
    home.ok(&["image", "ls"]);
    let [plain, desktop] = [Variant::Plain, Variant::Desktop].map(image_id);
    image(&home, &plain, "");
    image(&home, &desktop, "desktop = true");
    (home, [plain, desktop])
}

fn create(home: &Home, name: &str, flags: &[&str]) {
    let small = ["--accel", "tcg", "--ram", "128mb", "--cpu", "1", "--storage", "1", "--no-default-ports"];
    home.ok(&[&["create", name, "--guest", "debian"], small.as_slice(), flags].concat());
}

/// Starts a VM, as if nobody sat at this machine.
fn start(home: &Home, args: &[&str]) -> Ran {
    let mut command = home.command(&[&["start", "--no-wait"], args].concat());
    command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let ran = finish(command, Duration::from_secs(60));
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran
}

fn info(home: &Home, name: &str) -> Value {
    serde_json::from_str::<Value>(&home.ok(&["info", "--json", name]).out).unwrap()[0].clone()
}

#[test]
fn a_vm_has_the_image_that_its_screen_asks_for() {
    let (home, [plain, desktop]) = home();
    create(&home, "a", &[]);
    create(&home, "b", &["--desktop"]);
    for (name, image) in [("a", &plain), ("b", &desktop)] {
        let ran = start(&home, &[name]);
        assert!(!ran.err.contains("making the image") && !ran.err.contains("no desktop"), "{}", ran.err);
        let vm = info(&home, name);
        assert_eq!((&vm["image"], &vm["outdated"]), (&image.as_str().into(), &false.into()));
    }
    let images: Vec<Value> = serde_json::from_str(&home.ok(&["image", "ls", "--json"]).out).unwrap();
    let found = |id: &str| images.iter().find(|image| image["id"] == id).unwrap();
    assert_eq!((&found(&plain)["desktop"], &found(&plain)["vms"][0]), (&false.into(), &"a".into()));
    assert_eq!((&found(&desktop)["desktop"], &found(&desktop)["vms"][0]), (&true.into(), &"b".into()));
    // What a disk lies over is kept as long as there is the disk.
    home.ok(&["image", "prune"]);
    let ran = home.run(&["image", "rm", &desktop]);
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains(&format!("`{desktop}` is used by b")), "{}", ran.err);
    home.ok(&["rm", "--force", "b"]);
    home.ok(&["image", "prune"]);
    assert_eq!(home.ok(&["image", "ls", "-q"]).out, format!("{plain}\n"));
    // A VM that is there does not get one by being asked.
    let ran = home.run(&["up", "a", "--desktop", "--timeout", "1"]);
    assert!(ran.err.contains("a: exists already and keeps its own desktop"), "{}", ran.err);
}

#[test]
fn a_vm_from_before_says_that_it_has_no_desktop_and_gets_one_when_it_is_made_anew() {
    let (home, [plain, desktop]) = home();
    create(&home, "vm", &[]);
    start(&home, &["vm"]);
    home.ok(&["stop", "--force", "vm"]);
    let record = home.vm("vm").join("vm.toml");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, format!("{text}\n[desktop]\nresolution = \"1280x720\"\n")).unwrap();
    let disk = home.vm("vm").join("disk.qcow2");
    mark(&disk);
    let said = start(&home, &["vm"]).err;
    assert!(said.contains(&format!("warning: its disk lies over `{plain}`, which has no desktop")), "{said}");
    assert!(said.contains("`ai-vm start vm --new-disk`"), "{said}");
    assert_eq!(info(&home, "vm")["outdated"], true);
    let said = home.run(&["rebuild", "vm", "--host"]).err;
    assert!(said.contains(&format!("lies over {plain}, where it would now be {desktop}")), "{said}");
    home.ok(&["stop", "--force", "vm"]);
    assert!(has_mark(&disk), "its disk was made anew");
    let said = start(&home, &["vm", "--new-disk"]).err;
    assert!(!said.contains("no desktop"), "{said}");
    assert_eq!(info(&home, "vm")["image"], desktop.as_str());
    home.ok(&["stop", "--force", "vm"]);
    assert!(!has_mark(&disk));
}

#[test]
fn what_is_missing_for_an_image_is_told_and_nothing_half_made_stays() {
    let home = Home::new();
    let bin = home.dir().join("bin");
    fs::create_dir(&bin).unwrap();
    for tool in ["bash", "id", "dirname", "mktemp", "chmod", "rm", "qemu-system-x86_64"] {
        let real = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|dir| dir.join(tool))
            .find(|path| path.exists());
        std::os::unix::fs::symlink(real.unwrap(), bin.join(tool)).unwrap();
    }
    for (flags, what) in [
        (["image", "build", "--desktop"].as_slice(), "takes some minutes and 2 GiB of disk"),
        (&["up", "vm", "--desktop", "--guest", "debian"], "takes some minutes and 2 GiB of disk"),
        (&["image", "build"], ""),
    ] {
        let mut command = home.command(flags);
        command.env("PATH", &bin);
        let ran = finish(command, Duration::from_secs(60));
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(ran.err.contains(what), "{}", ran.err);
        assert_eq!(ran.err.contains("with a desktop"), !what.is_empty(), "{}", ran.err);
        assert!(ran.err.contains("sudo apt install mmdebstrap"), "{}", ran.err);
        assert_eq!(home.ok(&["image", "ls", "-q"]).out, "");
        home.ok(&["create", &format!("sweep{}", flags.len())]);
        assert_eq!(fs::read_dir(home.data().join("staging")).unwrap().count(), 0);
    }
    let ran = home.run(&["image", "build", "--resolution", "1280x720"]);
    assert_eq!(ran.code, 2, "a size without a screen: {}", ran.err);
}
