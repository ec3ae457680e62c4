//! The `ai-vm` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ai_vm::cli::main()
}
