//! What is typed: values, their errors, exit codes, and where the output goes.

use std::net::TcpListener;

use crate::home::Home;

#[test]
fn ports_each_have_their_own_answer() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let in_use = format!("{}:80", listener.local_addr().unwrap().port());
    let cases: [(&[&str], i32, &str); 7] = [
        (&["-p", "0:80"], 2, "`0` is not a port"),
        (&["-p", "65536:80"], 2, "`65536` is not a port"),
        (&["-p", "80"], 2, "`80` is not a port forward"),
        (&["-p", "24001:80", "-p", "24001:81"], 2, "24001 is asked for twice"),
        (&["--ssh-port", "0"], 2, "`0` is not a port"),
        (&["-p", &in_use], 4, "is in use by"),
        (&["-p", "24001:80", "--ssh-port", "24001"], 2, "24001 is asked for twice"),
    ];
    for (flags, code, message) in cases {
        let ran = home.run(&[&["create", "x"], flags].concat());
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{flags:?}: {}", ran.err);
        assert!(ran.err.contains(message), "{flags:?}: {}", ran.err);
        assert!(home.list().is_empty(), "{flags:?} left a VM behind");
    }
    drop(listener);
}

#[test]
fn a_default_port_that_is_taken_is_moved_and_a_fixed_one_never() {
    let home = Home::new();
    home.ok(&["create", "a", "--no-default-ports", "-p", "23001:23001"]);
    home.ok(&["create", "b", "--no-default-ports", "-p", "auto:23001"]);
    let vms = home.list();
    assert_eq!(vms[0]["ports"][1]["host"], 23001);
    assert_eq!(vms[1]["ports"][1]["host"], 23002);
    let ran = home.run(&["create", "c", "-p", "23001:1"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("belongs to the VM `a`"), "{}", ran.err);
}

#[test]
fn a_command_without_the_dashes_before_it_is_told_how_it_should_be() {
    let home = Home::new();
    let cases: [(&[&str], &str); 13] = [
        (&["exec", "web", "ls", "-la"], "`ai-vm exec web -- ls -la`"),
        (&["--no-input", "exec", "web", "ls"], "`ai-vm exec web -- ls`"),
        (&["exec", "web", "ls"], "`ai-vm exec web -- ls`"),
        (&["exec", "web", "make", "-j4", "--quiet"], "`ai-vm exec web -- make -j4 --quiet`"),
        (&["exec", "web", "./run it.sh", "$HOME"], "`ai-vm exec web -- './run it.sh' '$HOME'`"),
        (&["exec", "-Tu", "root", "web", "-C", "/srv", "id"], "`ai-vm exec -Tu root web -C /srv -- id`"),
        (&["exec", "--timeout=5", "web", "id"], "`ai-vm exec --timeout=5 web -- id`"),
        (&["exec", "--all", "uptime", "-p"], "`ai-vm exec --all -- uptime -p`"),
        (&["exec", "-lteam=red", "uptime"], "`ai-vm exec -lteam=red -- uptime`"),
        (&["shell", "web", "top"], "`ai-vm shell web -- top`"),
        (&["shell", "web", "ls", "-la"], "`ai-vm shell web -- ls -la`"),
        (&["exec", "web"], "`ai-vm exec web -- COMMAND`"),
        (&["exec", "--all"], "`ai-vm exec --all -- COMMAND`"),
    ];
    for (argv, correction) in cases {
        let ran = home.run(argv);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{argv:?}: {}", ran.err);
        assert!(ran.err.contains(&format!("hint: {correction}")), "{argv:?}: {}", ran.err);
        assert!(ran.err.starts_with("error: ") && ran.err.lines().count() == 2, "{argv:?}: {}", ran.err);
    }
    // Other mistakes are told as they are.
    for (argv, said) in [
        (["exec", "--tiemout", "5", "web", "ls"].as_slice(), "--timeout"),
        (&["exec", "web", "--timeout", "soon", "--", "ls"], "soon"),
        (&["exec", "web", "--env", "--", "ls"], "--env"),
    ] {
        let ran = home.run(argv);
        assert_eq!(ran.code, 2, "{argv:?}: {}", ran.err);
        assert!(ran.err.contains(said) && !ran.err.contains("comes after"), "{argv:?}: {}", ran.err);
    }
    assert_eq!(home.run(&["exec", "--help"]).code, 0);
}

#[test]
fn sizes_are_understood_and_limited() {
    let home = Home::new();
    home.ok(&["create", "a", "--ram", "512mb", "--cpu", "4cpu", "--storage", "10000"]);
    let vm = &home.list()[0];
    assert_eq!((&vm["ram_mib"], &vm["cpus"], &vm["disk_gib"]), (&512.into(), &4.into(), &10_000.into()));
    for (flag, value) in [("--ram", "1025"), ("--cpu", "129"), ("--storage", "10001"), ("--ram", "much")] {
        let ran = home.run(&["create", "b", flag, value]);
        assert_eq!(ran.code, 2, "{flag} {value}");
        assert!(ran.err.contains(value), "{}", ran.err);
    }
}

#[test]
fn more_than_the_machine_has_is_a_warning() {
    let home = Home::new();
    let ran = home.ok(&["create", "a", "--ram", "1024gb", "--cpu", "128", "--storage", "10000"]);
    assert_eq!(ran.err.matches("warning:").count(), 3, "{}", ran.err);
}

#[test]
fn names_that_would_hurt_are_refused() {
    let home = Home::new();
    for name in ["../x", "a b", "", "a,b", "_a", "a.b", &"a".repeat(49)] {
        assert_eq!(home.run(&["create", "--", name]).code, 2, "{name:?}");
    }
    home.ok(&["create", &"a".repeat(48)]);
}

#[test]
fn nobody_logs_in_as_root() {
    let home = Home::new();
    let ran = home.run(&["create", "vm", "--user", "root"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("root") && ran.err.contains("hint"), "{}", ran.err);
    std::fs::write(home.dir().join("config.toml"), "user = \"root\"\n").unwrap();
    assert_eq!(home.run(&["create", "vm"]).code, 2);
    assert!(home.list().is_empty());
}

#[test]
fn missing_vms_are_told_with_the_nearest_name() {
    let home = Home::new();
    home.ok(&["create", "web"]);
    let ran = home.run(&["info", "wbe"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("did you mean `web`?"), "{}", ran.err);
}

#[test]
fn stdout_is_data_only() {
    let home = Home::new();
    assert_eq!(home.ok(&["ls"]).out, "");
    assert_eq!(home.ok(&["ls", "--json"]).out.trim(), "[]");
    assert_eq!(home.ok(&["create", "b", "a"]).out, "");
    assert_eq!(home.ok(&["ls", "-q"]).out, "a\nb\n");
    let table = home.ok(&["ls"]).out;
    assert!(!table.contains('\u{1b}'), "colour without a terminal: {table:?}");
    assert_eq!(table.lines().count(), 3);
}

#[test]
fn labels_select() {
    let home = Home::new();
    home.ok(&["create", "a", "b", "-l", "team=red", "-l", "tier=1"]);
    home.ok(&["create", "c", "-l", "team=blue"]);
    assert_eq!(home.ok(&["ls", "-q", "-l", "team=red"]).out, "a\nb\n");
    assert_eq!(home.ok(&["ls", "-q", "-l", "team=red", "-l", "tier=2"]).out, "");
    assert_eq!(home.run(&["ls", "-l", "team"]).code, 2);
}

#[test]
fn configuration_is_read_and_its_mistakes_are_told() {
    let home = Home::new();
    let file = home.dir().join("config.toml");
    std::fs::write(&file, "ram = \"4gb\"\ncpu = 1\n").unwrap();
    home.ok(&["create", "a"]);
    assert_eq!(home.list()[0]["ram_mib"], 4096);
    std::fs::write(&file, "\nrum = 4\n").unwrap();
    let ran = home.run(&["ls"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("config.toml:2:"), "{}", ran.err);
}

#[test]
fn nothing_is_open_to_others_under_any_umask() {
    use std::os::unix::fs::PermissionsExt;
    for umask in ["000", "077"] {
        let home = Home::new();
        let binary = env!("CARGO_BIN_EXE_ai-vm");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &format!("umask {umask}; exec {binary} create web")]);
        command.env("AI_VM_HOME", home.data()).env("HOME", home.dir());
        assert_eq!(crate::home::finish(command, std::time::Duration::from_secs(20)).code, 0);
        let mut dirs = vec![home.data()];
        let mut seen = 0;
        while let Some(dir) = dirs.pop() {
            let found = std::fs::symlink_metadata(&dir).unwrap();
            assert_eq!(found.permissions().mode() & 0o077, 0, "{dir:?} under umask {umask}");
            seen += 1;
            if found.is_dir() {
                dirs.extend(std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        assert!(seen > 5, "only {seen} files were looked at");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let home = Home::new();
    let many: Vec<String> = (0..50).map(|number| format!("vm{number}")).collect();
    let args: Vec<&str> = std::iter::once("create").chain(many.iter().map(String::as_str)).collect();
    home.ok(&args);
    let script = format!("{} ls --json | head -c 10", env!("CARGO_BIN_EXE_ai-vm"));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &script]).env("AI_VM_HOME", home.data()).env("HOME", home.dir());
    let ran = crate::home::finish(command, std::time::Duration::from_secs(20));
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
}
