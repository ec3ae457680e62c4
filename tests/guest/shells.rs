//! Shells for guests that have only bash and dash.

use std::process::{Command, Stdio};

use crate::home::Home;

/// Copies this machine's fish with everything that it needs to run into the guest, as `/usr/local/bin/fish`.
pub fn bring_fish(home: &Home, vm: &str) {
    let script = r#"
        set -e
        fish=$(command -v fish) || { echo "no fish: install fish" >&2; exit 1; }
        ldd "$fish" | grep -o '/[^ ]*' | tar --create --dereference --files-from=- "$fish" /usr/share/fish 2>/dev/null
    "#;
    let mut pack = Command::new("sh");
    let mut packed = pack.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let unpack = r#"
        set -e
        mkdir -p /opt/fish
        tar --extract --directory=/opt/fish
        ln -s /opt/fish/usr/share/fish /usr/share/fish
        loader=$(find /opt/fish -name 'ld-linux*.so*' | head -n1)
        libraries=$(find /opt/fish -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
        printf '#!/bin/sh\nexec %s --library-path %s /opt/fish/usr/bin/fish "$@"\n' "$loader" "$libraries" \
          > /usr/local/bin/fish
        chmod 755 /usr/local/bin/fish
        echo /usr/local/bin/fish >> /etc/shells
    "#;
    let mut command = home.command(&["exec", "--user", "root", vm, "--", "sh", "-c", unpack]);
    let brought = command.stdin(packed.stdout.take().unwrap()).status().unwrap();
    assert!(packed.wait().unwrap().success() && brought.success(), "fish could not be brought");
}
