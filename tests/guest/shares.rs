//! Folders of this machine in a Debian guest, whose root is nobody to be trusted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use ai_vm::guest::seed;

use crate::debian::{VM, exec, sh};
use crate::home::Home;

/// Names that mean something to a shell, to QEMU, to fstab, to systemd; and what they are in the guest.
const ODD: [(&str, &str); 5] = [
    ("a,readonly=off", "a,readonly=off"),
    ("two  words ", "two  words_"),
    ("quotes ' and \" $(id) `id` #x", "quotes ' and \" $(id) `id` #x"),
    ("ünïcödé 😀 %n %%", "ünïcödé 😀 %n %%"),
    ("line\nend\\", "line_end_"),
];

fn folder(home: &Home, name: &str) -> PathBuf {
    fs::canonicalize(home.dir()).unwrap().join("shared").join(name)
}

/// Makes the folders that the guest is to have from its next start on.
pub fn are_added_while_it_runs(home: &Home) {
    let add = |flag: &str, name: &str| {
        let path = folder(home, name);
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("file"), format!("of {name}")).unwrap();
        let ran = home.ok(&["share", "add", VM, flag, path.to_str().unwrap()]);
        assert!(ran.err.contains("from the next start on"), "{}", ran.err);
    };
    add("--rw", "web");
    add("--rw", "other/web");
    ODD.iter().for_each(|(name, _)| add("--ro", name));
    // A guest's user that is not of this number here may write as well.
    fs::set_permissions(folder(home, "web"), fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(sh(home, "ls /mnt"), "");
}

/// Runs a script in the guest with these arguments.
fn with(home: &Home, script: &str, args: &[&str]) -> String {
    let ran = exec(home, &[&["sh", "-c", script, "sh"], args].concat());
    assert_eq!(ran.code, 0, "{script} {args:?}: {}{}", ran.out, ran.err);
    ran.out
}

pub fn are_there_and_only_as_they_should(home: &Home) {
    for (name, in_guest) in ODD {
        let path = format!("/mnt/host-ro/{in_guest}");
        assert_eq!(with(home, "cat \"$1/file\"", &[&path]), format!("of {name}"));
        // Not even after guest root has said otherwise.
        let tries = "tag=$(findmnt -no SOURCE \"$1\"); mount -o remount,rw \"$1\"; cd \"$1\" && for f in new file; do \
            echo x > $f; done; rm file; chmod 777 .; cd /; umount \"$1\"; \
            mount -t 9p -o trans=virtio,version=9p2000.L \"$tag\" \"$1\"; echo x > \"$1/again\"";
        let ran = exec(home, &["sudo", "-n", "sh", "-c", tries, "sh", &path]);
        assert_eq!(ran.err.matches("Read-only file system").count(), 5, "{name}: {}", ran.err);
        let left: Vec<_> = fs::read_dir(folder(home, name)).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(fs::read_to_string(folder(home, name).join("file")).unwrap(), format!("of {name}"));
    }
    writes_arrive(home);
    links_lead_nowhere_here(home);
}

/// What is written arrives, is ours, and nothing that would be dangerous here.
fn writes_arrive(home: &Home) {
    let (web, other) = (folder(home, "web"), folder(home, "other/web"));
    let rows = home.ok(&["share", "ls", "--json", VM]).out;
    let rows: serde_json::Value = serde_json::from_str(&rows).unwrap();
    let second = rows[1]["guest"].as_str().unwrap();
    assert_eq!(rows[1]["path"], other.to_str().unwrap());
    assert_eq!(with(home, "cat \"$1/file\" && id -u", &[second]), "of other/web1000\n");
    sh(home, "cd /mnt/host-rw/web && mkdir dir && seq 100000 > dir/numbers && mv dir moved && rm file");
    let numbers: String = (1..=100_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(fs::read_to_string(web.join("moved/numbers")).unwrap(), numbers);
    assert!(!web.join("file").exists());
    // And the other way, at once.
    fs::write(web.join("from here"), "new").unwrap();
    assert_eq!(sh(home, "cat '/mnt/host-rw/web/from here'"), "new");
    sh(home, "cd /mnt/host-rw/web && sudo -n sh -c 'cp /bin/true s && chown 0:0 s && chmod 6755 s'");
    sh(home, "cd /mnt/host-rw/web && sudo -n mknod null c 1 3 || true");
    let us = rustix::process::getuid().as_raw();
    for name in ["moved/numbers", "s"] {
        assert_eq!(fs::metadata(web.join(name)).unwrap().uid(), us, "{name}");
    }
    if us == 0 {
        assert_eq!(fs::metadata(web.join("s")).unwrap().mode() & 0o6000, 0, "a program that runs as root");
    }
    let device = fs::symlink_metadata(web.join("null"));
    assert!(device.is_err() || device.unwrap().is_file(), "a device");
}

/// A link that the guest makes is followed by the guest, in the guest, and by QEMU nowhere.
fn links_lead_nowhere_here(home: &Home) {
    let web = folder(home, "web");
    fs::write(home.dir().join("canary"), "of the host").unwrap();
    let canary = fs::canonicalize(home.dir().join("canary")).unwrap();
    let canary = canary.to_str().unwrap();
    symlink(canary, web.join("ours")).unwrap();
    let read = "cd /mnt/host-rw/web && ln -s \"$1\" theirs && ln -s ../../canary above && ln -s /etc/hostname own; \
        cat theirs above ours ../canary; cat own";
    let ran = exec(home, &["sudo", "-n", "sh", "-c", read, "sh", canary]);
    assert_eq!(ran.out, "web\n", "{}", ran.err);
    exec(
        home,
        &["sudo", "-n", "sh", "-c", "cd /mnt/host-rw/web; for f in theirs above ours; do echo x > $f; done"],
    );
    assert_eq!(fs::read_to_string(canary).unwrap(), "of the host");
}

/// Recorded while the VM runs, for its next start.
pub fn are_changed_while_it_runs(home: &Home) {
    let late = folder(home, "late");
    fs::create_dir(&late).unwrap();
    fs::write(late.join("file"), "of late").unwrap();
    home.ok(&["share", "add", VM, "--ro", late.to_str().unwrap()]);
    home.ok(&["share", "rm", VM, folder(home, "web").to_str().unwrap(), "two  words_"]);
    assert_eq!(
        sh(home, "ls /mnt/host-ro | grep -c late; test -e /mnt/host-rw/web/moved && echo here"),
        "0\nhere\n"
    );
}

/// The start after that.
pub fn are_other_ones_now(home: &Home) {
    assert_eq!(sh(home, "cat /mnt/host-ro/late/file"), "of late");
    let places = sh(home, "ls /mnt/host-rw; ls /mnt/host-ro | wc -l; sudo -n mount -t 9p | wc -l");
    let lines: Vec<&str> = places.lines().collect();
    assert!(lines[0].starts_with("web-") && lines[1..] == ["5", "6"], "{places}");
    // Where systemd does not mount them, what cloud-init runs does.
    let script = "set -e; umount -R /mnt/host-rw /mnt/host-ro; rm /run/systemd/generator/mnt-host*; ls /mnt/host-rw; \
        sh -c \"$1\"; sh -c \"$1\"; cat /mnt/host-ro/late/file; mount -t 9p | wc -l";
    let ran = exec(home, &["sudo", "-n", "sh", "-c", script, "sh", seed::MOUNTS]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "of late6\n"), "{}", ran.err);
    // One that is not mounted is missed.
    assert!(!home.ok(&["start", VM]).err.contains("has not mounted"));
    sh(home, "sudo -n umount /mnt/host-ro/late");
    let ran = home.ok(&["start", VM]);
    assert!(ran.err.contains("has not mounted `/mnt/host-ro/late`"), "{}", ran.err);
    home.ok(&[&["share", "rm", VM], names(home).iter().map(String::as_str).collect::<Vec<_>>().as_slice()]
        .concat());
}

fn names(home: &Home) -> Vec<String> {
    let rows: serde_json::Value = serde_json::from_str(&home.ok(&["share", "ls", "--json", VM]).out).unwrap();
    rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}
