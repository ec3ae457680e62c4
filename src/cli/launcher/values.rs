//! Menus of single values: those that are usual, and any other that may be typed.

use std::fmt::Display;
use std::str::FromStr;

use crate::cli::commands::spec::SpecArgs;
use crate::cli::context::Context;
use crate::cli::launcher::machine::Machine;
use crate::cli::launcher::paths;
use crate::cli::launcher::wish::Wish;
use crate::cli::values::value;
use crate::diagnostic::Diagnostic;
use crate::ui::dialog::{Dialog, Left};
use crate::ui::menu::{Answer, Menu, Row};
use crate::vm::desktop::Resolution;
use crate::vm::guest::{Family, Guest};
use crate::vm::login_mode::LoginMode;
use crate::vm::name::VmName;
use crate::vm::size::{CpuCount, DiskSize, MemorySize};

/// The sizes of screens that are offered.
const SCREENS: [&str; 4] = ["1280x720", "1920x1080", "2560x1440", "3840x2160"];

/// Lets the memory be picked.
pub async fn memory(ctx: &Context, dialog: &mut Dialog, spec: &mut SpecArgs) -> Result<(), Left> {
    let default = ctx.config.hardware().memory;
    let usual = ["2", "4", "8", "16", "32"];
    pick::<MemorySize>(dialog, "Memory", &usual, &mut spec.ram, default).await
}

/// Lets the processors be picked.
pub async fn processors(ctx: &Context, dialog: &mut Dialog, spec: &mut SpecArgs) -> Result<(), Left> {
    let default = ctx.config.hardware().cpus;
    pick::<CpuCount>(dialog, "Processors", &["1", "2", "4", "8"], &mut spec.cpu, default).await
}

/// Lets the disk be picked.
pub async fn disk(ctx: &Context, dialog: &mut Dialog, spec: &mut SpecArgs) -> Result<(), Left> {
    let default = ctx.config.hardware().disk;
    pick::<DiskSize>(dialog, "Disk", &["20", "50", "100", "200"], &mut spec.storage, default).await
}

/// Lets a value be picked. The default is kept as nothing, so that no command line names it.
async fn pick<T>(
    dialog: &mut Dialog,
    title: &str,
    usual: &[&str],
    picked: &mut Option<T>,
    default: T,
) -> Result<(), Left>
where
    T: FromStr + Display + PartialEq + Copy,
    T::Err: Diagnostic,
{
    let mut values: Vec<T> = usual.iter().filter_map(|text| text.parse().ok()).collect();
    let now = picked.unwrap_or(default);
    for known in [default, now] {
        if !values.contains(&known) {
            values.push(known);
        }
    }
    let about = |value: &T| if *value == default { "default" } else { "" };
    let rows = values.iter().map(|value| Row::new(value.to_string(), about(value))).collect();
    let at = values.iter().position(|value| *value == now).unwrap_or(0);
    let menu = Menu::new(title, rows).at(at).or_typed(|text| Ok(value::<T>(text)?.to_string()));
    let wanted = match dialog.ask(menu).await? {
        Answer::Row(row) => values.into_iter().nth(row),
        Answer::Typed(text) => text.parse().ok(),
        Answer::Back => None,
    };
    if let Some(wanted) = wanted {
        *picked = Some(wanted).filter(|wanted| *wanted != default);
    }
    Ok(())
}

/// Lets the name be typed. One that a VM has is none.
pub async fn name(ctx: &Context, dialog: &mut Dialog, wish: &mut Wish) -> Result<(), Left> {
    let free = |text: &str| {
        let name = value::<VmName>(text)?;
        match ctx.registry().entry(name.clone()) {
            Some(_) => Err(format!("`{name}` exists already")),
            None => Ok(name.to_string()),
        }
    };
    let menu = Menu::new("Name", vec![Row::new(wish.name.as_str(), "")]).or_typed(free);
    if let Answer::Typed(text) = dialog.ask(menu).await?
        && let Ok(name) = text.parse()
    {
        wish.name = name;
    }
    Ok(())
}

/// Lets the guest be picked: what is made here where nothing is said, then the others.
pub async fn guest(
    ctx: &Context,
    dialog: &mut Dialog,
    machine: &Machine,
    spec: &mut SpecArgs,
) -> Result<(), Left> {
    let (families, default) = (machine.guests(), machine.default_guest());
    let about = |family: &Family| match family {
        Family::Nixos => "built by Nix",
        Family::Debian => "made on this machine",
        Family::Image => "a disk image that you bring",
    };
    let now = family(machine, spec);
    let at = families.iter().position(|family| *family == now).unwrap_or(0);
    let mut rows: Vec<Row> = families.iter().map(|family| Row::new(family.name(), about(family))).collect();
    if let Some(first) = rows.first_mut() {
        first.about.push_str(", default");
    }
    loop {
        let Answer::Row(row) = dialog.ask(Menu::new("Guest", rows.clone()).at(at)).await? else {
            return Ok(());
        };
        match families.get(row) {
            Some(Family::Image) => {
                let Some((source, sha256)) = image(ctx, dialog).await? else { continue };
                // An image says by itself what the guest is.
                (spec.guest, spec.image, spec.sha256) = (None, Some(source), sha256);
            }
            family => {
                let asked = family.copied().filter(|family| *family != default);
                (spec.guest, spec.image, spec.sha256) = (asked, None, None);
            }
        }
        return Ok(());
    }
}

/// Lets an image be named: a file, or an address and the checksum of what is there.
async fn image(ctx: &Context, dialog: &mut Dialog) -> Result<Option<(String, Option<String>)>, Left> {
    let home = ctx.env.home.as_deref();
    let known = |text: &str| match text.contains("://") {
        // The checksum is asked for next.
        true => Guest::image(text, Some(&"0".repeat(64)))
            .map(|_| text.to_owned())
            .map_err(|error| error.to_string()),
        false => paths::file(home, text).ok_or_else(|| format!("there is no file `{text}`")),
    };
    let mut begun = paths::here();
    loop {
        let menu = Menu::new("Image: file or https URL", Vec::new());
        let menu = menu.completed(|text| paths::files(home, text), &begun).or_typed(known);
        let Answer::Typed(source) = dialog.ask(menu).await? else { return Ok(None) };
        if !source.contains("://") {
            return Ok(Some((source, None)));
        }
        let checked = |text: &str| {
            Guest::image(&source, Some(text)).map(|_| text.to_owned()).map_err(|error| error.to_string())
        };
        if let Answer::Typed(digest) =
            dialog.ask(Menu::new("Its SHA-256", Vec::new()).or_typed(checked)).await?
        {
            return Ok(Some((source, Some(digest))));
        }
        begun = source;
    }
}

/// Returns the family of the guest as it is so far.
fn family(machine: &Machine, spec: &SpecArgs) -> Family {
    match (&spec.image, spec.guest) {
        (Some(_), _) => Family::Image,
        (None, Some(family)) => family,
        (None, None) => machine.default_guest(),
    }
}

/// Says what the guest is so far.
pub fn guest_words(machine: &Machine, spec: &SpecArgs) -> String {
    match &spec.image {
        Some(image) => format!("image {image}"),
        None => family(machine, spec).name().to_owned(),
    }
}

/// Lets a screen be picked, and its size.
pub async fn desktop(dialog: &mut Dialog, spec: &mut SpecArgs) -> Result<(), Left> {
    let about = |screen: &str| if screen == Resolution::DEFAULT.to_string() { "default size" } else { "" };
    let sizes = SCREENS.iter().map(|screen| Row::new(*screen, about(screen)));
    let rows: Vec<Row> = std::iter::once(Row::new("no", "default")).chain(sizes).collect();
    let now = spec.desktop.then(|| spec.resolution.unwrap_or(Resolution::DEFAULT).to_string());
    let at = rows.iter().position(|row| Some(&row.word) == now.as_ref()).unwrap_or(0);
    let menu = Menu::new("Desktop", rows).at(at);
    let menu = menu.or_typed(|text| Ok(value::<Resolution>(text)?.to_string()));
    let picked = match dialog.ask(menu).await? {
        Answer::Row(row) => row.checked_sub(1).and_then(|row| SCREENS.get(row)?.parse().ok()),
        Answer::Typed(text) => text.parse::<Resolution>().ok(),
        Answer::Back => return Ok(()),
    };
    spec.desktop = picked.is_some();
    spec.resolution = picked.filter(|picked| *picked != Resolution::DEFAULT);
    Ok(())
}

/// Lets the login of Claude Code be picked.
pub async fn login(ctx: &Context, dialog: &mut Dialog, spec: &mut SpecArgs) -> Result<(), Left> {
    let default = ctx.config.claude.unwrap_or_default();
    let modes = [LoginMode::None, LoginMode::Token, LoginMode::Copy];
    let about = |mode: &LoginMode| match mode {
        LoginMode::None => "whoever uses it there logs in",
        LoginMode::Token => "a token, see `ai-vm creds set`",
        LoginMode::Copy => "the login of this machine",
    };
    let rows = modes.iter().map(|mode| Row::new(mode.to_string(), about(mode))).collect();
    let now = login_mode(ctx, spec);
    let at = modes.iter().position(|mode| *mode == now).unwrap_or(0);
    if let Answer::Row(row) = dialog.ask(Menu::new("Claude login", rows).at(at)).await? {
        spec.claude = modes.into_iter().nth(row).filter(|mode| *mode != default);
    }
    Ok(())
}

/// Returns the login mode as it is so far.
pub fn login_mode(ctx: &Context, spec: &SpecArgs) -> LoginMode {
    spec.claude().or(ctx.config.claude).unwrap_or_default()
}
