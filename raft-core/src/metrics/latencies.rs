//! How long things take, and what is counted beside.

use std::sync::atomic::Ordering;

use crate::meters::Meters;
use crate::metrics::page::Page;

/// Writes out what is measured within a node.
pub(crate) fn expose(page: &mut Page, meters: &Meters) {
    expose_commands(page, meters);
    expose_snapshots(page, meters);
    page.histogram(
        "election_seconds",
        "Time from when this node knew of no leader, its start included, until it knew of one.",
        &meters.election.read(),
    );
    for (name, help, value) in [
        (
            "candidacies_total",
            "Elections this node stood for, beyond asking whether it would be elected.",
            meters.candidacies.get(),
        ),
        ("terms_total", "Terms this node has entered since its start.", meters.terms.get()),
    ] {
        page.single(name, "counter", help, value);
    }
    page.head("rpc_deadlines_total", "counter", "Calls to members given up at their deadline.");
    for (rpc, count) in meters.deadlines() {
        page.line(&format!("rpc_deadlines_total{{rpc=\"{rpc}\"}}"), count);
    }
}

fn expose_commands(page: &mut Page, meters: &Meters) {
    for (name, help, histogram) in [
        (
            "append_seconds",
            "Time from when entries were to be appended until the log had accepted them.",
            &meters.append,
        ),
        (
            "append_durable_seconds",
            "Time from when entries were to be appended until they were durable here.",
            &meters.append_durable,
        ),
        (
            "commit_seconds",
            "Time from when a command was given to consensus on the leader until a quorum had it \
             and it was handed on to be applied.",
            &meters.commit,
        ),
        (
            "apply_seconds",
            "Time of one call of the state machine's apply, waiting for its thread included.",
            &meters.apply,
        ),
        ("apply_batch_entries", "Log entries of such a call.", &meters.apply_entries),
    ] {
        page.histogram(name, help, &histogram.read());
    }
    page.head(
        "propose_seconds",
        "histogram",
        "Time from when a command was proposed through this node until its outcome was known.",
    );
    for (outcome, histogram) in [
        ("applied", &meters.propose_applied),
        ("refused", &meters.propose_refused),
        ("unknown", &meters.propose_unknown),
    ] {
        let label = format!("outcome=\"{outcome}\"");
        page.distribution("propose_seconds", &label, &histogram.read());
    }
    page.head(
        "read_barrier_seconds",
        "histogram",
        "Time from when a linearizable read was asked for until this node had caught up.",
    );
    for (outcome, histogram) in
        [("confirmed", &meters.read_confirmed), ("failed", &meters.read_failed)]
    {
        let label = format!("outcome=\"{outcome}\"");
        page.distribution("read_barrier_seconds", &label, &histogram.read());
    }
}

fn expose_snapshots(page: &mut Page, meters: &Meters) {
    for (name, help, histogram) in [
        (
            "snapshot_build_seconds",
            "Time to write a snapshot of the state machine and make it durable.",
            &meters.snapshot_build,
        ),
        (
            "snapshot_send_seconds",
            "Time to send a snapshot, or the rest of one, until the member had installed it.",
            &meters.snapshot_send,
        ),
        (
            "snapshot_install_seconds",
            "Time to put a received snapshot in place of the state machine's state.",
            &meters.snapshot_install,
        ),
    ] {
        page.histogram(name, help, &histogram.read());
    }
    for (name, help, value) in [
        (
            "snapshot_built_bytes_total",
            "Bytes of snapshots written.",
            meters.snapshot_built_bytes.get(),
        ),
        (
            "snapshot_sent_bytes_total",
            "Bytes of snapshots given to connections.",
            meters.snapshot_sent_bytes.get(),
        ),
        (
            "snapshot_received_bytes_total",
            "Bytes of snapshots received.",
            meters.snapshot_received_bytes.get(),
        ),
        (
            "snapshots_without_room_total",
            "Times a leader's snapshot was refused because there was no room for it.",
            meters.snapshots_unroomed.get(),
        ),
    ] {
        page.single(name, "counter", help, value);
    }
    let resumed = "snapshot_transfers_resumed_total";
    page.head(resumed, "counter", "Snapshot transfers that went on where an earlier one ended.");
    page.line(&format!("{resumed}{{direction=\"in\"}}"), meters.resumed_in.get());
    page.line(&format!("{resumed}{{direction=\"out\"}}"), meters.resumed_out.get());
}

/// Writes out what is measured on the way to each other member.
pub(crate) fn expose_peers(page: &mut Page, meters: &Meters) {
    let peers = meters.peers();
    page.head(
        "replicate_seconds",
        "histogram",
        "Time from when an append was given to a member's connection until it had it on disk.",
    );
    for (peer, meters) in &peers {
        let label = format!("peer=\"{peer}\"");
        page.distribution("replicate_seconds", &label, &meters.replicate.read());
    }
    page.head("appends_under_way", "gauge", "Append requests a member has not answered yet.");
    for (peer, meters) in &peers {
        page.line(&format!("appends_under_way{{peer=\"{peer}\"}}"), meters.under_way.get());
    }
    page.head("peer_low_disk", "gauge", "1 when a member last said that its disk is low.");
    for (peer, meters) in &peers {
        let low = u8::from(meters.low_disk.load(Ordering::Relaxed));
        page.line(&format!("peer_low_disk{{peer=\"{peer}\"}}"), low);
    }
    page.head("peer_reachable", "gauge", "1 while a member answers calls.");
    for (peer, meters) in &peers {
        let reachable = u8::from(meters.contacts.is_connected());
        page.line(&format!("peer_reachable{{peer=\"{peer}\"}}"), reachable);
    }
}
