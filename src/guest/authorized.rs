//! Which of our keys may log in to a guest that runs: said by scripts that its own shell runs, one after another, because
//! one whose connection was lost may be at work still.

use crate::ssh::command::RemoteCommand;

/// For the Debian guest. Its server reads a file of ours that is made from the launch's credentials at every boot; the
/// second file is for a boot of the guest's own, in which those still are what they were (see `identity`).
const DEBIAN: &str = r#"set -eu
umask 022
root=$1 user=$2 boot=$3 keys=$4
exec 9<"$root/run/ai-vm"
flock -w 30 9
write() {
  printf '%s\n' "$keys" >"$1.new"
  sync "$1.new"
  mv -f "$1.new" "$1"
}
mkdir -p "$root/var/lib/ai-vm"
write "$root/var/lib/ai-vm/authorized_keys.$boot"
write "$root/run/ai-vm/authorized_keys/$user"
sync "$root/var/lib/ai-vm"
"#;

/// For a brought image. Its cloud-init has put the key beside the user's own at the first boot and does not look again.
const IMAGE: &str = r#"set -eu
umask 077
mkdir -p "$HOME/.ssh"
exec 9<"$HOME/.ssh"
! command -v flock >/dev/null || flock -w 30 9
file=$HOME/.ssh/authorized_keys
[ ! -e "$file" ] || file=$(readlink -f "$file")
{
  if [ -e "$file" ]; then grep -vF -e "$2" "$file" || [ $? -eq 1 ]; fi
  printf '%s\n' "$1"
} >"$file.ai-vm"
sync "$file.ai-vm"
mv -f "$file.ai-vm" "$file"
sync "$(dirname "$file")"
"#;

/// Lets these keys log in to the Debian guest in the boot with this marker, and none that was let in before. The keys
/// are lines as OpenSSH writes them.
pub fn in_debian(user: &str, boot: &str, keys: &[&str]) -> RemoteCommand {
    let user = user.to_owned();
    let argv = script(DEBIAN, &["", &user, boot, &lines(keys)]);
    RemoteCommand { argv, user: Some("root".to_owned()), ..RemoteCommand::default() }
}

/// Lets these keys log in to a guest from a brought image, and those that are `gone` no longer. Others stay.
pub fn in_image(keys: &[&str], gone: &[&str]) -> RemoteCommand {
    // Those that are to be there are taken out too, so that none is there twice.
    let bodies: Vec<&str> = gone.iter().chain(keys).filter_map(|key| key.split_whitespace().nth(1)).collect();
    RemoteCommand { argv: script(IMAGE, &[&lines(keys), &bodies.join("\n")]), ..RemoteCommand::default() }
}

fn script(text: &str, args: &[&str]) -> Vec<std::ffi::OsString> {
    ["sh", "-c", text, "sh"].iter().chain(args).map(Into::into).collect()
}

fn lines(keys: &[&str]) -> String {
    keys.iter().map(|key| key.trim()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::process::Command;

    const OLD: &str = "ssh-ed25519 AAAAold ai-vm-web\n";
    const NEW: &str = "ssh-ed25519 AAAAnew ai-vm-web\n";

    fn run(home: &Path, command: &RemoteCommand) {
        let mut argv = command.argv.iter();
        let mut shell = Command::new(argv.next().unwrap());
        assert!(shell.args(argv).env("HOME", home).status().unwrap().success());
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_users_own_keys_stay() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join(".ssh/authorized_keys");
        run(home.path(), &in_image(&[OLD], &[]));
        assert_eq!(read(&file), OLD);
        std::fs::write(&file, format!("# mine\n{OLD}ssh-ed25519 AAAAmine")).unwrap();
        for _ in 0..2 {
            run(home.path(), &in_image(&[OLD, NEW], &[]));
            assert_eq!(read(&file), format!("# mine\nssh-ed25519 AAAAmine\n{OLD}{NEW}"));
        }
        std::fs::rename(&file, home.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("../elsewhere", &file).unwrap();
        run(home.path(), &in_image(&[NEW], &[OLD]));
        assert!(file.is_symlink());
        assert_eq!(read(&file), format!("# mine\nssh-ed25519 AAAAmine\n{NEW}"));
    }

    #[test]
    fn the_debian_guest_has_ours_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("run/ai-vm/authorized_keys")).unwrap();
        for (keys, text) in [(&[OLD, NEW][..], format!("{OLD}{NEW}")), (&[NEW], NEW.to_owned())] {
            let mut command = in_debian("dev", "b1", keys);
            assert_eq!(command.user.as_deref(), Some("root"));
            command.argv[4] = root.path().into();
            run(root.path(), &command);
            for file in ["run/ai-vm/authorized_keys/dev", "var/lib/ai-vm/authorized_keys.b1"] {
                assert_eq!(read(&root.path().join(file)), text, "{file}");
            }
        }
    }
}
