//! Work by git between a repository here and one in a guest, without a shared folder.
//!
//! Git never works in a repository that a guest could write to, and never talks to a guest from the user's own. In
//! between is a [`stage`]: a repository for the moment, without configuration and hooks of anybody's, which sees the
//! objects of the user's. What a guest sends arrives there, is checked there, and is looked at there ([`report`]); only
//! then the user's repository takes commits from it, into refs of the VM's own.

pub mod changed;
pub mod command;
pub mod diff;
pub mod error;
pub mod fetch;
pub mod fields;
pub mod link;
pub mod push;
pub mod remote;
pub mod report;
pub mod repository;
pub mod risk;
pub mod stage;
