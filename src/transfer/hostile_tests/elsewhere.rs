//! What would lead out of the destination, or was not asked for.

use super::*;
use crate::transfer::decode::Decoder;
use crate::transfer::error::{Stop, StreamError};
use crate::transfer::extract::{Asked, Extractor};
use crate::transfer::watch::Watch;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::sync::Arc;

#[test]
fn names_that_lead_elsewhere_end_the_copy() {
    let long = b"top/".repeat(2000);
    for name in [
        &b"/etc/canary"[..],
        b"../outside/canary",
        b"top/../../outside/canary",
        b"top//canary",
        b"top/./canary",
        b"..",
        b"top/\0canary",
        &long,
    ] {
        for bad in [file(b"x", b"evil"), dir(b"x"), link(b"x", b"y")] {
            let world = World::new();
            let taken = world.take(&stream(&[dir(b"top/"), pax("path", name), bad])[..], true);
            assert!(matches!(taken, Err(Stop::Stream(StreamError::Name { .. }))), "{name:?}: {taken:?}");
        }
    }
}

#[test]
fn what_was_not_asked_for_ends_the_copy() {
    for (bad, recursive) in [
        (file(b"other", b"evil"), true),
        (file(b".", b"evil"), true),
        (file(b"topping", b"evil"), true),
        (file(b"other", b"evil"), false),
        (dir(b"top/"), false),
        (link(b"top", b"/etc/passwd"), false),
        (file(b"top/inside", b"evil"), false),
        ([file(b"top", b"1"), file(b"top", b"2")].concat(), false),
    ] {
        let world = World::new();
        let taken = world.take(&stream(&[bad])[..], recursive);
        assert!(matches!(taken, Err(Stop::Stream(StreamError::Unasked { .. }))), "{taken:?}");
    }
    let world = World::new();
    world.take(&stream(&[])[..], false).unwrap();
    assert_eq!(world.problems(), 1, "a file that did not come was not missed");
}

#[test]
fn no_link_leads_out() {
    let world = World::new();
    let outside = world.outside();
    let outside = outside.as_os_str().as_bytes();
    // One that was sent.
    let sent = stream(&[
        dir(b"top/"),
        link(b"top/l", outside),
        file(b"top/l/canary", b"evil"),
        dir(b"top/l/made"),
        link(b"top/l/link", b"x"),
    ]);
    world.take(&sent[..], true).unwrap();
    // The link is made, and nothing goes through it.
    assert!(world.dest("top/l").is_symlink());
    assert_eq!(world.problems(), 3);
    // One that was there.
    let world = World::new();
    fs::create_dir(world.dest("top")).unwrap();
    symlink(world.outside(), world.dest("top/dir")).unwrap();
    symlink(world.outside().join("canary"), world.dest("top/file")).unwrap();
    let sent = stream(&[
        dir(b"top/"),
        dir(b"top/dir"),
        file(b"top/dir/canary", b"evil"),
        link(b"top/dir/link", b"x"),
        file(b"top/file", b"new"),
    ]);
    world.take(&sent[..], true).unwrap();
    assert_eq!(world.problems(), 3);
    // A file takes the place of a link.
    assert!(fs::symlink_metadata(world.dest("top/file")).unwrap().is_file());
    // The top itself.
    let world = World::new();
    symlink(world.outside(), world.dest("top")).unwrap();
    world.take(&stream(&[dir(b"top/"), file(b"top/canary", b"evil")])[..], true).unwrap();
    assert_eq!(world.problems(), 2);
}

#[test]
fn a_directory_that_becomes_a_link_meanwhile_does_not_lead_out() {
    let world = World::new();
    fs::create_dir(world.dest("top")).unwrap();
    let (swapped, aside) = (world.dest("top/d"), world.dest("aside"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = fs::rename(&swapped, &aside);
                let _ = symlink(world.outside(), &swapped);
                let _ = fs::remove_file(&swapped);
                let _ = fs::rename(&aside, &swapped);
            }
        });
        let parts: Vec<_> = (0..400).flat_map(|_| [dir(b"top/d"), file(b"top/d/canary", b"evil")]).collect();
        for _ in 0..5 {
            // Some are refused, some go into the directory; `take` looks at what is outside.
            let told = Arc::new(Watch::new(|_| {}));
            let asked = Asked { tops: ["top".into()].into(), recursive: true, only: None };
            let mut extractor = Extractor::open(&world.dest(""), None, Arc::clone(&told)).unwrap();
            asked.read(&mut Decoder::new(&stream(&parts)[..], 1000), &mut extractor, &told).unwrap();
            extractor.finish(true);
            assert_eq!(fs::read(world.outside().join("canary")).unwrap(), b"alive");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(tree(&world.outside()).len(), 2);
}

#[test]
fn one_in_the_place_of_another() {
    let world = World::new();
    let sent = stream(&[
        dir(b"top/"),
        file(b"top/a", b"1"),
        file(b"top/a", b"2"),
        dir(b"top/a"),
        file(b"top/a/b", b"3"),
        dir(b"top/d"),
        file(b"top/d", b"4"),
        link(b"top/d", b"x"),
        file(b"top/A", b"5"),
    ]);
    world.take(&sent[..], true).unwrap();
    assert_eq!(fs::read(world.dest("top/a")).unwrap(), b"2");
    assert_eq!(fs::read(world.dest("top/A")).unwrap(), b"5");
    assert!(fs::symlink_metadata(world.dest("top/d")).unwrap().is_dir());
    assert_eq!(world.problems(), 4);
}
