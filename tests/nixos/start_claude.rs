//! start-claude, which is the same in both guest families: with what, as whom and after which answers Claude Code starts.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::stage::Stage;

const TOKEN: &str = ".config/ai-vm/claude-token";
const FLAGS: &str = "--dangerously-skip-permissions --permission-mode bypassPermissions";

/// A user's home with a Claude Code that says with what it was started. Other tests may run as root, which it refuses:
/// `unshare` gives it another number where that is so.
fn stage() -> Stage {
    let stage = Stage::new();
    // What is given as settings is put aside, and so is where it is written down.
    stage.program(
        "claude",
        r#"for arg; do
          case $before in
            --settings) printf '%s' "$arg" >"$STAGE/settings" ;;
            *) [ "$arg" = --settings ] || set -- "$@" "$arg" ;;
          esac
          shift
          before=$arg
        done
        printf '%s' "${AI_VM_AGENT-}" >"$STAGE/agent"
        printf '%s|' "$*" "${ANTHROPIC_API_KEY-}" "${CLAUDE_CODE_OAUTH_TOKEN-}""#,
    );
    stage.program("ps", r#"cat "$STAGE/running" 2>/dev/null; true"#);
    std::fs::create_dir(stage.path("work")).unwrap();
    stage
}

fn start(stage: &Stage, args: &[&str]) -> Output {
    start_with(stage, args, &[])
}

fn start_with(stage: &Stage, args: &[&str], env: &[(&str, &str)]) -> Output {
    let script = stage.script("start-claude.sh");
    let mut command = as_somebody(&script);
    command.args(args).current_dir(stage.path("work")).env("HOSTNAME", "web");
    for theirs in [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "CLAUDE_CODE_OAUTH_TOKEN",
        "CLAUDE_CONFIG_DIR",
        "CLAUDECODE",
        "AI_VM_AGENT",
        "XDG_STATE_HOME",
    ] {
        command.env_remove(theirs);
    }
    command.envs(env.iter().copied());
    command.output().unwrap()
}

/// The same command in a namespace in which whoever runs this is an ordinary user.
fn as_somebody(script: &Command) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=1234", "--"]).arg(script.get_program()).args(script.get_args());
    command.envs(script.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn started(stage: &Stage, args: &[&str]) -> String {
    let output = start(stage, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{:?} {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn what_needs_nothing_passes_through() {
    let stage = stage();
    for args in [&["--version"][..], &["--help"], &["auth", "status"], &["setup-token"]] {
        assert_eq!(started(&stage, args), format!("{}|||", args.join(" ")));
    }
    assert!(!stage.path(".claude.json").exists());
}

#[test]
fn without_a_login_it_says_so() {
    let stage = stage();
    for login in [
        None,
        Some("{}"),
        Some("{\"claudeAiOauth\":null}"),
        Some("{\"claudeAiOauth\":{\"accessToken\":\"\"}}"),
        Some("{"),
    ] {
        if let Some(login) = login {
            stage.write(".claude/.credentials.json", login);
        }
        let output = start(&stage, &["-p", "hello"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(77), 0), "{said}");
        assert!(said.contains("there is no login") && said.contains("ai-vm creds set web"), "{said}");
    }
    stage.write(TOKEN, "a password");
    assert_eq!(start(&stage, &["-p", "hello"]).status.code(), Some(77));
}

#[test]
fn each_login_goes_where_it_belongs() {
    let stage = stage();
    stage.write(".claude/.credentials.json", r#"{"claudeAiOauth":{"refreshToken":"x"}}"#);
    assert_eq!(started(&stage, &["-p", "a b", "--", "-x"]), format!("{FLAGS} -p a b -- -x|||"));
    stage.write(TOKEN, "sk-ant-oat01-x\n");
    assert_eq!(started(&stage, &[]), format!("{FLAGS}||sk-ant-oat01-x|"));
    stage.write(TOKEN, " sk-ant-api03-0123456789012345678901234567\r\n");
    assert_eq!(started(&stage, &[]), format!("{FLAGS}|sk-ant-api03-0123456789012345678901234567||"));
    // The end of the key is what Claude Code remembers of one that it may use.
    let state = read(&stage.path(".claude.json"));
    assert_eq!(state["customApiKeyResponses"]["approved"], json!(["89012345678901234567"]));
}

#[test]
fn answers_are_merged_and_the_rest_is_untouched() {
    let stage = stage();
    stage.write(TOKEN, "sk-ant-oat01-x");
    let given = json!({ "numStartups": 3, "oauthAccount": { "a": [1, null] }, "projects": { "/x": { "allowedTools": ["y"] } } });
    stage.write(".claude.json", &given.to_string());
    stage.write(".claude/settings.json", r#"{"model":"opus"}"#);
    started(&stage, &[]);
    let work = stage.path("work").canonicalize().unwrap();
    let mut expected = given;
    expected["hasCompletedOnboarding"] = true.into();
    for dir in ["/", work.to_str().unwrap()] {
        expected["projects"][dir]["hasTrustDialogAccepted"] = true.into();
    }
    assert_eq!(read(&stage.path(".claude.json")), expected);
    let settings = json!({ "model": "opus", "skipDangerousModePermissionPrompt": true });
    assert_eq!(read(&stage.path(".claude/settings.json")), settings);

    // Once more nothing is written, and nothing lies about.
    let before = std::fs::metadata(stage.path(".claude.json")).unwrap().modified().unwrap();
    started(&stage, &[]);
    assert_eq!(std::fs::metadata(stage.path(".claude.json")).unwrap().modified().unwrap(), before);
    let names = std::fs::read_dir(stage.path("")).unwrap().map(|one| one.unwrap().file_name());
    assert!(names.filter(|name| name.to_str().unwrap().starts_with(".claude.json")).count() == 1);
}

#[test]
fn one_that_runs_and_what_is_no_json_are_left_alone() {
    let stage = stage();
    stage.write(TOKEN, "sk-ant-oat01-x");
    for running in ["bash\nclaude\n", ".claude-unwrapp\n"] {
        stage.write("running", running);
        started(&stage, &[]);
        assert!(!stage.path(".claude.json").exists(), "{running}");
    }
    stage.write("running", "bash\nstart-claude\nclaudette\n");
    stage.write(".claude.json", "{broken");
    let output = start(&stage, &[]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no JSON"));
    assert_eq!(stage.read(".claude.json"), "{broken");
}

#[test]
fn two_at_a_time_lose_nothing() {
    let stage = stage();
    stage.write(TOKEN, "sk-ant-oat01-x");
    std::thread::scope(|scope| {
        for number in 0..8 {
            let stage = &stage;
            scope.spawn(move || {
                let dir = stage.path(&format!("work/{number}"));
                std::fs::create_dir(&dir).unwrap();
                let script = stage.script("start-claude.sh");
                assert!(as_somebody(&script).current_dir(&dir).output().unwrap().status.success());
            });
        }
    });
    let state = read(&stage.path(".claude.json"));
    for number in 0..8 {
        let dir = stage.path(&format!("work/{number}")).canonicalize().unwrap();
        assert_eq!(state["projects"][dir.to_str().unwrap()]["hasTrustDialogAccepted"], true, "{number}");
    }
}

const AGENTS: &str = ".local/state/ai-vm/agents";

#[test]
fn it_writes_down_that_it_is_there() {
    let stage = stage();
    stage.write(TOKEN, "sk-ant-oat01-x");
    // One whose process is gone, another that is not, and one that is not of this kind.
    for (old, kind, pid) in [("a", "own", "4194305 1"), ("b", "own", "1 1"), ("c", "run", "4194305 1")] {
        stage.write(&format!("{AGENTS}/{old}/kind"), kind);
        stage.write(&format!("{AGENTS}/{old}/pid"), &format!("{pid}\n"));
    }
    started(&stage, &["-p", "hello"]);
    let dir = stage.read("agent");
    let id = dir.rsplit('/').next().unwrap();
    assert!(
        id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)),
        "{id}"
    );
    let said = |name: &str| stage.read(&format!("{AGENTS}/{id}/{name}"));
    let work = stage.path("work").canonicalize().unwrap();
    assert_eq!((said("kind").as_str(), said("command").as_str()), ("own\n", "claude\n"));
    assert_eq!(said("cwd").trim_end(), work.to_str().unwrap());
    let numbers = format!("{} {}", said("begun"), said("pid"));
    assert_eq!(numbers.split_whitespace().filter(|text| text.parse::<u64>().is_ok()).count(), 3, "{numbers}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    let there = |old: &str| stage.path(&format!("{AGENTS}/{old}")).exists();
    assert_eq!([there("a"), there("b"), there("c")], [false, true, true]);

    // Who has been given a directory uses that, unless it is another one that calls this.
    let given = stage.path(&format!("{AGENTS}/c"));
    let given = given.to_str().unwrap();
    std::fs::write(stage.path(&format!("{AGENTS}/c/prompt")), "x\n").unwrap();
    assert!(start_with(&stage, &["-p"], &[("AI_VM_AGENT", given)]).status.success());
    assert_eq!(
        (stage.read("agent").as_str(), stage.read(&format!("{AGENTS}/c/state")).as_str()),
        (given, "working\n")
    );
    assert!(start_with(&stage, &["-p"], &[("AI_VM_AGENT", given), ("CLAUDECODE", "1")]).status.success());
    assert_ne!(stage.read("agent"), given);
    // What cannot be written down is no reason for anything.
    assert!(start_with(&stage, &["-p"], &[("XDG_STATE_HOME", "/dev/null")]).status.success());
    assert_eq!(stage.read("agent"), "");
}

#[test]
fn hooks_say_what_it_does_and_nothing_else() {
    let stage = stage();
    stage.write(TOKEN, "sk-ant-oat01-x");
    started(&stage, &[]);
    let dir = stage.read("agent");
    let settings = read(&stage.path("settings"));
    let state = || std::fs::read_to_string(format!("{dir}/state")).unwrap_or_default();
    let hook = |event: &str, value: &str| {
        let matching = |group: &&Value| {
            group["matcher"].as_str().is_none_or(|any| any.split('|').any(|one| one == value))
        };
        let groups = settings["hooks"][event].as_array().unwrap();
        let found: Vec<_> = groups.iter().filter(matching).collect();
        assert_eq!(found.len(), 1, "{event} {value}");
        found[0]["hooks"][0]["command"].as_str().unwrap().to_owned()
    };
    let run = |line: &str, dir: &str| {
        let ran = Command::new("sh").args(["-c", line]).env("AI_VM_AGENT", dir).output().unwrap();
        assert!(ran.status.success() && ran.stdout.is_empty() && ran.stderr.is_empty(), "{line}: {ran:?}");
    };
    for (event, value, expected) in [
        ("SessionStart", "startup", "done"),
        ("UserPromptSubmit", "", "working"),
        ("Stop", "", "done"),
        ("PreToolUse", "AskUserQuestion", "waiting answer"),
        ("PostToolUse", "AskUserQuestion", "working"),
        ("Notification", "permission_prompt", "waiting permission"),
        ("Notification", "idle_prompt", "done"),
        ("StopFailure", "rate_limit", "waiting limit"),
        ("StopFailure", "authentication_failed", "waiting login"),
        ("StopFailure", "unknown", "waiting retry"),
    ] {
        let line = hook(event, value);
        run(&line, &dir);
        assert_eq!(state(), format!("{expected}\n"), "{event} {value}");
        for nowhere in ["", "/nowhere", "/dev/null"] {
            run(&line, nowhere);
        }
    }
    // One that has a prompt is not done before it has begun.
    std::fs::write(format!("{dir}/prompt"), "x\n").unwrap();
    run(&hook("SessionStart", "startup"), &dir);
    assert_eq!(state(), "waiting retry\n");
    // Whoever gives settings means those.
    for given in [&["--settings", "{}"][..], &["--settings={}"]] {
        std::fs::remove_file(stage.path("settings")).unwrap();
        std::fs::write(stage.path("settings"), "").unwrap();
        assert!(start(&stage, given).status.success());
        assert!(!stage.read("settings").contains("hooks"), "{given:?}");
    }
}
