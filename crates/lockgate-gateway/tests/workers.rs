//! Several workers. What one does for the devices, several do, with the kernel's help and without; and what is theirs alone.
#![expect(
    clippy::duplicate_mod,
    reason = "the same tests with other options, which the helpers choose by the module's name"
)]

/// The kernel finds the worker.
#[path = "."]
mod steered {
    #[path = "certificates.rs"]
    mod certificates;
    #[path = "hostile.rs"]
    mod hostile;
    #[path = "relay.rs"]
    mod relay;
    #[path = "sessions.rs"]
    mod sessions;
    #[path = "workers/together.rs"]
    mod together;
}

/// The workers hand over what is another's.
#[path = "."]
mod hand_over {
    #[path = "relay.rs"]
    mod relay;
    #[path = "sessions.rs"]
    mod sessions;
    #[path = "workers/together.rs"]
    mod together;
}
