//! What a listener does for its peers, the same in every mode.

mod handshakes;
mod moves;
mod sessions;
#[path = "../support/mod.rs"]
mod support;

use handshakes::*;
use moves::*;
use sessions::*;
use support::Mode;

/// Makes a test of each function, in each mode. They are the same tests by construction, which no list of calls is.
macro_rules! in_every_mode {
    ($($test:ident)*) => {
        mod shared_socket { $(#[tokio::test] async fn $test() { super::$test(super::Mode::Shared).await; })* }
        mod socket_per_peer { $(#[tokio::test] async fn $test() { super::$test(super::Mode::PerPeer).await; })* }
        mod workers { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Mode::Workers).await;
        })* }
        mod workers_hand_over { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Mode::WorkersHandOver).await;
        })* }
        mod workers_socket_per_peer { $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $test() {
            super::$test(super::Mode::WorkersPerPeer).await;
        })* }
    };
}

in_every_mode! {
    what_is_offered_and_agreed_is_told
    datagrams_stay_datagrams
    both_ends_say_goodbye
    halves_work_in_two_tasks
    a_peer_can_be_refused_or_made_to_try_again
    dropping_the_accepting_future_ends_the_handshake
    a_wrong_or_unknown_key_lets_nobody_in
    a_slow_key_store_delays_its_own_peers_only
    a_key_store_that_panics_harms_its_own_peers_only
    a_silent_peer_delays_nobody
    who_gave_up_is_not_offered
    a_peer_moves_from_one_address_of_ours_to_another
    garbage_and_half_handshakes_harm_nobody
    two_hundred_peers_at_once
    a_peer_moves_and_keeps_its_connection
    a_connection_without_ids_is_found_by_its_address
    several_connections_share_a_clients_socket
    a_reader_that_never_reads_loses_only_its_own
    a_new_handshake_from_the_same_address
    every_kind_of_address_is_served
    connections_outlive_the_listener
}
