//! The menu of a new VM: everything that it can have, as it is so far. Each row leads to a menu of its own, and back.

use crate::cli::context::Context;
use crate::cli::launcher::machine::Machine;
use crate::cli::launcher::wish::{Way, Wish};
use crate::cli::launcher::{Decision, line, ports, shares, values};
use crate::fleet::outcome::with_causes;
use crate::host::capacity;
use crate::ui::dialog::{Dialog, Left};
use crate::ui::frame::Style;
use crate::ui::menu::{Answer, Menu, Row};
use crate::vm::desktop::Resolution;
use crate::vm::login_mode::LoginMode;

/// The rows, from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Make,
    Name,
    Memory,
    Processors,
    Disk,
    Guest,
    Overlay,
    Audio,
    Desktop,
    Shares,
    Ports,
    Claude,
}

use Field::{Audio, Claude, Desktop, Disk, Guest, Make, Memory, Name, Overlay, Ports, Processors, Shares};

const FIELDS: [Field; 12] =
    [Make, Name, Memory, Processors, Disk, Guest, Overlay, Audio, Desktop, Shares, Ports, Claude];

/// Opens the menu until it is decided what becomes of the VM; `None` when there is to be none. `back` says what Escape does.
pub async fn form(
    ctx: &Context,
    dialog: &mut Dialog,
    machine: &Machine,
    back: &'static str,
) -> Result<Option<Decision>, Left> {
    let mut wish = Wish::new(ctx);
    let fields: Vec<Field> =
        FIELDS.into_iter().filter(|field| *field != Audio || machine.has_sound).collect();
    let (mut at, mut wrong) = (0, None);
    loop {
        let rows = fields.iter().map(|field| field.row(ctx, machine, &wish)).collect();
        let menu = Menu::new("New VM", rows).at(at).leaving(back).wrong(wrong.take());
        let menu = menu.below(Style::Faint, line(&wish.words(Way::Background)));
        let Answer::Row(picked) = dialog.ask(menu).await? else { return Ok(None) };
        at = picked;
        match fields.get(picked).copied().unwrap_or(Make) {
            // What no verb would make is told here.
            Make => match wish.spec.new_vm(ctx, wish.name.clone()) {
                Ok(_) => {
                    if let Some(decision) = way(ctx, dialog, machine, &wish).await? {
                        return Ok(Some(decision));
                    }
                }
                Err(error) => wrong = Some(with_causes(error.as_ref())),
            },
            Name => values::name(ctx, dialog, &mut wish).await?,
            Memory => values::memory(ctx, dialog, &mut wish.spec).await?,
            Processors => values::processors(ctx, dialog, &mut wish.spec).await?,
            Disk => values::disk(ctx, dialog, &mut wish.spec).await?,
            Guest => values::guest(ctx, dialog, machine, &mut wish.spec).await?,
            Overlay => wish.spec.overlay = !wish.spec.overlay,
            Audio => wish.spec.audio = !wish.spec.audio,
            Desktop => values::desktop(dialog, &mut wish.spec).await?,
            Shares => shares::menu(ctx, dialog, &mut wish).await?,
            Ports => ports::menu(dialog, &mut wish.spec).await?,
            Claude => values::login(ctx, dialog, &mut wish.spec).await?,
        }
    }
}

impl Field {
    /// Returns the row: what it is, and what was picked.
    fn row(self, ctx: &Context, machine: &Machine, wish: &Wish) -> Row {
        let spec = &wish.spec;
        let defaults = ctx.config.hardware();
        let (word, about) = match self {
            Make => ("make it", "as it is below".to_owned()),
            Name => ("name", wish.name.to_string()),
            Memory => ("memory", spec.ram.unwrap_or(defaults.memory).to_string()),
            Processors => ("processors", spec.cpu.unwrap_or(defaults.cpus).to_string()),
            Disk => ("disk", spec.storage.unwrap_or(defaults.disk).to_string()),
            Guest => ("guest", values::guest_words(machine, spec)),
            Overlay => {
                ("overlay", if spec.overlay { "yes, a clean disk at each start" } else { "no" }.to_owned())
            }
            Audio => ("audio", if spec.audio { "yes" } else { "no" }.to_owned()),
            Desktop => (
                "desktop",
                match spec.desktop {
                    true => spec.resolution.unwrap_or(Resolution::DEFAULT).to_string(),
                    false => "no".to_owned(),
                },
            ),
            Shares => ("shares", shares::words(wish)),
            Ports => ("ports", ports::words(spec)),
            Claude => ("Claude login", values::login_mode(ctx, spec).to_string()),
        };
        Row::new(word, about)
    }
}

/// Opens the last menu: how the VM is to be run. `None` when it is to be another one.
async fn way(
    ctx: &Context,
    dialog: &mut Dialog,
    machine: &Machine,
    wish: &Wish,
) -> Result<Option<Decision>, Left> {
    let rows = vec![
        Row::new("open a shell in it", "it goes on in the background"),
        Row::new("run it here", "with its console; Ctrl-C stops it"),
        Row::new("only print the command", ""),
    ];
    let mut menu = Menu::new("How", rows).below(Style::Plain, summary(ctx, machine, wish));
    for warning in warnings(ctx, wish) {
        menu = menu.below(Style::Wrong, format!("warning: {warning}"));
    }
    let menu = menu.below(Style::Faint, line(&wish.words(Way::Background)));
    Ok(match dialog.ask(menu).await? {
        Answer::Row(0) => Some(Decision::Run(wish.words(Way::Shell))),
        Answer::Row(1) => Some(Decision::Run(wish.words(Way::Here))),
        Answer::Row(_) => Some(Decision::Print(wish.words(Way::Background))),
        Answer::Typed(_) | Answer::Back => None,
    })
}

/// Says on one line what the VM will be.
fn summary(ctx: &Context, machine: &Machine, wish: &Wish) -> String {
    let spec = &wish.spec;
    let has = ctx.config.hardware();
    let hardware = format!(
        "{} memory, {} CPUs, {} disk",
        spec.ram.unwrap_or(has.memory),
        spec.cpu.unwrap_or(has.cpus),
        spec.storage.unwrap_or(has.disk)
    );
    let desktop = spec.desktop.then(|| format!("desktop {}", spec.resolution.unwrap_or(Resolution::DEFAULT)));
    let login = values::login_mode(ctx, spec);
    let parts = [
        Some(values::guest_words(machine, spec)),
        Some(hardware),
        Some(format!("ports {}", ports::words(spec))),
    ]
    .into_iter()
    .chain([
        spec.overlay.then(|| "overlay".to_owned()),
        spec.audio.then(|| "audio".to_owned()),
        desktop,
        (!wish.shares.is_empty()).then(|| format!("shares {}", shares::words(wish))),
        (login != LoginMode::None).then(|| format!("Claude login {login}")),
    ]);
    format!("{}: {}", wish.name, parts.flatten().collect::<Vec<_>>().join(", "))
}

/// Says what is unwise about it.
fn warnings(ctx: &Context, wish: &Wish) -> Vec<String> {
    match wish.spec.new_vm(ctx, wish.name.clone()) {
        Ok(new) => capacity::measure(ctx.registry().layout().root()).warnings(&new.hardware),
        Err(_) => Vec::new(),
    }
}
