//! Records that cannot be used: shown with file and line, never rewritten or deleted by themselves, and no other
//! VM suffers.

use std::path::PathBuf;

use crate::home::Home;

fn record(home: &Home, name: &str) -> PathBuf {
    home.vm(name).join("vm.toml")
}

#[test]
fn each_kind_of_damage_is_shown_and_left_alone() {
    let home = Home::new();
    home.ok(&["create", "good", "bad"]);
    let path = record(&home, "bad");
    let sound = std::fs::read_to_string(&path).unwrap();
    let huge = format!("{sound}\n# {}", "x".repeat(300_000));
    let damages: [(&str, Vec<u8>, &str); 6] = [
        ("malformed", sound.replace("cpus = 2", "cpus = = 2").into_bytes(), "vm.toml:"),
        ("empty", Vec::new(), "vm.toml:1: the record is empty"),
        ("huge", huge.into_bytes(), "vm.toml: the file is larger than"),
        (
            "newer",
            sound.replace("schema = 1", "schema = 99").into_bytes(),
            "schema 99 was written by a newer",
        ),
        ("not text", vec![b'a', b'\n', 0xff, 0xfe], "vm.toml:2: not valid UTF-8"),
        ("out of range", sound.replace("cpus = 2", "cpus = 0").into_bytes(), "out of range"),
    ];
    for (what, content, problem) in damages {
        std::fs::write(&path, &content).unwrap();
        let vms = home.list();
        assert_eq!(vms.len(), 2, "{what}");
        assert_eq!(vms[0]["state"], "broken", "{what}");
        let shown = vms[0]["problem"].as_str().unwrap();
        assert!(shown.contains(problem) && shown.contains("vm.toml"), "{what}: {shown}");
        assert_eq!(vms[1]["state"], "stopped", "{what}");
        home.ok(&["info", "good"]);
        assert!(home.ok(&["ls"]).out.contains("broken"), "{what}");
        assert_eq!(std::fs::read(&path).unwrap(), content, "{what}: the record was changed");
    }
    home.ok(&["create", "third"]);
    home.ok(&["rm", "bad"]);
    assert_eq!(home.list().len(), 2);
}

#[test]
fn ports_of_a_broken_record_stay_reserved() {
    let home = Home::new();
    home.ok(&["create", "a", "--ssh-port", "21022"]);
    let path = record(&home, "a");
    let text = std::fs::read_to_string(&path).unwrap().replace("cpus = 2", "cpus = 0");
    std::fs::write(&path, text).unwrap();
    let ran = home.run(&["create", "b", "--ssh-port", "21022"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("belongs to the VM `a`"), "{}", ran.err);
}

#[test]
fn a_record_that_is_no_file_is_an_answer() {
    let home = Home::new();
    home.ok(&["create", "a", "b"]);
    std::fs::remove_file(record(&home, "a")).unwrap();
    std::fs::remove_file(record(&home, "b")).unwrap();
    std::fs::create_dir(record(&home, "b")).unwrap();
    let vms = home.list();
    assert_eq!((&vms[0]["state"], &vms[1]["state"]), (&"broken".into(), &"broken".into()));
    home.ok(&["rm", "a", "b"]);
}
