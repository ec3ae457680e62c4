//! What a press of the tabulator costs in real shells where there are a thousand VMs: from the moment that the shell asks for
//! completions of `ai-vm stop lone` until it has them. Run with `cargo bench --bench completions`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints and panics"
)]

#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/home.rs"]
mod home;
#[expect(dead_code, reason = "shared with the tests")]
#[path = "../tests/support/pty.rs"]
mod pty;

use std::process::Command;
use std::time::{Duration, Instant};

use home::{Home, finish};
use pty::Pty;

/// Beside the one whose name is completed.
const VMS: usize = 1000;
const ROUNDS: usize = 40;

/// Calls the function as readline does, and writes down what each call took, in seconds.
const BASH: &str = r#"
source "$COMPLETIONS/ai-vm.bash"
COMP_LINE='ai-vm stop lone' COMP_POINT=15 COMP_CWORD=2 COMP_WORDS=(ai-vm stop lone)
for ((round = 0; round < ROUNDS; round++)); do
  begun=$EPOCHREALTIME
  _ai_vm
  ended=$EPOCHREALTIME
  [[ ${COMPREPLY[*]} == lonely ]] || exit 1
  echo $(((${ended/./} - ${begun/./}))) | sed 's/$/e-6/' >>"$TIMES"
done
"#;

/// zsh's functions only work while a line is edited: keys are typed, and the function is wrapped.
const ZSH: &str = r#"zmodload zsh/datetime; fpath=($COMPLETIONS $fpath); autoload -U compinit; compinit -u -D; \
_timed() { local begun=$EPOCHREALTIME; _ai-vm; print $((EPOCHREALTIME - begun)) >>$TIMES }; compdef _timed ai-vm; print rea''dy"#;

/// fish has no clock of its own; `date` is asked before and after all rounds.
const FISH: &str = r#"
source $COMPLETIONS/ai-vm.fish
complete -C 'ai-vm stop lone' | string match -q lonely; or exit 1
set begun (date +%s%N)
for round in (seq $ROUNDS)
    complete -C 'ai-vm stop lone' >/dev/null
end
set ended (date +%s%N)
math "($ended - $begun) / $ROUNDS / 1000000000" >>$TIMES
"#;

fn main() {
    let home = Home::new();
    for first in (0..VMS).step_by(100) {
        let names: Vec<String> = (first..first + 100).map(|number| format!("vm-{number}")).collect();
        home.ok(&["create"].into_iter().chain(names.iter().map(String::as_str)).collect::<Vec<_>>());
    }
    home.ok(&["create", "lonely"]);
    let bin = home.dir().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ai-vm"), bin.join("ai-vm")).unwrap();

    report("bash", &home, |mut bash| {
        bash.args(["--norc", "--noprofile", "-c", BASH]);
        let ran = finish(bash, Duration::from_secs(120));
        assert_eq!(ran.code, 0, "{}", ran.err);
    });
    report("zsh", &home, |mut zsh| {
        let mut typed = Pty::run(zsh.args(["-f", "-i"]));
        typed.type_keys(&format!("{}\r", ZSH.replace("\\\n", "")));
        typed.expect("ready");
        for round in 1..=ROUNDS {
            typed.type_keys("ai-vm stop lone\t");
            wait_for(&home, round);
            // Away with the line.
            typed.type_keys("\u{15}");
        }
        typed.type_keys("exit\r");
        assert!(typed.screen().contains("ly"), "nothing was completed: {}", typed.screen());
    });
    report("fish", &home, |mut fish| {
        fish.args(["--no-config", "-c", FISH]);
        let ran = finish(fish, Duration::from_secs(120));
        assert_eq!(ran.code, 0, "{}", ran.err);
    });
}

/// Waits until so many times have been written down.
fn wait_for(home: &Home, count: usize) {
    let begun = Instant::now();
    while std::fs::read_to_string(home.dir().join("times")).unwrap_or_default().lines().count() < count {
        assert!(begun.elapsed() < Duration::from_secs(20), "zsh did not complete");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a shell that writes down times, and prints their median.
fn report(shell: &str, home: &Home, run: impl FnOnce(Command)) {
    let times = home.dir().join("times");
    let mut command = Command::new(shell);
    for (name, value) in home.command(&[]).get_envs() {
        value.map(|value| command.env(name, value));
    }
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", home.dir().join("bin").display()));
    command.env("COMPLETIONS", concat!(env!("CARGO_MANIFEST_DIR"), "/completions"));
    command.env("TIMES", &times).env("ROUNDS", ROUNDS.to_string());
    run(command);
    let mut all: Vec<f64> =
        std::fs::read_to_string(&times).unwrap().lines().map(|line| line.trim().parse().unwrap()).collect();
    std::fs::remove_file(&times).unwrap();
    all.sort_by(f64::total_cmp);
    let median = all.get(all.len() / 2).unwrap() * 1e3;
    println!("{shell:<5} {median:6.1} ms   (a name among {VMS}: at most 30 ms)");
}
