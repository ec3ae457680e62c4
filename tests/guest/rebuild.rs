//! A Debian guest applies its own configuration, with the real apt, dpkg and systemd. Its packages come from a repository
//! in the guest itself, so that no mirror and no network is needed.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::debian::{VM, exec, sh};
use crate::home::{Home, Ran, finish, wait};

/// An emulated guest takes some seconds for each of apt's steps.
const PATIENCE: Duration = Duration::from_secs(180);

/// Makes the repository and lets apt know nothing else. `probe` needs `probe-lib`.
const REPOSITORY: &str = r#"
set -eu
dir=$(mktemp -d)
cd "$dir"
for name in probe probe-lib; do
  mkdir -p $name/DEBIAN $name/usr/share/probe
  echo $name >$name/usr/share/probe/$name
  printf 'Package: %s\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n' $name >$name/DEBIAN/control
  [ $name = probe-lib ] || echo 'Depends: probe-lib' >>$name/DEBIAN/control
  echo 'Description: for a test' >>$name/DEBIAN/control
  dpkg-deb --root-owner-group -Znone --build $name $name.deb >/dev/null
  dpkg-deb --field $name.deb
  echo "Filename: ./$name.deb"
  echo "Size: $(stat -c %s $name.deb)"
  echo "SHA256: $(sha256sum $name.deb | cut -d ' ' -f 1)"
  echo
done >Packages
sudo mkdir /srv/repository
sudo cp Packages ./*.deb /srv/repository
echo 'deb [trusted=yes] file:/srv/repository ./' | sudo tee /etc/apt/sources.list >/dev/null
"#;

/// Puts a file from here where the VM's user may write without `sudo`.
fn give(home: &Home, name: &str, text: &str) {
    let here = home.dir().join("given");
    fs::write(&here, text).unwrap();
    if text.starts_with("#!") {
        fs::set_permissions(&here, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    home.ok(&["cp", here.to_str().unwrap(), &format!("{VM}:/etc/ai-vm/{name}")]);
}

fn rebuild(home: &Home) -> Ran {
    finish(home.command(&["rebuild", VM]), PATIENCE)
}

/// Begins in a process of its own, and waits until its log has this.
fn follow(home: &Home, words: &str) -> Child {
    let log = home.dir().join("log");
    let out = fs::File::create(&log).unwrap();
    let child = home.command(&["rebuild", VM]).stdout(out).stderr(Stdio::piped()).spawn().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !fs::read_to_string(&log).unwrap().contains(words) {
        let said = fs::read_to_string(&log).unwrap();
        assert!(Instant::now() < deadline, "its log has no `{words}`: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

pub fn applies_its_configuration(home: &Home) {
    assert_eq!(home.list()[0]["outdated"], false);
    let ran = home.ok(&["rebuild", VM, "--host"]);
    assert!(ran.err.contains("as it should"), "{}", ran.err);
    sh(home, REPOSITORY);
    give(home, "packages", "# for a test\nprobe\n\nno-such-thing\n");
    let ran = rebuild(home);
    assert_eq!(ran.code, 2, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("/etc/ai-vm/packages:4: there is no package `no-such-thing`"), "{}", ran.out);

    give(home, "packages", "probe # and what it needs\ncurl\n");
    let wait_for_it = "#!/bin/sh\nuntil [ -e /run/go ]; do sleep 0.2; done\n";
    give(home, "setup.d/10-mark", &format!("{wait_for_it}echo \"$AI_VM_USER $(id -un)\" >/etc/marked\n"));
    // Whoever asked for it is killed, joins again, and loses the connection.
    let mut killed = follow(home, "running /etc/ai-vm/setup.d/10-mark");
    killed.kill().unwrap();
    killed.wait().unwrap();
    let child = follow(home, "running /etc/ai-vm/setup.d/10-mark");
    exec(home, &["sudo", "pkill", "-KILL", "-x", "sshd-session"]);
    sh(home, "sudo touch /run/go");
    let ran = wait(child, PATIENCE, "rebuild");
    let log = fs::read_to_string(home.dir().join("log")).unwrap();
    assert_eq!(ran.code, 0, "{log}{}", ran.err);
    for words in ["under way already", "the connection is lost", "connected again", "rebuilt in"] {
        assert!(ran.err.contains(words), "no `{words}`: {}", ran.err);
    }
    for (words, count) in [
        ("rebuild:   install probe 1.0\n", 1),
        ("rebuild:   installed probe 1.0\n", 1),
        ("rebuild:   installed probe-lib 1.0\n", 1),
        ("rebuild:   ran /etc/ai-vm/setup.d/10-mark\n", 1),
        ("rebuild: no restart is needed\n", 1),
        ("curl", 0),
    ] {
        assert_eq!(log.matches(words).count(), count, "`{words}`: {log}");
    }
    assert_eq!(sh(home, "cat /etc/marked /usr/share/probe/*"), "dev root\nprobe\nprobe-lib\n");

    // What is taken off the list goes; what the image has stays. A script that fails gives its exit code.
    give(home, "packages", "");
    give(home, "setup.d/20-fails", "#!/bin/sh\necho 'no way' >&2\nexit 42\n");
    let ran = rebuild(home);
    assert_eq!(ran.code, 42, "{}{}", ran.out, ran.err);
    for words in ["no way", "removed probe 1.0", "removed probe-lib 1.0", "20-fails failed with exit code 42"]
    {
        assert!(ran.out.contains(words), "no `{words}`: {}", ran.out);
    }
    assert!(!ran.out.contains("ran /etc"), "{}", ran.out);
    assert_eq!(sh(home, "ls -d /usr/share/probe 2>/dev/null || command -v curl"), "/usr/bin/curl\n");
    let ran = home.ok(&["rebuild", VM, "--log"]);
    assert!(ran.out.contains("no way") && ran.err.contains("ended with exit code 42"), "{}", ran.err);
    sh(home, "rm /etc/ai-vm/setup.d/20-fails");
}

/// To be called when the VM has been stopped and started.
pub fn its_effect_is_kept(home: &Home) {
    assert_eq!(sh(home, "cat /etc/marked; ls /usr/share/probe 2>/dev/null || true"), "dev root\n");
    let ran = rebuild(home);
    assert_eq!((ran.code, ran.out.as_str()), (0, "rebuild: nothing changed\n"), "{}", ran.err);
}
