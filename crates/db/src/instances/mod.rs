//! The rows of `instances`: read for a tick and for lists, written by the leader with guards, and
//! by people.

mod changes;
mod insert;
mod load;
mod people;
mod put_last;
mod refresh;
mod remove;
mod views;

pub use changes::change_statuses;
pub use insert::{insert_adopted, insert_adopted_unled, insert_created, set_url};
pub use load::{Loaded, Place, Probed, load, load_probed};
pub use people::{Killed, dismiss, drain, kill};
pub use put_last::put_last;
pub use refresh::{refresh, refresh_unled};
pub use remove::{Removed, remove};
pub use views::{
    Counts, InstanceView, counts, each_in_use, each_with_instructions, most_urgent, newest_in_use,
};
