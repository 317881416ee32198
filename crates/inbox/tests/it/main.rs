//! The inbox in the hands of a service that is none of ours, against real servers.

mod building;
mod handling;
mod sales;
