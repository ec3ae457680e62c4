//! What menus do with keys, and how they look.

use super::*;

fn type_in(menu: &mut Menu<'_>, text: &str) {
    for c in text.chars() {
        assert_eq!(menu.press(Key::Char(c)), None);
    }
}

fn screen(menu: &mut Menu<'_>, columns: usize, rows: usize) -> Vec<String> {
    let (lines, _) = menu.lines(columns, rows);
    lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect()).collect()
}

fn vms() -> Menu<'static> {
    let rows = ["web", "database", "new VM"].map(|word| Row::new(word, "running"));
    Menu::new("Shell in", rows.to_vec())
}

#[test]
fn rows_are_picked_and_filtered() {
    assert_eq!(vms().press(Key::Enter), Some(Answer::Row(0)));
    let mut menu = vms();
    menu.press(Key::Up);
    assert_eq!(menu.press(Key::Enter), Some(Answer::Row(2)), "it goes round");
    let mut menu = vms();
    type_in(&mut menu, "dtb");
    assert_eq!(menu.press(Key::Enter), Some(Answer::Row(1)));
    type_in(&mut menu, "x");
    assert_eq!(menu.press(Key::Enter), None);
    assert!(screen(&mut menu, 80, 24).contains(&"  nothing here is like `dtbx`".to_owned()));
    menu.press(Key::DropLine);
    assert_eq!(screen(&mut menu, 80, 24).len(), 5);
    assert_eq!(menu.press(Key::Esc), Some(Answer::Back));
}

fn memory() -> Menu<'static> {
    let parse = |text: &str| match text.trim_end_matches("gb").parse::<u8>() {
        Ok(size @ 1..) => Ok(format!("{size}gb")),
        _ => Err(format!("`{text}` is no size")),
    };
    Menu::new("Memory", ["2gb", "8gb", "16gb"].map(|word| Row::new(word, "")).to_vec()).at(1).or_typed(parse)
}

#[test]
fn values_are_picked_or_typed() {
    assert_eq!(memory().press(Key::Enter), Some(Answer::Row(1)));
    let mut menu = memory();
    type_in(&mut menu, "12");
    assert_eq!(menu.press(Key::Enter), Some(Answer::Typed("12gb".to_owned())));
    let mut menu = memory();
    type_in(&mut menu, "1");
    assert_eq!(screen(&mut menu, 80, 24)[1..3], ["> 1gb", "  16gb"]);
    type_in(&mut menu, "6");
    assert_eq!(menu.press(Key::Enter), Some(Answer::Row(2)), "it is a row as it stands");
    let mut menu = memory();
    type_in(&mut menu, "0");
    assert_eq!(menu.press(Key::Enter), None);
    assert!(screen(&mut menu, 80, 24).contains(&"  `0` is no size".to_owned()));
}

#[test]
fn texts_are_completed() {
    let here = Menu::new("Folder", Vec::new()).completed(|_| vec![Row::new("/srv/a", "")], "/srv/");
    let mut here = here.or_typed(|text| Ok(text.trim_end_matches('/').to_owned()));
    assert_eq!(here.press(Key::Enter), Some(Answer::Typed("/srv".to_owned())), "as it stands");
    let completed = |text: &str| match text {
        "/" | "/s" => vec![Row::new("/srv", "")],
        "/srv/" => vec![Row::new("/srv/a", ""), Row::new("/srv/b", "")],
        _ => Vec::new(),
    };
    let mut menu = Menu::new("Folder", Vec::new()).completed(completed, "/");
    type_in(&mut menu, "s");
    menu.press(Key::Tab);
    menu.press(Key::Down);
    assert_eq!(menu.press(Key::Enter), Some(Answer::Typed("/srv/b".to_owned())));
}

#[test]
fn it_fits_any_screen_and_shows_where_the_cursor_is() {
    let rows: Vec<Row> = (0..40).map(|number| Row::new(format!("row {number}"), "about")).collect();
    for (columns, height) in [(1, 1), (10, 5), (40, 10), (200, 60)] {
        let mut menu = Menu::new("A long title", rows.clone()).below(Style::Plain, "x ".repeat(300));
        for _ in 0..23 {
            menu.press(Key::Down);
        }
        let seen = screen(&mut menu, columns, height);
        assert!(seen.len() <= height.max(3), "{columns}x{height}: {seen:?}");
        assert!(seen.iter().any(|line| line.starts_with("> row 23")), "{columns}x{height}: {seen:?}");
        assert!(seen.iter().any(|line| line.starts_with("40 rows; Esc goes back")), "{seen:?}");
    }
}
