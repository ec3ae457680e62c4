//! The menu of forwarded ports.

use crate::cli::commands::spec::SpecArgs;
use crate::cli::values::value;
use crate::registry::ports::DEFAULT_GUEST_PORTS;
use crate::ui::dialog::{Dialog, Left};
use crate::ui::menu::{Answer, Menu, Row};
use crate::vm::port::ForwardRequest;

/// Lets ports be added and taken away until that is done.
pub async fn menu(dialog: &mut Dialog, spec: &mut SpecArgs) -> Result<(), Left> {
    let mut at = 0;
    loop {
        let usual =
            if spec.no_default_ports { "not forwarded; Enter adds them" } else { "Enter leaves them out" };
        let mut rows = vec![Row::new("add a port…", ""), Row::new(default_ports(), usual)];
        rows.extend(spec.port.iter().map(|port| Row::new(port.to_string(), "Enter takes it away")));
        rows.push(Row::new("done", ""));
        let last = rows.len() - 1;
        let Answer::Row(picked) = dialog.ask(Menu::new("Ports", rows).at(at)).await? else { return Ok(()) };
        at = picked;
        match picked {
            0 => add(dialog, spec).await?,
            1 => spec.no_default_ports = !spec.no_default_ports,
            picked if picked == last => return Ok(()),
            picked => drop(spec.port.remove(picked - 2)),
        }
    }
}

async fn add(dialog: &mut Dialog, spec: &mut SpecArgs) -> Result<(), Left> {
    let has = spec.port.clone();
    let typed = |text: &str| {
        let port = value::<ForwardRequest>(text)?;
        if has.contains(&port) { Err(format!("`{port}` is there already")) } else { Ok(port.to_string()) }
    };
    let menu = Menu::new("HOST:GUEST, or auto:GUEST", Vec::new()).or_typed(typed);
    if let Answer::Typed(text) = dialog.ask(menu).await? {
        spec.port.extend(text.parse::<ForwardRequest>());
    }
    Ok(())
}

fn default_ports() -> String {
    DEFAULT_GUEST_PORTS.map(|port| port.to_string()).join(" and ")
}

/// Says which ports are forwarded, besides that of SSH.
pub fn words(spec: &SpecArgs) -> String {
    let usual = (!spec.no_default_ports).then(|| DEFAULT_GUEST_PORTS.map(|port| port.to_string()).join(" "));
    let ports: Vec<String> = usual.into_iter().chain(spec.port.iter().map(ToString::to_string)).collect();
    if ports.is_empty() { "none but SSH".to_owned() } else { ports.join(" ") }
}
