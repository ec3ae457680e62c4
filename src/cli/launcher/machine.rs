//! What this machine can give to a new VM. It is found out before menus are opened: programs are asked, which takes time.

use crate::cli::context::Context;
use crate::guest::nixos;
use crate::lifecycle::seat;
use crate::vm::guest::Family;
use crate::vm::spec::SpecError;

/// What can be offered.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The guests that can be made here, the one first that is made where nothing is said.
    guests: Vec<Family>,
    /// Whether there is sound.
    pub has_sound: bool,
}

impl Machine {
    /// Looks. Blocks.
    pub fn look(ctx: &Context) -> Result<Self, SpecError> {
        let default = ctx.default_guest()?;
        let can_be_made = |family: &Family| *family != Family::Nixos || nixos::is_usable();
        let others = [Family::Nixos, Family::Debian, Family::Image].into_iter();
        let others = others.filter(|family| *family != default).filter(can_be_made);
        let guests = std::iter::once(default).chain(others).collect();
        Ok(Self { guests, has_sound: seat::sound(&ctx.engine, true).is_ok() })
    }

    /// Returns the guests.
    pub fn guests(&self) -> &[Family] {
        &self.guests
    }

    /// Returns the guest that is made where nothing is said.
    pub fn default_guest(&self) -> Family {
        self.guests.first().copied().unwrap_or(Family::Debian)
    }
}
