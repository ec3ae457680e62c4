//! What happens while something takes time, for whoever shows it.

use crate::vm::port::Port;

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new step is under way, as a short phrase: `building the image: packages`.
    Step(String),
    /// The guest's last console line, not filtered.
    Console(String),
    /// A host port that ai-vm had chosen was taken by something else, and another one was chosen.
    Moved {
        /// The guest port it leads to.
        guest: Port,
        /// The old host port.
        from: Port,
        /// The new host port.
        to: Port,
    },
    /// Something that is not as good as it could be.
    Warning(String),
}

/// Receives events. Shared between tasks, so that the work can run beside whoever shows it.
pub type Listener = std::sync::Arc<dyn Fn(Event) + Send + Sync>;
