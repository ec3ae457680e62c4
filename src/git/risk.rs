//! Files of a repository that do something by being there: to whoever opens, enters, builds or clones it, or to the agent
//! that works in it. Pure.

/// What a changed file may bring about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rule {
    /// A path, or its end, in lower case; with `/` at the end a folder, with `*` the beginning of a name.
    path: &'static str,
    why: &'static str,
}

const AGENT: &str = "configures an agent, or tells it what to do";
const EDITOR: &str = "an editor acts on it when the folder is opened";
const SHELL: &str = "runs when the folder is entered";
const GIT: &str = "git or its hooks act on it";
const BUILD: &str = "runs when something is built, tested or installed";
const CI: &str = "runs on other machines when it is pushed";
const OURS: &str = "says what `ai-vm up` makes here";

const fn rule(path: &'static str, why: &'static str) -> Rule {
    Rule { path, why }
}

/// The first that fits counts. From what the makers of these programs document, and from the advisories about projects
/// whose configuration ran code: CVE-2025-59536 and its kin.
const RULES: &[Rule] = &[
    rule(".claude/", AGENT),
    rule(".claude.json", AGENT),
    rule(".mcp.json", AGENT),
    rule("claude.md", AGENT),
    rule("claude.local.md", AGENT),
    rule("agents.md", AGENT),
    rule("gemini.md", AGENT),
    rule(".cursor/", AGENT),
    rule(".cursorrules", AGENT),
    rule(".codex/", AGENT),
    rule(".gemini/", AGENT),
    rule(".windsurf/", AGENT),
    rule(".github/copilot-instructions.md", AGENT),
    rule(".vscode/", EDITOR),
    rule(".idea/", EDITOR),
    rule(".devcontainer/", EDITOR),
    rule(".devcontainer.json", EDITOR),
    rule(".vim/", EDITOR),
    rule(".exrc", EDITOR),
    rule(".vimrc", EDITOR),
    rule(".nvimrc", EDITOR),
    rule(".nvim.lua", EDITOR),
    rule(".dir-locals.el", EDITOR),
    rule(".zed/", EDITOR),
    rule(".envrc", SHELL),
    rule(".env*", SHELL),
    rule(".tool-versions", SHELL),
    rule(".mise*", SHELL),
    rule("mise*.toml", SHELL),
    rule(".gitattributes", GIT),
    rule(".gitmodules", GIT),
    rule(".gitconfig", GIT),
    rule(".githooks/", GIT),
    rule(".husky/", GIT),
    rule(".lefthook*", GIT),
    rule("lefthook*", GIT),
    rule(".pre-commit-config.yaml", GIT),
    rule(".lintstagedrc*", GIT),
    rule(".github/workflows/", CI),
    rule(".github/actions/", CI),
    rule(".gitlab-ci*", CI),
    rule(".circleci/", CI),
    rule(".forgejo/", CI),
    rule(".gitea/", CI),
    rule("jenkinsfile*", CI),
    rule("azure-pipelines*", CI),
    rule(".ai-vm.toml", OURS),
    rule("makefile*", BUILD),
    rule("gnumakefile", BUILD),
    rule("*.mk", BUILD),
    rule("justfile", BUILD),
    rule("taskfile*", BUILD),
    rule("rakefile", BUILD),
    rule("gemfile*", BUILD),
    rule("package.json", BUILD),
    rule(".npmrc", BUILD),
    rule(".yarnrc*", BUILD),
    rule(".yarn/", BUILD),
    rule(".pnpmfile*", BUILD),
    rule(".cargo/config*", BUILD),
    rule("build.rs", BUILD),
    rule("cargo.toml", BUILD),
    rule("rust-toolchain*", BUILD),
    rule("setup.py", BUILD),
    rule("setup.cfg", BUILD),
    rule("conftest.py", BUILD),
    rule("noxfile.py", BUILD),
    rule("tox.ini", BUILD),
    rule("pyproject.toml", BUILD),
    rule("requirements*.txt", BUILD),
    rule("*.gradle", BUILD),
    rule("*.gradle.kts", BUILD),
    rule("gradlew*", BUILD),
    rule("gradle/", BUILD),
    rule("pom.xml", BUILD),
    rule(".mvn/", BUILD),
    rule("mvnw*", BUILD),
    rule("cmakelists.txt", BUILD),
    rule("configure*", BUILD),
    rule("meson.build", BUILD),
    rule(".bazelrc", BUILD),
    rule("build.bazel", BUILD),
    rule("*.nix", BUILD),
    rule("flake.lock", BUILD),
    rule("dockerfile*", BUILD),
    rule("containerfile*", BUILD),
    rule("docker-compose*", BUILD),
    rule("compose.y*", BUILD),
    rule("vagrantfile", BUILD),
    rule("procfile*", BUILD),
];

/// The mode of a symbolic link in a tree, as git writes it.
const LINK: &str = "120000";
/// That of a commit of another repository.
const COMMIT: &str = "160000";

/// Says why a file deserves a look before it is merged, if it does. `mode` is its new one as git writes it.
pub fn of(path: &[u8], mode: &str) -> Option<&'static str> {
    match mode {
        LINK => return Some("a symbolic link, which may lead out of the repository"),
        COMMIT => return Some("another repository, as a submodule"),
        _ => {}
    }
    // File systems that do not tell upper from lower case open it all the same.
    let path = String::from_utf8_lossy(path).to_lowercase();
    RULES.iter().find(|rule| fits(&path, rule.path)).map(|rule| rule.why)
}

fn fits(path: &str, rule: &str) -> bool {
    if rule.ends_with('/') {
        return path.starts_with(rule) || path.contains(&format!("/{rule}"));
    }
    let depth = rule.matches('/').count() + 1;
    let parts: Vec<&str> = path.split('/').collect();
    let end = parts.get(parts.len().saturating_sub(depth)..).unwrap_or_default().join("/");
    match rule.split_once('*') {
        None => end == rule,
        Some((start, rest)) => {
            end.len() >= start.len() + rest.len() && end.starts_with(start) && end.ends_with(rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_told_wherever_it_lies() {
        for path in [
            ".claude/settings.json",
            "sub/.claude/agents/x.md",
            ".CLAUDE/settings.json",
            "CLAUDE.md",
            "deep/er/claude.md",
            ".mcp.json",
            ".vscode/tasks.json",
            ".envrc",
            ".env.local",
            ".husky/pre-commit",
            ".github/workflows/x.yml",
            "Makefile",
            "src/rules.mk",
            "package.json",
            "web/package.json",
            ".cargo/config",
            ".cargo/config.toml",
            "a/.cargo/config.toml",
            ".gitattributes",
            ".gitmodules",
            "flake.nix",
            ".ai-vm.toml",
        ] {
            assert!(of(path.as_bytes(), "100644").is_some(), "{path}");
        }
        for path in
            ["src/main.rs", "README.md", "claude.md.txt", "my.vscode", "package.json5", "x/cargo/config"]
        {
            assert_eq!(of(path.as_bytes(), "100644"), None, "{path}");
        }
        assert!(of(b"x", "120000").is_some() && of(b"x", "160000").is_some());
        assert!(of(b"\xff/.claude/\xfe", "100644").is_some());
    }
}
