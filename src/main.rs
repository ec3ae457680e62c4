//! The `ai-vm` command.

fn main() {}
