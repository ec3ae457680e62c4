//! A guest from an image with cloud-init and a boot loader, as publishers hand them out.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::home::{Home, finish};

/// Making the image downloads and unpacks a small Debian.
const MAKE: Duration = Duration::from_secs(10 * 60);

/// Its firmware, boot loader and cloud-init take longer than the guest that ai-vm makes itself.
const BOOT: Duration = Duration::from_secs(5 * 60);

/// A generator of systemd's without the credential of which it would make mounts.
const GENERATOR: &str = "/etc/systemd/system-generators/systemd-fstab-generator";
const OLD_GENERATOR: &str = "#!/bin/sh\nunset CREDENTIALS_DIRECTORY\nexec /usr/lib/systemd/system-generators/systemd-fstab-generator \"$@\"";

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
    let shared = home.dir().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("file"), "of the host").unwrap();
    let up = ["up", "cloud", "--image", image, "--user", "dev", "--ram", "1", "--storage", "6", "--share-ro"];
    let ran = finish(home.command(&[&up[..], &[shared.to_str().unwrap()]].concat()), BOOT);
    assert_eq!(ran.code, 0, "{}", ran.err);
    crate::report(&format!("booted: {:.1} s", begun.elapsed().as_secs_f64()));

    let sh = |script: &str| home.ok(&["exec", "cloud", "--", "sh", "-c", script]);
    let ran = sh("hostname; id -un; sudo -n id -u; cloud-init status --wait; echo kept > file; sync");
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("cloud\ndev\n0\nstatus: done\n", ""));
    let gib: f64 =
        sh("df --output=size -BM / | tail -n1 | tr -dc 0-9").out.trim().parse::<f64>().unwrap() / 1024.0;
    assert!((5.0..6.0).contains(&gib), "the file system was not grown: {gib} GiB");

    assert_eq!(sh("cat /mnt/host-ro/shared/file").out, "of the host");
    // From now on like a systemd that knows nothing of that credential: what cloud-init runs has to do it.
    sh(&format!("echo '{OLD_GENERATOR}' > old && sudo -n install -D old {GENERATOR}"));

    let begun = Instant::now();
    keys_are_changed_where_cloud_init_put_them(&home);
    crate::report(&format!("new keys: {:.1} s", begun.elapsed().as_secs_f64()));

    home.ok(&["stop", "cloud"]);
    assert_eq!(home.state(), "stopped");
    // The key is on its disk, where nobody can change it now.
    let key = login_key(&home);
    let ran = home.run(&["ssh-keys", "rotate", "cloud"]);
    assert_ne!(ran.code, 0);
    assert!(ran.err.contains("ai-vm start cloud"), "{}", ran.err);
    assert_eq!(login_key(&home), key);
    let ran = finish(home.command(&["start", "cloud"]), BOOT);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(sh("cat file").out, "kept\n");
    assert_eq!(
        sh("cat /mnt/host-ro/shared/file; ls /run/systemd/generator | grep host-r || true").out,
        "of the host"
    );
    let images = home.ok(&["image", "ls", "-q"]).out;
    assert!(images.starts_with("image-") && images.lines().count() == 1, "{images}");
    assert_eq!(home.run(&["image", "rm", images.trim()]).code, 4, "an image in use was removed");
    assert_eq!(
        sh("cat ~/.ssh/authorized_keys").out,
        format!("# another's\n{key}"),
        "the boot brought an old key back"
    );
    home.ok(&["rm", "--force", "cloud"]);
    home.ok(&["image", "prune"]);
    assert_eq!(home.ok(&["image", "ls", "-q"]).out, "");
}

fn login_key(home: &Home) -> String {
    std::fs::read_to_string(home.vm("cloud").join("identity/id_ed25519.pub")).unwrap()
}

/// The old key no longer logs in, the new one does, and a key of somebody else's stays.
fn keys_are_changed_where_cloud_init_put_them(home: &Home) {
    let sh = |script: &str| home.ok(&["exec", "--no-mux", "cloud", "--", "sh", "-c", script]).out;
    let (old, identity) = (login_key(home), home.vm("cloud").join("identity"));
    assert!(sh("cat ~/.ssh/authorized_keys").contains(old.trim()));
    let kept = home.dir().join("old_key");
    std::fs::copy(identity.join("id_ed25519"), &kept).unwrap();
    sh("sed -i '1i # another'\\''s' ~/.ssh/authorized_keys");
    home.ok(&["ssh-keys", "rotate", "cloud"]);
    let new = login_key(home);
    assert_ne!(new, old);
    assert_eq!(sh("cat ~/.ssh/authorized_keys"), format!("# another's\n{new}"));
    let port = home.list()[0]["ssh_port"].as_u64().unwrap().to_string();
    for (key, logs_in) in [(&kept, false), (&identity.join("id_ed25519"), true)] {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "StrictHostKeyChecking=no",
        ]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-p", &port, "-i"])
            .arg(key)
            .args(["dev@127.0.0.1", "true"]);
        assert_eq!(finish(ssh, BOOT).code == 0, logs_in, "{}", key.display());
    }
}
