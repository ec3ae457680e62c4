//! Whether a VM runs what would be made for it now.

use std::collections::HashMap;

use crate::guest::{debian, store};
use crate::host::layout::Layout;
use crate::registry::record::Record;
use crate::vm::guest::Guest;

/// What would be made now, as far as that is known without making it.
#[derive(Debug)]
pub struct Present {
    /// The Debian ones, without and with a desktop.
    debian: [String; 2],
    /// What each NixOS image was wanted for.
    wanted: HashMap<String, String>,
    /// The newest image for each of that, after the time it was made.
    newest: HashMap<String, (String, String)>,
}

impl Present {
    /// Looks at the images that are there. One that is damaged says nothing.
    pub fn of(layout: &Layout) -> Self {
        let debian = [debian::Variant::Plain, debian::Variant::Desktop].map(debian::image_id);
        let mut present = Self { debian, wanted: HashMap::new(), newest: HashMap::new() };
        for id in store::ids(layout).unwrap_or_default() {
            let Ok(image) = store::open(layout, &id) else { continue };
            let Some(system) = image.manifest.nixos else { continue };
            let made = (image.manifest.created, id.clone());
            let newest = present.newest.entry(system.wanted.clone()).or_insert_with(|| made.clone());
            *newest = made.max(newest.clone());
            present.wanted.insert(id, system.wanted);
        }
        present
    }

    /// Tells whether a VM has another image than the one that would be made for it now; `None` where there is no telling,
    /// because it has none yet or its image is not ai-vm's to make.
    ///
    /// Of a NixOS it is known only that a newer one was built: what its flake would give now, Nix would have to be asked.
    pub fn is_outdated(&self, record: &Record) -> Option<bool> {
        match &record.guest {
            Guest::Debian => {
                let [plain, desktop] = &self.debian;
                let present = if record.desktop.is_some() { desktop } else { plain };
                record.base.as_ref().map(|base| base != present)
            }
            Guest::Nixos(_) => {
                let id = record.systems.last()?;
                let (_, newest) = self.newest.get(self.wanted.get(id)?)?;
                Some(id != newest)
            }
            Guest::Image { .. } | Guest::Adopted(_) => None,
        }
    }
}
