//! Starting, stopping, waiting and removing many at once: what is said of each, to people and to programs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{Home, Ran};
use crate::machine;
use crate::processes;

/// Registers VMs with empty disks.
fn create(home: &Home, names: &[&str]) {
    let flags = machine::empty(home);
    // Each gets a port of its own.
    let end = flags.iter().position(|flag| flag == "--ssh-port").unwrap();
    for name in names {
        let port = portpicker::pick_unused_port().unwrap().to_string();
        let flags: Vec<&str> = flags[..end].iter().map(String::as_str).chain(["--ssh-port", &port]).collect();
        home.ok(&[&["create", name], flags.as_slice()].concat());
    }
}

fn rows(ran: &Ran) -> Vec<Value> {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

/// One key of every row.
fn all(rows: &[Value], key: &str) -> Vec<Value> {
    rows.iter().map(|row| row[key].clone()).collect()
}

#[test]
fn every_verb_tells_programs_what_came_of_each() {
    let home = Home::new();
    create(&home, &["b", "a"]);
    let steps: [(&[&str], &str, Value); 5] = [
        (&["ssh-keys", "rotate", "a", "b"], "rotate", json!("stopped")),
        (&["start", "--no-wait", "b", "a"], "start", json!("starting")),
        (&["stop", "--all", "--force"], "stop", json!("stopped")),
        (&["wait", "--stopped", "a", "b"], "wait", json!("stopped")),
        (&["rm", "a", "b"], "rm", Value::Null),
    ];
    for (argv, action, state) in steps {
        let ran = home.ok(&[argv, &["--json"]].concat());
        let rows = rows(&ran);
        assert_eq!(ran.err, "", "{argv:?}");
        assert_eq!(all(&rows, "name"), ["a", "b"], "{argv:?}");
        for row in &rows {
            assert_eq!(row["action"], action);
            assert_eq!((&row["ok"], &row["error"]), (&json!(true), &Value::Null), "{row}");
            assert!(row["result"].is_string(), "{row}");
            assert_eq!(row["state"], state, "{argv:?}: {row}");
            assert!(row["duration_s"].as_f64().unwrap() >= 0.0);
        }
    }
    assert_eq!(home.ok(&["stop", "--all", "--json"]).out.trim(), "[]");
}

#[test]
fn a_failure_has_a_code_a_message_and_hints() {
    let home = Home::new();
    create(&home, &["down", "up"]);
    home.ok(&["start", "--no-wait", "up"]);
    let begun = Instant::now();
    let ran = home.run(&["wait", "--timeout", "2", "--json", "down", "up"]);
    assert!(begun.elapsed() >= Duration::from_secs(2), "it did not wait as long as it was told to");
    assert_eq!((ran.code, ran.err.as_str()), (1, ""), "the codes do not agree");
    let found = rows(&ran);
    assert_eq!(all(&found, "ok"), [false, false]);
    assert_eq!((&found[0]["state"], &found[1]["state"]), (&json!("stopped"), &json!("starting")));
    let error = |at: usize, key: &str| found[at]["error"][key].clone();
    assert_eq!((error(0, "code"), error(1, "code")), (json!("failed"), json!("timeout")));
    assert_eq!(found[0]["result"], Value::Null);
    assert_eq!(error(0, "message"), "`down` is stopped");
    assert_eq!(error(0, "hints"), json!(["`ai-vm start down`"]));
    // The deadline counts from the beginning of the whole command, a duration from that of its own part.
    assert!(found[1]["duration_s"].as_f64().unwrap() >= 1.0);
    let ran = home.run(&["rm", "--json", "up"]);
    assert_eq!((ran.code, rows(&ran)[0]["error"]["code"].clone()), (4, json!("conflict")));
}

#[test]
fn a_name_that_nobody_has_fails_alone() {
    let home = Home::new();
    create(&home, &["here"]);
    let verbs: [&[&str]; 7] = [
        &["start", "--no-wait"],
        &["stop", "--force"],
        &["ssh-keys", "rotate"],
        &["restart", "--force", "--timeout", "1"],
        &["wait", "--timeout", "1"],
        &["wait", "--stopped", "--timeout", "1"],
        &["rm", "--force"],
    ];
    for verb in verbs {
        let ran = home.run(&[verb, &["--json", "nobody"]].concat());
        let found = rows(&ran);
        assert_eq!((ran.code, ran.err.as_str(), found.len()), (3, "", 1), "{verb:?}");
        let row = &found[0];
        assert_eq!(
            (&row["name"], &row["ok"], &row["state"]),
            (&json!("nobody"), &json!(false), &Value::Null)
        );
        assert_eq!(row["error"]["code"], "not_found", "{verb:?}");
        let ran = home.run(&[verb, &["--json", "nobody", "here", "nobody"]].concat());
        let found = rows(&ran);
        assert_eq!(all(&found, "name"), ["here", "nobody"], "{verb:?}");
        assert_eq!(found[1]["error"]["code"], "not_found", "{verb:?}");
        assert_ne!(found[0]["error"]["code"], "not_found", "{verb:?}");
        assert_ne!(ran.code, 0, "{verb:?}");
    }
    // The last verb removed it, whatever came of the other name.
    assert!(home.list().is_empty());
    let ran = home.run(&["stop", "nobody"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(ran.err.starts_with("error: there is no VM named `nobody`\n  hint: "), "{}", ran.err);
}

#[test]
fn what_cannot_be_created_is_told_like_any_failure() {
    let home = Home::new();
    let flags = machine::empty(&home);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    // The second finds the port of the first taken.
    let ran = home.run(&[&["up", "--json", "--timeout", "1", "a", "b"], flags.as_slice()].concat());
    let found = rows(&ran);
    assert_eq!((ran.code, all(&found, "name")), (1, vec![json!("a"), json!("b")]), "{}", ran.err);
    let code = |row: &Value| row["error"]["code"].clone();
    assert_eq!((code(&found[0]), code(&found[1])), (json!("timeout"), json!("conflict")), "{}", ran.out);
    assert_eq!((&found[0]["state"], &found[1]["state"]), (&json!("starting"), &Value::Null));
    assert!(!found[1]["error"]["hints"].as_array().unwrap().is_empty());
    let ran = home.run(&["up", "--json", "c", "--image", "/nowhere.qcow2"]);
    assert_eq!((ran.code, code(&rows(&ran)[0])), (1, json!("failed")), "{}", ran.err);
    let ran = home.run(&["up", "c", "--image", "/nowhere.qcow2"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.starts_with("error: ") && ran.err.contains("/nowhere.qcow2"), "{}", ran.err);
    assert_eq!(home.list().len(), 1);
}

#[test]
fn the_first_failure_ends_the_others_where_that_is_wanted() {
    let home = Home::new();
    create(&home, &["a", "b", "c"]);
    home.ok(&["start", "--no-wait", "b", "c"]);
    // `a` is stopped, which is known at once; the others would be waited for until the deadline.
    let argv = ["wait", "--timeout", "50", "a", "b", "c", "--fail-fast"];
    for (flags, ok) in [(&[][..], [false; 3]), (&["-j", "1"], [false; 3])] {
        let ran = home.run(&[argv.as_slice(), flags, &["--json"]].concat());
        let found = rows(&ran);
        assert_eq!((ran.code, all(&found, "ok")), (1, ok.map(Value::from).to_vec()));
        let codes: Vec<Value> = found.iter().map(|row| row["error"]["code"].clone()).collect();
        assert_eq!(codes, ["failed", "cancelled", "cancelled"], "{flags:?}");
    }
    let ran = home.run(&argv);
    assert_eq!(ran.code, 1);
    for said in ["error: a: `a` is stopped", "b: ended because", "c: ended because"] {
        assert!(ran.err.contains(said), "{}", ran.err);
    }
    // What has not begun does not begin.
    std::fs::remove_file(home.vm("a").join("identity/machine-id")).unwrap();
    home.ok(&["stop", "--force", "b", "c"]);
    let ran = home.run(&["start", "--no-wait", "-j", "1", "--fail-fast", "a", "b", "c"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(processes::running(&home).is_empty(), "{:?}", processes::running(&home));
}

#[test]
fn one_after_another_all_are_done() {
    let home = Home::new();
    create(&home, &["a", "b", "c"]);
    home.ok(&["start", "--no-wait", "--all", "-j", "1"]);
    assert_eq!(processes::running(&home).len(), 3);
    let ran = home.run(&["restart", "--force", "--all", "-j", "2", "--timeout", "1", "--json"]);
    // Nothing answers in them, which all of them say, each after a time of its own.
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(
        rows(&ran).iter().all(|row| row["action"] == "restart" && row["state"] == "starting"),
        "{}",
        ran.out
    );
    let ran = home.ok(&["stop", "--force", "--all", "--jobs", "2"]);
    assert_eq!(ran.err.lines().filter(|line| line.ends_with(": stopped")).count(), 3, "{}", ran.err);
    assert!(processes::running(&home).is_empty());
}
