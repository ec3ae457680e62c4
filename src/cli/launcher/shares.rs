//! The menu of shared folders: added one by one, each judged as `--share-rw` and `--share-ro` judge it.

use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::launcher::paths;
use crate::cli::launcher::wish::{Picked, Wish};
use crate::fleet::outcome::with_causes;
use crate::lifecycle::share_error::ShareError;
use crate::lifecycle::shares::{self, Wanted};
use crate::ui::dialog::{Dialog, Left};
use crate::ui::frame::Style;
use crate::ui::menu::{Answer, Menu, Row};
use crate::vm::share::ShareMode;
use crate::vm::share_policy::Refused;

/// Lets folders be added and taken away until that is done.
pub async fn menu(ctx: &Context, dialog: &mut Dialog, wish: &mut Wish) -> Result<(), Left> {
    let mut at = 0;
    loop {
        let mut rows = vec![
            Row::new("add a folder to read…", "the VM cannot change it"),
            Row::new("add a folder to change…", "what it can change, it can lay traps in"),
        ];
        let picked = wish.shares.iter().map(|picked| format!("{} {}", picked.mode, picked.path.display()));
        rows.extend(picked.map(|words| Row::new(words, "Enter takes it away")));
        rows.push(Row::new("done", ""));
        let last = rows.len() - 1;
        let Answer::Row(row) = dialog.ask(Menu::new("Shares", rows).at(at)).await? else { return Ok(()) };
        at = row;
        match row {
            0 => add(ctx, dialog, wish, ShareMode::Ro).await?,
            1 => add(ctx, dialog, wish, ShareMode::Rw).await?,
            row if row == last => return Ok(()),
            row => wish.shared(|shares| drop(shares.remove(row - 2))),
        }
    }
}

/// Lets a folder be named until it is one that can be shared.
async fn add(ctx: &Context, dialog: &mut Dialog, wish: &mut Wish, mode: ShareMode) -> Result<(), Left> {
    let title = if mode.is_writable() { "Folder to change" } else { "Folder to read" };
    let home = ctx.env.home.as_deref();
    let (mut begun, mut wrong) = (paths::here(), None);
    loop {
        let known =
            |text: &str| paths::folder(home, text).ok_or_else(|| format!("there is no folder `{text}`"));
        let menu = Menu::new(title, Vec::new());
        let menu = menu.completed(|text| paths::folders(home, text), &begun).or_typed(known);
        let Answer::Typed(path) = dialog.ask(menu.wrong(wrong.take())).await? else { return Ok(()) };
        let judged = match judge(ctx, wish, Path::new(&path), mode, false) {
            Err(ShareError::Refused(refused)) if !refused.reason.is_final() => {
                if !insists(dialog, &refused).await? {
                    begun = path;
                    continue;
                }
                judge(ctx, wish, Path::new(&path), mode, true).map(|path| (path, true))
            }
            judged => judged.map(|path| (path, false)),
        };
        match judged {
            Ok((path, _)) if wish.shares.iter().any(|picked| picked.path == path) => {
                wrong = Some(format!("`{}` is shared already", path.display()));
            }
            Ok((path, insisted)) => {
                wish.shared(|shares| shares.push(Picked { path, mode, insisted }));
                return Ok(());
            }
            Err(error) => wrong = Some(with_causes(&error)),
        }
        begun = path;
    }
}

/// Judges a folder beside those that were picked before, and returns where it really is.
fn judge(
    ctx: &Context,
    wish: &Wish,
    path: &Path,
    mode: ShareMode,
    i_know: bool,
) -> Result<PathBuf, ShareError> {
    let has = wish.shares.iter().map(|picked| Wanted {
        path: picked.path.clone(),
        mode: picked.mode,
        i_know: picked.insisted,
    });
    let wanted = Wanted { path: path.to_owned(), mode, i_know };
    let alone = shares::choose(&ctx.engine, std::slice::from_ref(&wanted))?;
    shares::choose(&ctx.engine, &has.chain([wanted]).collect::<Vec<_>>())?;
    Ok(alone.into_iter().next().map_or_else(|| path.to_owned(), |share| share.path))
}

/// Says why a folder is not for guests, and asks whether it is to be shared nevertheless.
async fn insists(dialog: &mut Dialog, refused: &Refused) -> Result<bool, Left> {
    let rows = vec![
        Row::new("another folder", ""),
        Row::new("share it nevertheless", "every program in the VM may have it all"),
    ];
    let menu = Menu::new("Share it", rows).below(Style::Wrong, refused.to_string());
    Ok(dialog.ask(menu).await? == Answer::Row(1))
}

/// Says which folders are shared.
pub fn words(wish: &Wish) -> String {
    let words = wish.shares.iter().map(|picked| format!("{} ({})", picked.path.display(), picked.mode));
    let words: Vec<String> = words.collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}
