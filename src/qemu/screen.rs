//! A screen: a graphics card, keyboard and pointer in the guest, and where a person sees and uses them.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::layout::VmDir;
use crate::host::process;
use crate::host::program::ProcessError;
use crate::vm::desktop::{Resolution, ScreenPort};

/// How long QEMU may take to say what it has.
const LIMIT: Duration = Duration::from_secs(10);

/// The way to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A window of QEMU's own.
    Window,
    /// A viewer, by the SPICE protocol.
    Spice,
    /// A viewer, by the VNC protocol.
    Vnc,
}

impl Way {
    /// Finds the best way that a QEMU has: a window, if a window can be opened here; else a viewer.
    pub fn find(qemu: &Path, has_display: bool) -> Result<Self, ProcessError> {
        if has_display {
            let said = process::output(Command::new(qemu).args(["-display", "help"]), LIMIT)?;
            if String::from_utf8_lossy(&said).lines().any(|line| line.trim() == "gtk") {
                return Ok(Self::Window);
            }
        }
        // It ends with an error either way; only what knows the option has something to say about it.
        let spice = process::first_output(Command::new(qemu).args(["-spice", "help"]), LIMIT);
        Ok(if spice.is_ok() { Self::Spice } else { Self::Vnc })
    }

    /// Returns the names of the variables by which it finds the session in which a window is to open.
    pub fn variables(self) -> &'static [&'static str] {
        match self {
            Self::Window => &["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR"],
            Self::Spice | Self::Vnc => &[],
        }
    }

    /// Tells whether it needs a port.
    pub fn listens(self) -> bool {
        self != Self::Window
    }
}

/// A screen and the way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// How many pixels it has.
    pub resolution: Resolution,
    /// The way to it, with its port on loopback where it has one.
    pub way: (Way, Option<ScreenPort>),
}

impl Screen {
    /// Returns QEMU's options. Whoever connects has to know the password in the VM's directory, because other users of
    /// this machine can connect to loopback too.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        let Self { resolution, way } = self;
        let password = |file| ("-object", format!("secret,id=screen,format=raw,file={file}"));
        let mut options = match way {
            (Way::Spice, Some(port)) => vec![
                password(VmDir::SCREEN_PASSWORD),
                ("-spice", format!("addr=127.0.0.1,port={port},password-secret=screen")),
                ("-display", "none".to_owned()),
            ],
            (Way::Vnc, Some(port)) => vec![
                password(VmDir::SCREEN_PASSWORD),
                // By the number of the display, which is how VNC counts ports.
                ("-vnc", format!("127.0.0.1:{},password-secret=screen", port.display())),
                ("-display", "none".to_owned()),
            ],
            // Closing the window would pull the plug.
            _ => vec![("-display", "gtk,window-close=off".to_owned())],
        };
        let card = format!("virtio-vga,xres={},yres={}", resolution.width(), resolution.height());
        let devices = [card, "virtio-keyboard-pci".to_owned(), "virtio-tablet-pci".to_owned()];
        options.extend(devices.into_iter().map(|device| ("-device", device)));
        options
    }

    /// Returns where a viewer finds it; `None` for a window.
    pub fn address(&self) -> Option<String> {
        match self.way {
            (Way::Spice, Some(port)) => Some(format!("spice://127.0.0.1:{port}")),
            (Way::Vnc, Some(port)) => Some(format!("vnc://127.0.0.1:{port}")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::port::Port;

    #[test]
    fn viewers_come_by_loopback_with_a_password() {
        let resolution = "1280x720".parse().unwrap();
        for (way, said) in [(Way::Spice, "addr=127.0.0.1,port=5901,"), (Way::Vnc, "127.0.0.1:1,")] {
            let screen =
                Screen { resolution, way: (way, Port::new(5901).and_then(|port| port.try_into().ok())) };
            let options = screen.options();
            let all = options
                .iter()
                .map(|(option, value)| format!("{option} {value}"))
                .collect::<Vec<_>>()
                .join(" ");
            assert!(all.contains(said) && all.contains("password-secret=screen"), "{all}");
            assert!(all.contains("virtio-vga,xres=1280,yres=720"), "{all}");
            assert!(screen.address().unwrap().ends_with("://127.0.0.1:5901"));
        }
        let window = Screen { resolution, way: (Way::Window, None) };
        assert!(window.options().contains(&("-display", "gtk,window-close=off".to_owned())));
        assert_eq!(window.address(), None);
    }
}
