//! What happens to machines while clients work.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::clients::RETRY_AFTER;
use super::machines::Cut;
use super::members::Members;
use super::nodes::Nodes;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// None: what the others are compared with.
    None,
    NodeKilled,
    /// For longer than a registration counts.
    NodeStopped,
    NodeCutOff,
    /// It hears etcd, and etcd does not hear it.
    NodeUnheard,
    /// The other way.
    NodeDeaf,
    LeaderKilled,
    LeaderStopped,
    /// From the other members; nodes still reach it.
    LeaderCutOff,
    /// Every link loses packets.
    LossyLinks,
    DiskFull,
    /// All members.
    QuorumLost,
    RollingRestart,
}

impl Fault {
    pub(super) const ALL: [Self; 13] = [
        Self::None,
        Self::NodeKilled,
        Self::NodeStopped,
        Self::NodeCutOff,
        Self::NodeUnheard,
        Self::NodeDeaf,
        Self::LeaderKilled,
        Self::LeaderStopped,
        Self::LeaderCutOff,
        Self::LossyLinks,
        Self::DiskFull,
        Self::QuorumLost,
        Self::RollingRestart,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NodeKilled => "node: kill -9",
            Self::NodeStopped => "node: SIGSTOP",
            Self::NodeCutOff => "node: cut off from etcd",
            Self::NodeUnheard => "node: unheard by etcd",
            Self::NodeDeaf => "node: does not hear etcd",
            Self::LeaderKilled => "etcd leader: kill -9",
            Self::LeaderStopped => "etcd leader: SIGSTOP",
            Self::LeaderCutOff => "etcd leader: cut off from members",
            Self::LossyLinks => "all links lose 15 %",
            Self::DiskFull => "etcd: disk full, then kill -9",
            Self::QuorumLost => "etcd: all killed",
            Self::RollingRestart => "nodes: rolling restart",
        }
    }

    /// Whether a client that tries once more must get every answer: one node or one member is lost, and no more.
    pub(super) const fn loses_one(self) -> bool {
        matches!(self, Self::None | Self::NodeKilled | Self::LeaderKilled | Self::RollingRestart)
    }

    /// Lets it happen to a node and a member, holds it, and takes it back. Returns when everything that was taken away is started
    /// again, and not yet well.
    pub(super) fn happen(self, nodes: &mut Nodes, members: &mut Members, victim: usize, hold: Duration) {
        let leader = members.leader().unwrap_or(victim);
        match self {
            Self::None => thread::sleep(hold),
            Self::NodeKilled => {
                nodes.get_mut(victim).kill();
                thread::sleep(hold);
                nodes.get_mut(victim).start();
            }
            Self::NodeStopped => {
                nodes.get(victim).signal(Signal::STOP);
                thread::sleep(hold);
                nodes.get(victim).signal(Signal::CONT);
            }
            Self::NodeCutOff => cut_node(nodes, victim, &Cut::Both(members.addresses()), hold),
            Self::NodeUnheard => cut_node(nodes, victim, &Cut::To(members.addresses()), hold),
            Self::NodeDeaf => cut_node(nodes, victim, &Cut::From(members.addresses()), hold),
            Self::LeaderKilled => {
                members.kill(leader);
                thread::sleep(hold);
                members.restart(leader);
            }
            Self::LeaderStopped => {
                members.signal(leader, Signal::STOP);
                thread::sleep(hold);
                members.signal(leader, Signal::CONT);
            }
            Self::LeaderCutOff => {
                let own = members.machine(leader).address;
                let others = members.addresses().into_iter().filter(|address| *address != own).collect();
                members.machine(leader).cut(&Cut::Both(others));
                thread::sleep(hold);
                members.machine(leader).heal();
            }
            Self::LossyLinks => {
                let machines = || (0..3).flat_map(|index| [nodes.get(index).machine(), members.machine(index)]);
                machines().for_each(|machine| machine.cut(&Cut::Loss(15)));
                thread::sleep(hold);
                machines().for_each(super::machines::Machine::heal);
            }
            Self::DiskFull => fill_and_kill(members, leader, hold),
            Self::QuorumLost => {
                (0..3).for_each(|index| members.kill(index));
                thread::sleep(hold);
                (0..3).for_each(|index| members.restart(index));
            }
            Self::RollingRestart => {
                for index in 0..3 {
                    nodes.get_mut(index).stop();
                    nodes.get_mut(index).start();
                    nodes.get_mut(index).become_ready();
                    // The next one goes when those whom this one has turned away have come to it.
                    thread::sleep(2 * RETRY_AFTER);
                }
            }
        }
    }
}

fn cut_node(nodes: &Nodes, victim: usize, cut: &Cut, hold: Duration) {
    nodes.get(victim).machine().cut(cut);
    thread::sleep(hold);
    nodes.get(victim).machine().heal();
}

/// A member without room goes on while it has some reserved; killed, it does not come back until there is room.
fn fill_and_kill(members: &mut Members, victim: usize, hold: Duration) {
    members.fill(victim);
    thread::sleep(hold / 2);
    if members.runs(victim) {
        members.kill(victim);
    }
    members.restart(victim);
    thread::sleep(hold / 2);
    members.empty(victim);
    if members.runs(victim) {
        members.kill(victim);
    }
    members.restart(victim);
}
