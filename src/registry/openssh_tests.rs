//! Tests of what OpenSSH is told.

use super::*;

#[test]
fn paths_survive_their_quoting() {
    for (path, quoted) in [
        ("/a b", "\"/a b\""),
        ("/50%", "\"/50%%\""),
        ("/a\"b\\c", "\"/a\\\"b\\\\c\""),
        ("/$HOME/~/'x'", "\"/$HOME/~/'x'\""),
    ] {
        assert_eq!(argument(Path::new(path)).unwrap(), quoted);
    }
    assert_eq!(shell_word(Path::new("/it's\\")).unwrap(), "'/it'\\''s'\\\\''");
    for bad in ["/a\nb", "/${HOME}"] {
        let error = argument(Path::new(bad)).unwrap_err();
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn commands_say_where_everything_is() {
    let name = "web".parse().unwrap();
    let proxy = proxy_command(Path::new("/b in/ai-vm"), Path::new("/50%"), true, &name).unwrap();
    assert_eq!(proxy, "env AI_VM_HOME='/50%%' '/b in/ai-vm' proxy --start web");
    // A script has no use for OpenSSH's escapes.
    let script = script(Path::new("/ai-vm"), Path::new("/50%"), false).unwrap();
    assert!(script.ends_with("AI_VM_HOME='/50%' exec '/ai-vm' proxy \"$1\"\n"), "{script}");
}

#[test]
fn what_means_something_is_a_wildcard() {
    let line = include(Path::new("/h\u{fc}/a b/50%/[x]$y\"")).unwrap();
    assert_eq!(line, "Include \"/h\u{fc}/a b/50?/?x??y?/*/ssh_config\"");
}

#[test]
fn a_pinned_key_is_known_by_the_name_in_lower_case() {
    let name = "Web_1".parse().unwrap();
    let line = known_host(&name, "ssh-ed25519 AAAA someone@somewhere\n").unwrap();
    assert_eq!(line, "web_1.ai-vm ssh-ed25519 AAAA\n");
    assert_eq!(known_host(&name, "ssh-ed25519"), None);
}
