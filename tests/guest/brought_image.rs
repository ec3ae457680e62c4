//! A guest from an image with cloud-init and a boot loader, as publishers hand them out.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::home::{Home, finish};

/// Making the image downloads and unpacks a small Debian.
const MAKE: Duration = Duration::from_secs(10 * 60);

/// Its firmware, boot loader and cloud-init take longer than the guest that ai-vm makes itself.
const BOOT: Duration = Duration::from_secs(5 * 60);

#[test]
fn a_brought_image_is_set_up_by_its_cloud_init() {
    let home = Home::new();
    let image = home.dir().join("cloud.qcow2");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/brought_image.sh");
    let begun = Instant::now();
    let mut make = Command::new("bash");
    make.arg(script).arg(&image);
    let made = finish(make, MAKE);
    assert_eq!(made.code, 0, "{}", made.err);
    crate::report(&format!("an image with cloud-init made: {:.1} s", begun.elapsed().as_secs_f64()));

    let begun = Instant::now();
    let image = image.to_str().unwrap();
    let up = ["up", "cloud", "--image", image, "--user", "dev", "--ram", "1", "--storage", "6"];
    let ran = finish(home.command(&up), BOOT);
    assert_eq!(ran.code, 0, "{}", ran.err);
    crate::report(&format!("booted: {:.1} s", begun.elapsed().as_secs_f64()));

    let sh = |script: &str| home.ok(&["exec", "cloud", "--", "sh", "-c", script]);
    let ran = sh("hostname; id -un; sudo -n id -u; cloud-init status --wait; echo kept > file; sync");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("cloud\ndev\n0\nstatus: done\n", ""));
    let gib: f64 =
        sh("df --output=size -BM / | tail -n1 | tr -dc 0-9").out.trim().parse::<f64>().unwrap() / 1024.0;
    assert!((5.0..6.0).contains(&gib), "the file system was not grown: {gib} GiB");

    home.ok(&["stop", "cloud"]);
    assert_eq!(home.state(), "stopped");
    let ran = finish(home.command(&["start", "cloud"]), BOOT);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(sh("cat file").out, "kept\n");
    let images = home.ok(&["image", "ls", "-q"]).out;
    assert!(images.starts_with("image-") && images.lines().count() == 1, "{images}");
    assert_eq!(home.run(&["image", "rm", images.trim()]).code, 4, "an image in use was removed");
    home.ok(&["rm", "--force", "cloud"]);
    home.ok(&["image", "prune"]);
    assert_eq!(home.ok(&["image", "ls", "-q"]).out, "");
}
